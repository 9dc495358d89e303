"""Cycles that nobody was there for: one row in each file all the same, with nothing known, many cycles at once.

A collector that is started late has hours of them. Their rows differ in the time only, until an expiry closes, so they
are made as columns; row by row they would keep the cycle that is due waiting for a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.options import OptionRow
from g6_pipelines.collection.coverage import Coverage, CoverageTally
from g6_pipelines.collection.plan import IndexPlan
from g6_pipelines.collection.rows import Moment


@dataclass(frozen=True, slots=True)
class Stretch:
    """Passed cycles of an index during which the same expiries traded; `rows` are those of the first."""

    times: tuple[int, ...]
    rows: tuple[OptionRow, ...]
    counted: Coverage
    expires_ms: tuple[int | None, ...]

    def frame(self, schema: pl.Schema) -> pl.DataFrame:
        """The rows of all its cycles, as `IndexPlan.rows` would give them."""
        first = pl.DataFrame([row.cells() for row in self.rows], schema=schema, orient="row")
        times = pl.Series("timestamp", np.repeat(np.array(self.times, np.int64), len(self.rows)))
        expires = pl.Series("expires_ms", list(self.expires_ms) * len(self.times), pl.Int64)
        minutes = (expires - times).clip(0).cast(pl.Float64) / MINUTE_MS
        return pl.concat([first] * len(self.times)).with_columns(
            times.cast(schema["timestamp"]), minutes.alias("minutes_to_expiry")
        )


def stretches_of(plan: IndexPlan, times: Sequence[int], interval_ms: int) -> list[Stretch]:
    """Passed cycles (ms, in order) with the money that the plan knows now."""
    found: list[Stretch] = []
    for _, group in groupby(times, key=lambda time_ms: [time_ms >= end for end in plan.open_until_ms.values()]):
        own = tuple(group)
        rows = tuple(plan.rows(None, {}, Moment(own[0], interval_ms)))
        expires = tuple(None if row.expiry is None else plan.expires_ms[row.expiry] for row in rows)
        found.append(Stretch(own, rows, CoverageTally().add(rows), expires))
    return found
