"""What the rows of some cycles are in InfluxDB: the frames of the three measurements, and their lines.

`options` has one point per row of the lake (tags source, index, expiry_code, offset; the other columns are its fields),
`overview` one per cycle and expiry code, `g6_cycle` one per cycle and index. Names and units are those of
`g6_core.schema.options`; stamps are the cycle's time, UTC. `source` is kite or simulated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from g6_core.adapters.lake import lake_schema
from g6_core.adapters.line_protocol import encode_lines
from g6_core.schema.cycles import CycleFact
from g6_core.schema.options import OVERVIEW_COLUMNS, OptionRow
from g6_pipelines.collection.coverage import cycle_coverage
from g6_pipelines.collection.overview import overviews_of

if TYPE_CHECKING:
    import polars as pl

# A change of names or types is a new version: days are sent again.
POINTS_VERSION: Final = 1


class Measurement(StrEnum):
    """The measurements that are written."""

    OPTIONS = "options"
    OVERVIEW = "overview"
    CYCLE = "g6_cycle"


TAGS: Final[dict[Measurement, tuple[str, ...]]] = {
    Measurement.OPTIONS: ("source", "index", "expiry_code", "offset"),
    Measurement.OVERVIEW: ("source", "index", "expiry_code"),
    Measurement.CYCLE: ("source", "index"),
}
# A field that every point of the measurement has.
ALWAYS: Final[dict[Measurement, str]] = {
    Measurement.OPTIONS: "call_status",
    Measurement.OVERVIEW: "contracts_expected",
    Measurement.CYCLE: "rows",
}
TIME: Final = "timestamp"
_CYCLE_COUNTS: Final = ("rows", "live", "expected", "calls", "keys_missing", "reasons", "lag_ms", "duration_ms")


@dataclass(frozen=True, slots=True)
class Copied:
    """Whose rows they are. `facts` are what is known of how the cycles were collected, by time."""

    source: str
    index: str
    facts: Mapping[int, CycleFact]


def option_points(rows: "pl.DataFrame", source: str) -> "pl.DataFrame":
    """The points of `options`: tags, fields and stamp by name, a row each."""
    import polars as pl

    return rows.rename({"exchange_time": "exchange_time_ms"}).with_columns(source=pl.lit(source))


def option_lines(rows: "pl.DataFrame", source: str) -> bytes:
    """The lines of `options`, each with its end."""
    return _lines(option_points(rows, source), Measurement.OPTIONS)


def other_points(rows: "pl.DataFrame", copied: Copied) -> "dict[Measurement, pl.DataFrame]":
    """The points of `overview` and `g6_cycle` that follow from whole cycles of one index."""
    import polars as pl

    plain = rows.with_columns(pl.col(pl.Datetime).dt.timestamp("ms"))
    cycles = [
        [OptionRow.of_cells(cells) for cells in cycle.rows()] for cycle in plain.partition_by(TIME, maintain_order=True)
    ]
    overviews = [
        (*one.cells(), copied.source, one.index, one.expiry_code) for cycle in cycles for one in overviews_of(cycle)
    ]
    stamp = {TIME: pl.Datetime("ms", "UTC")}
    text = pl.String()
    return {
        Measurement.OVERVIEW: pl.DataFrame(
            overviews,
            schema={**lake_schema(OVERVIEW_COLUMNS), "source": text, "index": text, "expiry_code": text},
            orient="row",
        ),
        Measurement.CYCLE: pl.DataFrame(
            [_cycle_point(cycle, copied) for cycle in cycles],
            schema={**stamp, "source": text, "index": text, **dict.fromkeys(_CYCLE_COUNTS, pl.Int64())},
            orient="row",
        ),
    }


def lines_of(rows: "pl.DataFrame", copied: Copied) -> tuple[bytes, bytes]:
    """(lines of `options`, lines of the others) of whole cycles of one index."""
    others = other_points(rows, copied)
    return option_lines(rows, copied.source), b"".join(_lines(points, name) for name, points in others.items())


def _lines(points: "pl.DataFrame", measurement: Measurement) -> bytes:
    return f"{encode_lines(points, measurement, TAGS[measurement], TIME)}\n".encode()


def _cycle_point(cycle: Iterable[OptionRow], copied: Copied) -> tuple[object, ...]:
    """The point of one cycle; what the log does not know of it is unknown."""
    rows = list(cycle)
    covered = cycle_coverage(rows)
    fact = copied.facts.get(rows[0].time_ms)
    known: tuple[int | None, ...] = (None,) * 5
    if fact is not None:
        lag_ms, duration_ms = fact.started_ms - fact.time_ms, fact.ended_ms - fact.started_ms
        known = (fact.calls, fact.keys_missing, len(fact.reasons), lag_ms, duration_ms)
    return (rows[0].time_ms, copied.source, copied.index, len(rows), covered.live, covered.expected, *known)
