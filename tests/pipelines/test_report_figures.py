"""How a day ended, as the report shows it: bands by minute and strike, and one tile."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import polars as pl
import pytest

from g6_pipelines.report import series
from g6_pipelines.report.tiles import completeness

DAY = date(2025, 8, 29)


def ended(*states: str) -> pl.DataFrame:
    """Calls and puts of one strike, a minute for each pair of states."""
    pairs = [state.split("/") for state in states]
    return pl.DataFrame(
        {
            "minute": [datetime(2025, 8, 29, 4, minute, tzinfo=UTC) for minute in range(len(pairs)) for _ in "CP"],
            "expiry": DAY,
            "strike": 24_500.0,
            "side": ["CE", "PE"] * len(pairs),
            "account": [state for pair in pairs for state in pair],
        },
        schema_overrides={"minute": pl.Datetime("ms", "UTC")},
    )


def test_a_pair_has_the_colour_of_its_worse_side_and_repaired_has_its_own() -> None:
    minutes = ended(
        "live/live", "live/no_trade", "no_trade/no_trade", "live/repaired", "repaired/unverified", "open/live"
    )
    (band,) = series.coverage(minutes, DAY)
    assert band.states.tolist() == [[1, 1, 0, 2, 3, 3]]


@pytest.mark.parametrize(
    ("counts", "value", "kind", "more"),
    [
        ((46_626, 1_884, 0, 0), "complete", "good", "96.1 % live, 3.9 % repaired"),
        ((48_509, 1, 0, 0), "complete", "good", "99.998 % live, 0.002 % repaired"),
        ((100, 0, 50, 50), "50 unverified", "bad", "50.0 % live, 25.0 % no trade"),
        ((0, 0, 0, 0), "nothing of NIFTY", "bad", ""),
    ],
)
def test_there_is_one_verdict_on_what_was_collected(
    counts: tuple[int, int, int, int], value: str, kind: str, more: str
) -> None:
    live, repaired, no_trade, left = counts
    day = SimpleNamespace(index="NIFTY", expected=sum(counts), live=live, repaired=repaired, no_trade=no_trade)
    tile = completeness({"NIFTY": SimpleNamespace(day=day)})  # type: ignore[dict-item]
    assert (tile.value, tile.kind, tile.more) == (value, kind, more)
    assert left == 0 or str(left) in tile.value
