"""The lake: every collected row of an index and day in one Arrow stream, one batch and one fsync a cycle. The truth.

A stream is a schema message and then batch messages, each led by its own lengths; ours has no end mark, so that
it can be continued, and may end in the middle of a message after a crash. Batches are encoded by polars; the
framing is read here, because no library says where the last whole message of a broken stream ends.

After the close a stream is compacted to Parquet beside it, and removed later. A lake is named by the path of its
stream, whichever form is there; while there is a stream, it is the truth.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from filelock import FileLock, Timeout

from g6_core.adapters.closeable import Closeable
from g6_core.adapters.files import claim_schema, unwritable, write_all, write_atomic
from g6_core.adapters.lake_parquet import parquet_of, read_batches, read_rows, read_rows_since
from g6_core.domain.errors import DataError
from g6_core.schema.options import OPTIONS_VERSION, Kind

if TYPE_CHECKING:
    import polars as pl

_CONTINUATION = b"\xff\xff\xff\xff"
_PREFIX_BYTES = 8
_END_MARK = _CONTINUATION + bytes(4)
_BODY_LENGTH_FIELD = 3


@dataclass(frozen=True, slots=True)
class Healed:
    """What opening found: whole batches kept, bytes of a torn tail dropped (0: nothing was torn)."""

    batches: int
    dropped_bytes: int


class Lake(Closeable):
    """An append-only Arrow stream file with one writer. Use as a context manager."""

    def __init__(self, path: Path, schema: "pl.Schema", lock: FileLock, descriptor: int, healed: Healed) -> None:
        self.path = path
        self.healed = healed
        self._lock = lock
        self._schema = schema
        self._descriptor = descriptor

    @classmethod
    def open(
        cls, path: Path, columns: Mapping[str, Kind], version: int = OPTIONS_VERSION, continues: Sequence[int] = ()
    ) -> Self:
        """Open or create; a torn tail is cut off after the last whole batch, a compacted lake becomes a stream again.

        Files of the versions that it `continues` have the same columns and are taken over. Raises DataError when the
        file is of another schema or version, cannot be written, or has a writer already.
        """
        lock = hold_lake(path)
        named = {name: kind.value for name, kind in columns.items()}
        schemas: list[dict[str, object]] = [{"version": one, "columns": named} for one in (version, *continues)]
        try:
            claim_schema(path.parent / "_schema.json", schemas[0], schemas[1:])
            return cls(path, lake_schema(columns), lock, *cls._prepare(path, columns))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _prepare(cls, path: Path, columns: Mapping[str, Kind]) -> tuple[int, Healed]:
        """Check, heal, and write the schema of a new file; returns its descriptor, placed at the end."""
        schema = lake_schema(columns)
        head, _ = _messages_of(schema, [])
        try:
            if not path.exists() and parquet_of(path).exists():
                write_atomic(path, b"".join(_expanded(path, schema)))
            ends = _message_ends(path) if path.exists() else []
            # The schema alone: reading a long day would cost a restart seconds.
            if ends and _stream_schema(path, ends[0]) != schema:
                raise DataError(f"{path}: a lake of another schema; move it away")
            if not ends and path.exists() and not head.startswith(path.read_bytes()[: len(head)]):
                raise DataError(f"{path}: not a lake file; move it away")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            end = ends[-1] if ends else 0
            dropped = os.fstat(descriptor).st_size - end
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            if not ends:
                write_all(descriptor, head)
        except OSError as error:
            raise unwritable(path, error) from error
        return descriptor, Healed(max(len(ends) - 1, 0), dropped)

    def append(self, rows: Sequence[Sequence[object]]) -> None:
        """Write the rows (values in column order) as one batch and wait until the disk has it."""
        assert rows, "an empty batch would say nothing"
        self._write([_messages_of(self._schema, rows)[1]])

    def append_many(self, cycles: Iterable["pl.DataFrame"]) -> None:
        """Write each as a batch, the same bytes as one by one, and wait once until the disk has them all.

        A machine that dies meanwhile leaves the first of them.
        """
        self._write(_messages_in(cycle)[1] for cycle in cycles)

    def _write(self, batches: Iterable[bytes]) -> None:
        try:
            for batch in batches:
                write_all(self._descriptor, batch)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file and let another writer have it."""
        os.close(self._descriptor)
        self._lock.release()


def is_headless(path: Path, columns: Mapping[str, Kind]) -> bool:
    """Whether a stream was torn before its first message was whole: it holds nothing yet."""
    try:
        begun = path.read_bytes()
    except OSError:
        return False
    return not _message_ends(path) and _messages_of(lake_schema(columns), [])[0].startswith(begun)


def lake_exists(path: Path) -> bool:
    """Whether anything was collected, in either form."""
    return path.exists() or parquet_of(path).exists()


def remove_lake(path: Path) -> None:
    """Remove a lake in both forms."""
    parquet_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def hold_lake(path: Path) -> FileLock:
    """The lock of a lake, held: healing would cut what a living writer is about to finish. DataError if one lives."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise DataError(f"{path}: another process is collecting into it; stop the other collector") from error
    except OSError as error:
        raise unwritable(path, error) from error
    return lock


def lake_schema(columns: Mapping[str, Kind]) -> "pl.Schema":
    """Types of the columns in the lake: times are typed UTC, counts int64, prices and numbers float64."""
    import polars as pl

    types: dict[Kind, pl.DataType] = {
        Kind.TIME_MS: pl.Datetime("ms", "UTC"),
        Kind.DATE: pl.Date(),
        Kind.TEXT: pl.String(),
        Kind.COUNT: pl.Int64(),
        Kind.RUPEES: pl.Float64(),
        Kind.NUMBER: pl.Float64(),
    }
    return pl.Schema({name: types[kind] for name, kind in columns.items()})


def read_lake(path: Path, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """All rows of the whole batches, oldest first; DataError when the file is missing or not a lake."""
    import polars as pl

    if _is_compacted(path):
        return read_rows(parquet_of(path), columns)
    try:
        ends = _message_ends(path)
        whole = ends[-1] if ends else 0
        source = path if whole == path.stat().st_size else BytesIO(path.read_bytes()[:whole])
        return pl.read_ipc_stream(source, columns=list(columns) if columns else None)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no collected rows; run the collect stage first") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable lake file ({error}); collect the day again") from error


def read_lake_since(path: Path, since_ms: int, columns: Sequence[str]) -> "pl.DataFrame":
    """The newest whole batches, back to the first that ends before `since_ms`; oldest first. Errors as `read_lake`.

    `columns` include ``timestamp``. Does not hold the day in memory.
    """
    import polars as pl

    if _is_compacted(path):
        return read_rows_since(parquet_of(path), since_ms, columns)
    frames: list[pl.DataFrame] = []
    for batch in _stream_batches(path, columns, newest_first=True):
        if batch["timestamp"].dt.timestamp("ms").max() < since_ms:  # type: ignore[operator]
            break
        frames.append(batch)
    return pl.concat(frames[::-1]) if frames else read_lake(path, columns).clear()


def lake_batches(path: Path, skip: int = 0) -> Iterator["pl.DataFrame"]:
    """Each whole batch after the first `skip` as it was appended, oldest first. Errors as `read_lake`.

    Does not hold the day in memory, and does not read what is skipped of a stream.
    """
    return (
        islice(read_batches(parquet_of(path)), skip, None) if _is_compacted(path) else _stream_batches(path, skip=skip)
    )


def lake_cycles(path: Path, skip: int = 0) -> Iterator[list[tuple[object, ...]]]:
    """The rows of each whole batch after the first `skip` as they were appended. Otherwise as `lake_batches`."""
    import polars as pl

    for batch in lake_batches(path, skip):
        # Column by column: an expression costs ten times as much as all else here.
        columns = [one.to_physical() if one.dtype == pl.Datetime else one for one in batch.get_columns()]
        yield pl.DataFrame(columns).rows()


def _stream_batches(
    path: Path, columns: Sequence[str] | None = None, *, skip: int = 0, newest_first: bool = False
) -> Iterator["pl.DataFrame"]:
    import polars as pl

    wanted = list(columns) if columns else None
    try:
        ends = _message_ends(path)
        spans = list(pairwise(ends))[skip:]
        with path.open("rb") as file:
            head = file.read(ends[0]) if ends else b""
            for start, end in reversed(spans) if newest_first else spans:
                file.seek(start)
                yield pl.read_ipc_stream(BytesIO(head + file.read(end - start) + _END_MARK), columns=wanted)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no collected rows; run the collect stage first") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable lake file ({error}); collect the day again") from error


def _expanded(path: Path, schema: "pl.Schema") -> Iterator[bytes]:
    """The messages of the stream that a compacted lake was made of, byte for byte."""
    if read_lake(path).schema != schema:
        raise DataError(f"{parquet_of(path)}: a lake of another schema; move it away")
    yield _messages_of(schema, [])[0]
    for rows in lake_cycles(path):
        yield _messages_of(schema, rows)[1]


def _is_compacted(path: Path) -> bool:
    return not path.exists() and parquet_of(path).exists()


def _messages_of(schema: "pl.Schema", rows: Sequence[Sequence[object]]) -> tuple[bytes, bytes]:
    """(schema message, batch message) of the rows."""
    import polars as pl

    return _messages_in(pl.DataFrame(rows, schema=schema, orient="row"))


def _messages_in(frame: "pl.DataFrame") -> tuple[bytes, bytes]:
    import polars as pl

    buffer = BytesIO()
    frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    stream = buffer.getvalue().removesuffix(_END_MARK)
    head = _PREFIX_BYTES + int.from_bytes(stream[4:_PREFIX_BYTES], "little")
    return stream[:head], stream[head:]


def _stream_schema(path: Path, head_bytes: int) -> "pl.Schema":
    import polars as pl

    try:
        with path.open("rb") as file:
            return pl.read_ipc_stream(BytesIO(file.read(head_bytes) + _END_MARK)).schema
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not a readable lake file ({error}); collect the day again") from error


def _message_ends(path: Path) -> list[int]:
    """Where each whole message of the stream ends, the schema's first; stops at the first that is not whole."""
    ends: list[int] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while (end := _message_end(file, ends[-1] if ends else 0)) and end <= size:
            ends.append(end)
    return ends


def _message_end(file: BinaryIO, start: int) -> int:
    """End of the message at `start`; 0 when its own lengths are not all there."""
    file.seek(start)
    prefix = file.read(_PREFIX_BYTES)
    length = int.from_bytes(prefix[4:], "little")
    metadata = file.read(length) if len(prefix) == _PREFIX_BYTES and prefix.startswith(_CONTINUATION) else b""
    if length == 0 or len(metadata) < length:
        return 0
    return start + _PREFIX_BYTES + length + _body_bytes(metadata)


def _body_bytes(metadata: bytes) -> int:
    """`bodyLength` of an Arrow message: field 3 of the flatbuffer's root table, 0 when it is not stored."""
    root = int.from_bytes(metadata[:4], "little")
    table = root - int.from_bytes(metadata[root : root + 4], "little", signed=True)
    place = table + 4 + 2 * _BODY_LENGTH_FIELD
    if place >= table + int.from_bytes(metadata[table : table + 2], "little"):
        return 0
    offset = int.from_bytes(metadata[place : place + 2], "little")
    return int.from_bytes(metadata[root + offset : root + offset + 8], "little") if offset else 0
