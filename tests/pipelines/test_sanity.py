"""The spot of a day: a sound one passes; each way of lacking or standing still is found. Recorded days: judges."""

from collections.abc import Callable

import polars as pl
import pytest

from g6_core.adapters.lake import read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check, failed
from g6_pipelines.stages.sanity import COLUMNS, spot_coverage, spot_of_cycles
from tests.pipelines.made_day import DAY, make_day

MINUTE = 60_000
CYCLE = pl.col("timestamp").rank("dense")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> pl.DataFrame:
    made = make_day(tmp_path_factory.mktemp("made"), rules, settings)
    made.collect()
    return read_lake(made.paths.lake(DAY, "NIFTY"), COLUMNS)


def found(rows: pl.DataFrame) -> tuple[Check, ...]:
    return spot_of_cycles(rows)


def put_in(where: pl.Expr, **cells: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def damage(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(
            pl.when(where).then(change).otherwise(name).cast(rows.schema[name]).alias(name)
            for name, change in cells.items()
        )

    return damage


def test_a_sound_day_passes(rows: pl.DataFrame) -> None:
    assert failed(found(rows)) == ()


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (put_in(CYCLE > 1, spot=None), ["spot_known"]),
        (put_in(CYCLE % 100 == 0, spot=None), []),
        (put_in(CYCLE % 40 < 2, spot=0.0), ["spot_known"]),
        (put_in(CYCLE > 0, forward=None), ["forward_known"]),
        (put_in(CYCLE > 0, spot=pl.col("spot").first()), ["spot_changes"]),
        (put_in((CYCLE > 100) & (CYCLE < 107), spot=24_520.0), ["spot_changes"]),
        (put_in((CYCLE > 100) & (CYCLE < 104), spot=24_520.0), []),
        (put_in(CYCLE > 200, spot=pl.col("spot") * 1.031, forward=pl.col("forward") * 1.031), ["spot_moves"]),
        (put_in(CYCLE > 200, forward=pl.col("forward") * 1.021), ["spot_near_forward"]),
        (put_in(CYCLE > 0, call_status=pl.lit("missing"), put_status=pl.lit("stale")), ["spot_known", "forward_known"]),
        # What is silent as a whole lacks no spot.
        (put_in(CYCLE > 100, call_status=pl.lit("missing"), put_status=pl.lit("stale"), spot=None, forward=None), []),
    ],
)
def test_what_is_wrong_with_a_spot_is_named(rows: pl.DataFrame, damage, names: list[str]) -> None:
    assert [one.name for one in failed(found(damage(rows)))] == names


def test_cycles_that_left_no_row_have_no_spot(rows: pl.DataFrame) -> None:
    assert spot_coverage(rows, 375, 80.0).passed
    late = spot_coverage(rows.filter(CYCLE > 300), 375, 80.0)
    assert (late.passed, late.figures["cycles"]) == (False, 75)
