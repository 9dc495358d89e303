"""The compacted form of a lake: one Parquet file for an index and day, with the same rows in the same batches.

A stream is made of the batches in which its rows were appended. Parquet knows only rows, so the file notes how many
rows each batch had; the stream can be made again from it.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from g6_core.domain.errors import DataError

if TYPE_CHECKING:
    import polars as pl

# Rows that are encoded, and later decoded, together.
GROUP_ROWS = 16_384
_BATCHES = "g6.batches"


def parquet_of(stream: Path) -> Path:
    """The compacted form of a stream: beside it, with another ending."""
    return stream.with_suffix(".parquet")


def parquet_bytes(rows: "pl.DataFrame", batches: Sequence[int]) -> bytes:
    """The file of these rows, appended in batches of so many rows each; equal rows give equal bytes."""
    assert sum(batches) == rows.height, "every row is in one batch"
    buffer = BytesIO()
    noted = {_BATCHES: ",".join(str(count) for count in batches)}
    rows.write_parquet(buffer, compression="zstd", row_group_size=GROUP_ROWS, metadata=noted)
    return buffer.getvalue()


def frame_bytes(frame: "pl.DataFrame") -> bytes:
    """Return the Parquet file of any frame; equal frames give equal bytes."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def batch_sizes(path: Path) -> list[int]:
    """Rows of each batch, in the order they were appended. DataError when the file does not say."""
    import polars as pl

    try:
        noted = pl.read_parquet_metadata(path).get(_BATCHES)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from error
    if noted is None:
        raise DataError(f"{path}: not a compacted lake; move it away")
    return [int(count) for count in noted.split(",") if count]


def read_rows(path: Path, columns: Sequence[str] | None, offset: int = 0, length: int | None = None) -> "pl.DataFrame":
    """Rows from `offset` on, as many as there are unless `length` says otherwise."""
    import polars as pl

    try:
        rows = pl.scan_parquet(path, glob=False).slice(offset, length)
        return (rows.select(columns) if columns else rows).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from error


def read_batches(path: Path) -> Iterator["pl.DataFrame"]:
    """The batches, oldest first; a few thousand rows are in memory at a time."""
    start, gathered = 0, []
    sizes = batch_sizes(path)
    for place, size in enumerate(sizes):
        gathered.append(size)
        if sum(gathered) >= GROUP_ROWS or place == len(sizes) - 1:
            block = read_rows(path, None, start, sum(gathered))
            for end, own in zip(accumulate(gathered), gathered, strict=True):
                yield block.slice(end - own, own)
            start += sum(gathered)
            gathered = []


def read_rows_since(path: Path, since_ms: int, columns: Sequence[str]) -> "pl.DataFrame":
    """The newest batches, back to the first that ends before `since_ms`; oldest first."""
    stamps = read_rows(path, ("timestamp",))["timestamp"].dt.timestamp("ms")
    start = stamps.len()
    for size in reversed(batch_sizes(path)):
        newest = stamps.slice(start - size, size).max()
        if newest is None or newest < since_ms:  # type: ignore[operator]
            break
        start -= size
    return read_rows(path, columns, start)


def unreadable(path: Path, error: Exception) -> DataError:
    """The one line for a compacted lake that cannot be read."""
    return DataError(f"{path}: not a readable compacted lake ({error}); restore it from the archive")
