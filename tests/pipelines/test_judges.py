"""Judges of a collected day: a sound day passes them all, and each defect is found by the judge that is made for it."""

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from g6_core.adapters.lake import lake_schema, read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.checks import Check
from g6_core.schema.options import OPTION_COLUMNS
from g6_pipelines.collection.judges import JUDGED_COLUMNS, candles_possible, judge_chain, schema_is_ours
from tests.pipelines.made_day import DAY, MadeDay, make_day

MINUTE = 60_000
SYMBOL = pl.col("call_symbol") == "NIFTY2590224550CE"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> MadeDay:
    day = make_day(tmp_path_factory.mktemp("made"), rules, settings)
    day.collect()
    return day


@pytest.fixture(scope="module")
def rows(made: MadeDay) -> pl.DataFrame:
    return read_lake(made.paths.lake(DAY, "NIFTY"), JUDGED_COLUMNS)


def found(rows: pl.DataFrame, session: Session, day: date = DAY) -> dict[str, Check]:
    return {one.name: one for one in judge_chain(rows, session, day, MINUTE)}


def test_a_sound_day_passes_every_judge(made: MadeDay, rows: pl.DataFrame) -> None:
    assert [one for one in found(rows, made.session).values() if not one.passed] == []


def backwards(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.reverse()


def twice(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows.tail(1)])


def after_the_close(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("timestamp") + pl.duration(minutes=1))


def ends_early(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("timestamp") < pl.col("timestamp").max())


def nothing_at_all(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.clear()


def of_the_holiday(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("exchange_time") - pl.duration(days=1))


def one_snapshot_again_and_again(rows: pl.DataFrame) -> pl.DataFrame:
    first = rows.filter(pl.col("timestamp") == pl.col("timestamp").min())
    times = rows["timestamp"].unique().sort()
    return pl.concat(
        [first.with_columns(pl.lit(one).alias("timestamp").cast(rows.schema["timestamp"])) for one in times]
    )


def free_of_charge(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.when(SYMBOL).then(0.0).otherwise("call_ltp").alias("call_ltp"))


def negative_interest(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.when(SYMBOL).then(-1).otherwise("call_oi").alias("call_oi"))


def crossed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.when(SYMBOL).then(pl.col("call_ask") + 1).otherwise("call_bid").alias("call_bid"))


def nobody_bids(rows: pl.DataFrame) -> pl.DataFrame:
    early = pl.col("timestamp").rank("dense") < 60
    return rows.with_columns(pl.when(early).then(None).otherwise("put_bid").alias("put_bid"))


def forward_of_another_expiry(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("forward") * 1.006)


def priced_like_a_strike_far_away(rows: pl.DataFrame) -> pl.DataFrame:
    cells = [f"call_{one}" for one in ("ltp", "bid", "ask")]
    return rows.with_columns(pl.when(SYMBOL).then(pl.col(one) + 150).otherwise(one).alias(one) for one in cells)


def interest_comes_and_goes(rows: pl.DataFrame) -> pl.DataFrame:
    even = pl.col("timestamp").rank("dense") % 2 == 0
    return rows.with_columns(pl.when(even).then(pl.col("put_oi") * 3).otherwise("put_oi").alias("put_oi"))


@pytest.mark.parametrize(
    ("damage", "judge"),
    [
        (backwards, "time_goes_on"),
        (twice, "no_cycle_twice"),
        (after_the_close, "cycles_in_session"),
        (ends_early, "cycles_in_session"),
        (nothing_at_all, "cycles_in_session"),
        (of_the_holiday, "stamps_of_the_day"),
        (one_snapshot_again_and_again, "content_moves"),
        (free_of_charge, "figures_possible"),
        (negative_interest, "figures_possible"),
        (crossed, "not_crossed"),
        (nobody_bids, "two_sided_near_the_money"),
        (forward_of_another_expiry, "parity_holds"),
        (priced_like_a_strike_far_away, "prices_in_their_place"),
        (interest_comes_and_goes, "open_interest_steady"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_each_defect_is_found_by_its_judge(
    made: MadeDay, rows: pl.DataFrame, damage: Callable[[pl.DataFrame], pl.DataFrame], judge: str
) -> None:
    verdict = found(damage(rows), made.session)[judge]
    assert not verdict.passed, verdict


def test_a_misplaced_contract_is_named(made: MadeDay, rows: pl.DataFrame) -> None:
    verdict = found(priced_like_a_strike_far_away(rows), made.session)["prices_in_their_place"]
    assert "NIFTY2590224550CE" in verdict.detail


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        (pl.col("low"), True),
        (pl.col("open") + 0.05, False),
        (pl.col("low") - 100, False),
    ],
)
def test_a_candle_encloses_its_open_and_its_close(change: pl.Expr, passed: bool) -> None:
    candles = pl.DataFrame(
        {"timestamp": [0], "open": [10.0], "high": [12.0], "low": [9.0], "close": [11.0], "volume": [75], "oi": [900]}
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")), change.alias("low"))
    assert candles_possible(candles).passed is passed


def test_a_schema_differs_by_name_type_or_order() -> None:
    ours = lake_schema(OPTION_COLUMNS)
    assert schema_is_ours(ours, ours).passed
    lacks = pl.Schema({name: kind for name, kind in ours.items() if name != "put_oi"})
    assert "put_oi" in schema_is_ours(lacks, ours).detail
    assert "spot" in schema_is_ours(pl.Schema(ours | {"spot": pl.Float32()}), ours).detail
    assert not schema_is_ours(pl.Schema(dict(reversed(ours.items()))), ours).passed
