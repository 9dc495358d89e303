"""Cycles that nobody was there for: one row in each file all the same, with nothing known, many cycles at once.

A collector that is started late has hours of them. Their rows differ in the time only, until an expiry closes, so they
are made once and given their times; made row by row they would keep what is due waiting for a minute.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.options import OptionRow
from g6_pipelines.collection.coverage import Coverage, cycle_coverage
from g6_pipelines.collection.plan import IndexPlan
from g6_pipelines.collection.rows import Moment


@dataclass(frozen=True, slots=True)
class Stretch:
    """Passed cycles of an index during which the same expiries traded; `rows` are those of the first."""

    times: tuple[int, ...]
    rows: tuple[OptionRow, ...]
    counted: Coverage
    expires_ms: tuple[int | None, ...]

    def frames(self, schema: pl.Schema) -> Iterator[pl.DataFrame]:
        """The rows of each of its cycles, as `IndexPlan.rows` would give them."""
        first = pl.DataFrame([row.cells() for row in self.rows], schema=schema, orient="row")
        # Whole columns are replaced: slices of a longer frame would not have the bytes of rows written by themselves.
        time_at, minutes_at = first.get_column_index("timestamp"), first.get_column_index("minutes_to_expiry")
        for time_ms in self.times:
            minutes = [None if ends is None else max(ends - time_ms, 0) / MINUTE_MS for ends in self.expires_ms]
            cycle = first.clone()
            cycle.replace_column(
                time_at, pl.Series("timestamp", [time_ms] * len(minutes), pl.Int64).cast(schema["timestamp"])
            )
            cycle.replace_column(minutes_at, pl.Series("minutes_to_expiry", minutes, pl.Float64))
            yield cycle


def stretches_of(plan: IndexPlan, times: Sequence[int], interval_ms: int) -> list[Stretch]:
    """Passed cycles (ms, in order) with the money that the plan knows now."""
    found: list[Stretch] = []
    for _, group in groupby(times, key=lambda time_ms: [time_ms >= end for end in plan.open_until_ms.values()]):
        own = tuple(group)
        rows = tuple(plan.rows(None, {}, Moment(own[0], interval_ms)))
        expires = tuple(None if row.expiry is None else plan.expires_ms[row.expiry] for row in rows)
        found.append(Stretch(own, rows, cycle_coverage(rows), expires))
    return found
