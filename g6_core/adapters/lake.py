"""The lake: every collected row of a day in one Arrow stream, one batch and one fsync a cycle. The truth."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from g6_core.adapters.files import unwritable, write_all
from g6_core.domain.errors import DataError
from g6_core.schema.options import OPTIONS_VERSION, Kind

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_VERSION_KEY = b"g6.version"


@dataclass(frozen=True, slots=True)
class Healed:
    """What opening found: whole batches and rows kept, bytes of a torn tail dropped (0: nothing was torn)."""

    batches: int
    rows: int
    dropped_bytes: int


class Lake:
    """An append-only Arrow stream file. Use as a context manager; not shared between processes."""

    def __init__(self, path: Path, columns: Mapping[str, Kind], descriptor: int, healed: Healed) -> None:
        self.path = path
        self.healed = healed
        self._names = list(columns)
        self._schema = _arrow_schema(columns)
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, columns: Mapping[str, Kind]) -> Self:
        """Open or create; a torn tail is cut off after the last whole batch.

        Raises DataError when the file has another schema or version, or cannot be written.
        """
        schema = _arrow_schema(columns)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            written = path.exists() and path.stat().st_size > 0
            end, batches, rows = _whole_part(path, schema) if written else (0, 0, 0)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            dropped = os.fstat(descriptor).st_size - end
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            if end == 0:
                write_all(descriptor, memoryview(schema.serialize()))
        except OSError as error:
            raise unwritable(path, error) from error
        return cls(path, columns, descriptor, Healed(batches, rows, dropped))

    def append(self, rows: Sequence[Sequence[object]]) -> None:
        """Write the rows (values in column order) as one batch and wait until the disk has it."""
        import pyarrow as pa

        assert rows, "an empty batch would say nothing"
        arrays = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        batch = pa.record_batch(arrays, schema=self._schema)
        try:
            write_all(self._descriptor, memoryview(batch.serialize()))
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file; the stream has no end mark, so that it can be continued."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_lake(path: Path, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """All rows, oldest first; `timestamp` columns are typed UTC. DataError when missing or not a lake file."""
    import polars as pl

    try:
        return pl.read_ipc_stream(path, columns=list(columns) if columns else None)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no collected rows; run the collect stage first") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable lake file ({error}); collect the day again") from error


def _arrow_schema(columns: Mapping[str, Kind]) -> "pa.Schema":
    import pyarrow as pa

    types: dict[Kind, Any] = {
        Kind.TIME_MS: pa.timestamp("ms", tz="UTC"),
        Kind.DATE: pa.date32(),
        Kind.TEXT: pa.string(),
        Kind.COUNT: pa.int64(),
        Kind.RUPEES: pa.float64(),
        Kind.NUMBER: pa.float64(),
    }
    fields = [pa.field(name, types[kind]) for name, kind in columns.items()]
    return pa.schema(fields, metadata={_VERSION_KEY: str(OPTIONS_VERSION).encode()})


def _whole_part(path: Path, schema: "pa.Schema") -> tuple[int, int, int]:
    """(end of the last whole batch, batches, rows); end is 0 when not even the schema is whole."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            found = pa.ipc.read_schema(file)
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            if schema.serialize().to_pybytes().startswith(path.read_bytes()):
                return 0, 0, 0
            raise DataError(f"{path}: not a lake file ({error}); move it away or collect the day again") from error
        if not found.equals(schema, check_metadata=True):
            raise DataError(f"{path}: a lake of another schema or version; move it away or collect the day again")
        end, batches, rows = file.tell(), 0, 0
        while True:
            try:
                rows += pa.ipc.read_record_batch(pa.ipc.read_message(file), schema).num_rows
            except (pa.ArrowInvalid, OSError, EOFError):
                return end, batches, rows
            batches += 1
            end = file.tell()
