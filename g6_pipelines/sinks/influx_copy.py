"""One index and day in InfluxDB: how far the copy is, kept on disk, and the step that brings it further.

The position says up to which cycle InfluxDB has everything, in which bucket, and what the lake held up to there. It is
written after the points are acknowledged, so a crash between the two sends some points again, over themselves. When
it does not fit (another bucket, a lake that was collected anew or repaired, no position at all) the copy is made
anew: what is there of the index and day is removed, then everything is sent.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from filelock import FileLock, Timeout

from g6_core.adapters.closeable import Closeable
from g6_core.adapters.cycle_log import cycle_facts
from g6_core.adapters.files import canonical_json, unwritable, write_atomic
from g6_core.adapters.influx import Influx, RefusedByInflux
from g6_core.adapters.lake import lake_exists, read_lake, read_lake_since
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at, utc_text
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.site import Day
from g6_pipelines.sinks.influx_points import POINTS_VERSION, TIME, Copied, Measurement, lines_of, option_lines
from g6_pipelines.sinks.point_writer import PointWriter

if TYPE_CHECKING:
    import polars as pl

# A request of about this many points of forty fields is a megabyte, a tenth of it on the wire.
REQUEST_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Position:
    """What is kept: everything up to `time_ms` is there, `rows` rows of the lake (0: nothing), `sha256` of their lines.

    Save `skipped` points, none newer than `beyond_ms`, which were older than what the bucket keeps.
    """

    version: int
    target: str
    source: str
    time_ms: int = 0
    rows: int = 0
    sha256: str = ""
    skipped: int = 0
    beyond_ms: int = 0


class InfluxCopy(Closeable):
    """The copy of one index and day, and its `position`. Holds a lock, so that two processes never make it at once;
    `close` it."""

    def __init__(self, influx: Influx, day: Day, *, patience_s: float = 0) -> None:
        """DataError when another process is at it for longer than `patience_s`, or the position cannot be written."""
        self.day, self._influx, self._writer = day, influx, PointWriter(influx)
        self._source = source_of(day)
        self._file = day.site.paths.influx_position(day.date, day.index)
        self._target = f"{influx.target.url} {influx.target.org} {influx.target.bucket}"
        self._lock = _held(self._file, patience_s)
        self._digest = sha256()
        self.position = self._nothing = Position(POINTS_VERSION, self._target, self._source)
        self._checked = False

    def requests(self) -> Iterator[int]:
        """Send what is missing, oldest first, one request at a time; yields the rows of each after it is kept.

        Ends when the copy has all that the lake had when it began. Raises StoreDown and ConfigError of the store,
        DataError of the lake.
        """
        lake = self.day.lake
        if not lake_exists(lake):
            return
        if not self._checked:
            self.position = self._kept(lake)
            self._checked = True
        missing = _newer(lake, self.position.time_ms)
        if missing.is_empty():
            return
        if not self.position.rows:
            self._writer.skipped = self._writer.beyond_ms = 0
            self._clear()
        copied = copied_of(self.day)
        for rows in _requests_of(missing):
            options, others = lines_of(rows, copied)
            self._writer.write(options + others)
            self._keep(rows, options)
            yield rows.height

    def forget(self) -> None:
        """Let the next request begin anew."""
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self._file, error) from error
        self.position, self._checked, self._digest = self._nothing, False, sha256()

    def close(self) -> None:
        """Let another process have it."""
        self._lock.release()

    def _keep(self, rows: "pl.DataFrame", lines: bytes) -> None:
        self._digest.update(lines)
        self.position = replace(
            self.position,
            time_ms=rows[TIME].dt.timestamp("ms")[-1],
            rows=self.position.rows + rows.height,
            sha256=self._digest.hexdigest(),
            skipped=self._writer.skipped,
            beyond_ms=self._writer.beyond_ms,
        )
        write_atomic(self._file, canonical_json(self.position) + b"\n")

    def _kept(self, lake: Path) -> Position:
        """Return the position on disk if it fits bucket and lake, else nothing; leaves the digest as far as it goes."""
        self._digest = sha256()
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=Position)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return self._nothing
        if (kept.version, kept.target, kept.source) != (POINTS_VERSION, self._target, self._source):
            return self._nothing
        import polars as pl

        there = _by_time(read_lake(lake)).filter(pl.col(TIME).dt.timestamp("ms") <= kept.time_ms)
        for rows in there.iter_slices(REQUEST_ROWS):
            self._digest.update(option_lines(rows, self._source))
        if (self._digest.hexdigest(), there.height) == (kept.sha256, kept.rows):
            self._writer.skipped, self._writer.beyond_ms = kept.skipped, kept.beyond_ms
            return kept
        self._digest = sha256()
        return self._nothing

    def _clear(self) -> None:
        """Remove what is there of the index and day. A server without DELETE (3.x) keeps it, mostly overwritten."""
        for name in Measurement:
            with suppress(RefusedByInflux):
                self._influx.execute(f'DELETE FROM "{name}" WHERE {where(self.day)}')


def source_of(day: Day) -> str:
    """What the tag `source` says of a day: kite or simulated."""
    from g6_core.adapters.world import simulated_days

    return "simulated" if day.date in simulated_days(day.site.paths) else "kite"


def copied_of(day: Day) -> Copied:
    """What the points of an index and day have in common."""
    return Copied(source_of(day), day.index, cycle_facts(day.site.paths, day.date, day.index))


def where(day: Day, beyond_ms: int = 0) -> str:
    """The InfluxQL condition for the points of an index and day, of those newer than `beyond_ms`."""
    start, end = (utc_text(at(one, time())) for one in (day.date, day.date + timedelta(days=1)))
    start = max(start, utc_text(beyond_ms + 1)) if beyond_ms else start
    return f"\"index\" = '{day.index}' AND \"source\" = '{source_of(day)}' AND time >= '{start}' AND time < '{end}'"


def _newer(lake: Path, time_ms: int) -> "pl.DataFrame":
    """The rows of a lake after `time_ms`."""
    import polars as pl

    found = read_lake_since(lake, time_ms + 1, tuple(OPTION_COLUMNS))
    return _by_time(found).filter(pl.col(TIME).dt.timestamp("ms") > time_ms)


def _by_time(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Whatever was put into the lake afterwards stands where it belongs."""
    return rows.sort(TIME, maintain_order=True)


def _requests_of(rows: "pl.DataFrame") -> "Iterator[pl.DataFrame]":
    """As many whole cycles as fit into a request, at least one."""
    import polars as pl

    gathered: list[pl.DataFrame] = []
    for cycle in rows.partition_by(TIME, maintain_order=True):
        if gathered and sum(one.height for one in gathered) + cycle.height > REQUEST_ROWS:
            yield pl.concat(gathered)
            gathered = []
        gathered.append(cycle)
    yield pl.concat(gathered)


def _held(position: Path, patience_s: float) -> FileLock:
    """The lock beside a position, held until it is released, by whichever thread."""
    lock = FileLock(position.with_name(f".{position.name}.lock"), timeout=patience_s, thread_local=False)
    try:
        position.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise DataError(f"{position}: another process is copying to InfluxDB; let that one finish") from error
    except OSError as error:
        raise unwritable(position, error) from error
    return lock
