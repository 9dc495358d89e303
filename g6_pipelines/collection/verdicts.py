"""How a judge says what it found: nothing wrong, a share that is allowed or is not, a defect that stays for cycles."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_clock

# Five cycles in a row are no late quote and no trade that came between two calls, however small their share of a day.
RUN_MAX = 5


def none_of(wrong: pl.DataFrame, name: str, what: str) -> Check:
    """Not one row may be wrong."""
    return Check(name, wrong.is_empty(), f"{len(wrong):,} {what}{_first(wrong)}", {"wrong": len(wrong)})


def share_of(wrong: pl.DataFrame, of: int, name: str, what: str, allowed_pct: float) -> Check:
    """At most `allowed_pct` of `of` rows may be wrong."""
    share = _pct(len(wrong), of)
    said = f"{len(wrong):,} of {of:,} {what} ({share:.2f} %, {allowed_pct:g} % allowed){_first(wrong)}"
    return Check(name, share <= allowed_pct, said, {"wrong": len(wrong), "of": of, "share_pct": round(share, 4)})


def share_and_runs(
    judged: pl.DataFrame,
    key: Sequence[str],
    name: str,
    what: str,
    allowed_pct: float,
    *,
    counted: pl.Expr | None = None,
    run_max: int = RUN_MAX,
) -> Check:
    """At most `allowed_pct` of the rows may be `wrong`, and nothing with one `key` `run_max` times in a row.

    A whole day of one contract is a small share of a chain, and so is a quarter of an hour of all. The share is taken
    of the rows that are `counted`, runs are looked for in all of them.
    """
    rows = judged if counted is None else judged.filter(counted)
    found = share_of(rows.filter("wrong"), len(rows), name, what, allowed_pct)
    runs = runs_of(judged, key, run_max)
    figures: dict[str, float | int | str] = {**found.figures, "runs": len(runs)}
    if runs.is_empty():
        return Check(name, found.passed, found.detail, figures)
    worst = runs.row(0, named=True)
    where = f"{worst['cycles']} cycles in a row from {_clock(worst['timestamp'])}"
    said = f"{' '.join((*_named(worst, key), where))}; {found.detail}"
    return Check(name, False, said, figures)


def runs_of(judged: pl.DataFrame, key: Sequence[str], run_max: int) -> pl.DataFrame:
    """`key`, timestamp (of the first) and cycles of each run of at least `run_max` `wrong` rows, the longest first."""
    ordered = judged.sort(*key, "timestamp")
    # Where the key changes a run ends as well.
    turns = pl.struct(*key, "wrong").rle_id().alias("run")
    runs = ordered.with_columns(turns).filter("wrong").group_by(*key, "run", maintain_order=True)
    told = runs.agg(pl.col("timestamp").first(), pl.len().alias("cycles"))
    return told.filter(pl.col("cycles") >= run_max).sort("cycles", *key, descending=[True, *(False for _ in key)])


def follows(interval_ms: int, of: str = "symbol") -> pl.Expr:
    """Whether the row of the same contract before is of the cycle before; rows stand by `of` and time."""
    return pl.col("timestamp").diff().over(of).dt.total_milliseconds() <= interval_ms


def _pct(part: int, of: int) -> float:
    return 100 * part / of if of else 0.0


def _first(wrong: pl.DataFrame) -> str:
    """Where the first one is; nothing where there is none."""
    if wrong.is_empty():
        return ""
    row = wrong.row(0, named=True)
    name = _named(row, [one for one in ("symbol", "expiry_code", "expiry") if row.get(one)][:1])
    return f", first {' '.join((*name, _clock(row['timestamp'])))}"


def _named(row: dict[str, Any], key: Sequence[str]) -> list[str]:
    return [str(row[one]) for one in key]


def _clock(moment: Any) -> str:
    return ist_clock(round(moment.timestamp() * 1000))
