"""Is the collected spot believable? Judged against the cycles of the chain, itself, and the options' forward."""

from pathlib import Path

import polars as pl

from g6_core.adapters.lake import read_lake
from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_clock
from g6_core.schema.options import RowStatus
from g6_pipelines.collection.verdicts import share_and_runs, share_of

COLUMNS = ("timestamp", "expiry", "spot", "forward", "call_status", "put_status")
# An index has two decimals and is computed every second. The same figure twice happens, so does a call too few.
# More than this within one cycle has not happened outside of a halt; a misread figure is far above it.
SPOT_MOVE_MAX_PCT = 3.0
SPOT_FORWARD_MAX_PCT = 2.0
SPOT_LACKING_MAX_PCT = 2.0
SPOT_REPEATED_MAX_PCT = 5.0
# On an expiry day the nearest options lose their touch some minutes before the close.
FORWARD_LACKING_MAX_PCT = 5.0


def spot_checks(lake: Path) -> tuple[Check, ...]:
    """What `spot_of_cycles` finds in the lake of one index and day. DataError when the lake is unusable."""
    return spot_of_cycles(read_lake(lake, COLUMNS))


def spot_of_cycles(rows: pl.DataFrame) -> tuple[Check, ...]:
    """`spot_known`, `forward_known`, `spot_changes`, `spot_moves` and `spot_near_forward`.

    Judged are the cycles in which an option is live: where the whole market is silent there is no spot to know, and a
    halt stops the options with the index. How many cycles are silent is a matter of coverage. A chain without an index
    has its forward for a spot (`SpotKind`), so a gap between the two means something where there is an index only.
    """
    live = pl.any_horizontal(pl.col(f"{side}_status") == RowStatus.LIVE for side in ("call", "put"))
    cycles = (
        rows.filter(live)
        .sort("timestamp", "expiry")
        .group_by("timestamp", maintain_order=True)
        .agg(pl.col("spot").first(), pl.col("forward").first())
    )
    spot, forward = pl.col("spot"), pl.col("forward")
    known = cycles.filter(spot > 0)
    seen = known.with_columns(move=(spot.pct_change().abs() * 100), gap=((forward / spot - 1).abs() * 100))
    repeated = known.with_columns(wrong=(spot == spot.shift()).fill_null(value=False))
    return (
        _lacking(cycles, spot, "spot_known", "have no spot", SPOT_LACKING_MAX_PCT),
        _lacking(cycles, forward, "forward_known", "have no forward of the nearest expiry", FORWARD_LACKING_MAX_PCT),
        share_and_runs(
            repeated, (), "spot_changes", "cycles have the spot of the one before to the paisa", SPOT_REPEATED_MAX_PCT
        ),
        _within(seen, "spot_moves", "move", SPOT_MOVE_MAX_PCT, "from one cycle to the next"),
        _within(seen, "spot_near_forward", "gap", SPOT_FORWARD_MAX_PCT, "between spot and the nearest forward"),
    )


def spot_coverage(rows: pl.DataFrame, cycles: int, wanted_pct: float) -> Check:
    """Cycles with a spot, of all `cycles` of the session: those that left no row have none."""
    known = rows.filter(pl.col("spot") > 0)["timestamp"].n_unique()
    share = 100 * known / cycles if cycles else 0.0
    said = f"{known} of {cycles} cycles have a spot ({share:.2f} %, {wanted_pct:.0f} % wanted)"
    return Check("spot_coverage", share >= wanted_pct, said, {"cycles": known, "spot_pct": round(share, 4)})


def _lacking(cycles: pl.DataFrame, figure: pl.Expr, name: str, what: str, allowed_pct: float) -> Check:
    if cycles.is_empty():
        return Check(name, False, "no cycle has a live option", {"of": 0})
    return share_of(
        cycles.filter(~(figure > 0).fill_null(value=False)), len(cycles), name, f"cycles {what}", allowed_pct
    )


def _within(seen: pl.DataFrame, name: str, column: str, limit_pct: float, what: str) -> Check:
    worst = seen.filter(pl.col(column).is_not_null()).sort(column, descending=True).head(1)
    if worst.is_empty():
        return Check(name, True, "nothing to compare", {})
    figure, time_ms = float(worst[column][0]), round(worst["timestamp"][0].timestamp() * 1000)
    said = f"at most {figure:.2f} % {what}, at {ist_clock(time_ms)}; {limit_pct:g} % allowed"
    return Check(name, figure <= limit_pct, said, {"worst_pct": round(figure, 4)})
