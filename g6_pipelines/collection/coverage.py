"""Coverage: how much of what should have been seen was seen, and which minutes are missing altogether."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.options import OptionRow, RowStatus


@dataclass(frozen=True, slots=True)
class Coverage:
    """Contract-cycles by status; expected = live + stale + missing."""

    live: int
    stale: int
    missing: int
    no_contract: int
    closed: int
    minutes_missing: tuple[int, ...]

    @property
    def expected(self) -> int:
        """Contract-cycles that should have had a live quote."""
        return self.live + self.stale + self.missing

    @property
    def pct(self) -> float:
        """Live share of the expected contract-cycles, percent with two decimals; 0 when nothing was expected."""
        return round(100 * self.live / self.expected, 2) if self.expected else 0.0


@dataclass(slots=True)
class CoverageTally:
    """Counts rows cycle by cycle: in all (identical expiries once), and for each index and expiry code."""

    _all: "_Counts" = field(default_factory=lambda: _Counts())
    _by_code: dict[tuple[str, str], "_Counts"] = field(default_factory=dict)

    def add(self, rows: Iterable[OptionRow]) -> Coverage:
        """Count the rows of one cycle; returns the coverage of this cycle alone."""
        cycle = _Counts()
        seen: dict[tuple[str, date | None], str] = {}
        for row in rows:
            code = (row.index, row.expiry_code)
            if code not in self._by_code:
                self._by_code[code] = _Counts()
            self._by_code[code].add(row)
            if row.expiry is None or seen.setdefault((row.index, row.expiry), row.expiry_code) == row.expiry_code:
                cycle.add(row)
        self._all.take(cycle)
        return cycle.coverage()

    def total(self) -> Coverage:
        """Over everything."""
        return self._all.coverage()

    def by_code(self) -> dict[str, Coverage]:
        """Per ``NIFTY/this_week``."""
        return {f"{index}/{code}": counts.coverage() for (index, code), counts in self._by_code.items()}


COVERAGE_COLUMNS = ("timestamp", "index", "expiry_code", "expiry", "call_status", "put_status")


def coverage_of(rows: pl.DataFrame) -> tuple[Coverage, dict[str, Coverage]]:
    """What a `CoverageTally` of the same rows (`COVERAGE_COLUMNS`, in order) has in all and by code, as columns."""
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


@dataclass(slots=True)
class _Counts:
    statuses: Counter[str] = field(default_factory=Counter)
    live_by_minute: Counter[int] = field(default_factory=Counter)

    def add(self, row: OptionRow) -> None:
        call, put = row.call.status, row.put.status
        self.statuses[call] += 1
        self.statuses[put] += 1
        self.live_by_minute[row.time_ms // MINUTE_MS * MINUTE_MS] += (call == RowStatus.LIVE) + (put == RowStatus.LIVE)

    def take(self, other: "_Counts") -> None:
        self.statuses.update(other.statuses)
        self.live_by_minute.update(other.live_by_minute)

    def coverage(self) -> Coverage:
        return Coverage(
            live=self.statuses[RowStatus.LIVE],
            stale=self.statuses[RowStatus.STALE],
            missing=self.statuses[RowStatus.MISSING],
            no_contract=self.statuses[RowStatus.NO_CONTRACT],
            closed=self.statuses[RowStatus.CLOSED],
            minutes_missing=tuple(sorted(minute for minute, live in self.live_by_minute.items() if live == 0)),
        )
