"""After the close: a lake's stream becomes one Parquet file, and goes when every row was found in it again."""

from pathlib import Path

from g6_core.adapters.files import unwritable, write_atomic
from g6_core.adapters.lake import hold_lake, lake_batches, read_lake
from g6_core.adapters.lake_parquet import batch_sizes, parquet_bytes, parquet_of, read_rows
from g6_core.domain.errors import DataError


def compact_lake(path: Path, *, drop_stream: bool = False) -> Path:
    """Write the compacted form of a stream, read it back and compare every row. Returns its path.

    The same rows give the same bytes. The stream stays unless `drop_stream`: it goes last, so that a crash leaves
    both forms or one that is whole. A day without its stream keeps the form it has. DataError when nothing was
    collected, somebody is collecting, or what was written is not what the stream holds.
    """
    compacted = parquet_of(path)
    with hold_lake(path):
        if not path.exists() and compacted.exists():
            return compacted
        rows, sizes = read_lake(path), [batch.height for batch in lake_batches(path)]
        if _batches_there(compacted) > len(sizes):
            raise DataError(f"{path}: holds less than {compacted.name}; move one of them away")
        data = parquet_bytes(rows, sizes)
        try:
            if not compacted.exists() or compacted.read_bytes() != data:
                write_atomic(compacted, data)
            if batch_sizes(compacted) != sizes or not read_rows(compacted, None).equals(rows, null_equal=True):
                raise DataError(f"{compacted}: does not hold the rows of {path.name}; compact the day again")
            if drop_stream:
                path.unlink()
        except OSError as error:
            raise unwritable(compacted, error) from error
    return compacted


def _batches_there(compacted: Path) -> int:
    """How many batches were compacted before; a damaged file has none, since the stream can replace it."""
    try:
        return len(batch_sizes(compacted)) if compacted.exists() else 0
    except DataError:
        return 0
