"""Coverage: how much of what should have been seen was seen, and which minutes are missing altogether."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.options import OptionRow, RowStatus


@dataclass(frozen=True, slots=True)
class Coverage:
    """Contract-cycles by status; expected = live + stale + missing."""

    live: int = 0
    stale: int = 0
    missing: int = 0
    no_contract: int = 0
    closed: int = 0
    minutes_missing: tuple[int, ...] = ()

    @property
    def expected(self) -> int:
        """Contract-cycles that should have had a live quote."""
        return self.live + self.stale + self.missing

    @property
    def pct(self) -> float:
        """Live share of the expected contract-cycles, percent with two decimals; 0 when nothing was expected."""
        return round(100 * self.live / self.expected, 2) if self.expected else 0.0


def cycle_coverage(rows: Iterable[OptionRow]) -> Coverage:
    """Return what `coverage_of` has in all, of the rows of one cycle."""
    codes: dict[tuple[str, date | None], str] = {}
    counted = [
        row
        for row in rows
        if row.expiry is None or codes.setdefault((row.index, row.expiry), row.expiry_code) == row.expiry_code
    ]
    counts = Counter(side.status for row in counted for side in (row.call, row.put))
    minutes = {row.time_ms // MINUTE_MS * MINUTE_MS for row in counted} if not counts[RowStatus.LIVE] else ()
    return Coverage(**{str(status): counts[status] for status in RowStatus}, minutes_missing=tuple(minutes))


COVERAGE_COLUMNS = ("timestamp", "index", "expiry_code", "expiry", "call_status", "put_status")


def coverage_of(rows: pl.DataFrame) -> tuple[Coverage, dict[str, Coverage]]:
    """Return the coverage of rows (`COVERAGE_COLUMNS`, in order): in all, identical expiries once, and of each code.

    Codes are named like ``NIFTY/this_week``.
    """
    first = pl.col("expiry_code").first().over("timestamp", "index", "expiry")
    minute = (pl.col("timestamp").dt.timestamp("ms") // MINUTE_MS * MINUTE_MS).alias("minute")
    counts = {
        status: sum((pl.col(f"{side}_status") == status).cast(pl.Int64) for side in ("call", "put"))
        for status in RowStatus
    }
    summed = (
        rows.with_columns(once=pl.col("expiry").is_null() | (first == pl.col("expiry_code")), **counts)
        .group_by("index", "expiry_code", "once", minute, maintain_order=True)
        .agg(pl.col(*RowStatus).sum())
    )
    by_code = {
        f"{index}/{code}": _coverage(own)
        for (index, code), own in summed.group_by("index", "expiry_code", maintain_order=True)
    }
    return _coverage(summed.filter("once")), by_code


def _coverage(summed: pl.DataFrame) -> Coverage:
    dark = summed.group_by("minute").agg(pl.col(RowStatus.LIVE).sum()).filter(pl.col(RowStatus.LIVE) == 0)
    totals = summed.select(pl.col(*RowStatus).sum()).row(0, named=True)
    return Coverage(
        **{str(status): int(totals[status]) for status in RowStatus}, minutes_missing=tuple(sorted(dark["minute"]))
    )
