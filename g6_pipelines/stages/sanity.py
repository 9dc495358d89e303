"""Is the collected spot believable? Judged against itself and against the options' forward."""

from pathlib import Path

import polars as pl

from g6_core.adapters.lake import read_lake
from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_clock

COLUMNS = ("timestamp", "expiry", "spot", "forward")


def spot_checks(lake: Path, move_max_pct: float, forward_max_pct: float) -> tuple[Check, ...]:
    """`spot_known`, `spot_moves` and `spot_near_forward` of one index and day. DataError when the lake is unusable."""
    rows = read_lake(lake, COLUMNS).with_columns(ms=pl.col("timestamp").dt.timestamp("ms"))
    nearest = rows.filter(pl.col("spot").is_not_null()).sort("ms", "expiry").unique("ms", keep="first").sort("ms")
    seen = nearest.with_columns(
        move=(pl.col("spot").pct_change().abs() * 100).fill_null(0.0),
        gap=((pl.col("forward") / pl.col("spot") - 1).abs() * 100).fill_null(0.0),
    )
    return (
        Check("spot_known", len(seen) > 0, f"{len(seen)} cycles with a spot", {"cycles": len(seen)}),
        _within(seen, "spot_moves", "move", move_max_pct, "from one cycle to the next"),
        _within(seen, "spot_near_forward", "gap", forward_max_pct, "between spot and the nearest forward"),
    )


def _within(seen: pl.DataFrame, name: str, column: str, limit_pct: float, what: str) -> Check:
    worst = seen.sort(column, descending=True).head(1)
    if worst.is_empty():
        return Check(name, True, "nothing to compare", {})
    figure, time_ms = float(worst[column][0]), int(worst["ms"][0])
    said = f"at most {figure:.2f} % {what}, at {ist_clock(time_ms)}; {limit_pct:g} % allowed"
    return Check(name, figure <= limit_pct, said, {"worst_pct": round(figure, 4)})
