"""Open a table that others wrote, Parquet or CSV, and say in one line what cannot be read of it.

A Parquet file is known by its first bytes, whatever its name; a CSV (plain or gzipped) is read as text, its types are
for `g6_core.sim.columns`. Only columns that somebody asks for are ever read, so that no other one is in the way.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from g6_core.domain.errors import DataError

PARQUET_MAGIC, GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
# What is no table of ours whatever its name, by how it begins.
OTHER_FILES = {
    b"PK\x03\x04": "a zip archive or a workbook; unpack it, or save it as CSV",
    b"ARROW1": "an Arrow (Feather) file; write it as Parquet",
    b"\xff\xfe": "text in UTF-16; write it in UTF-8",
    b"\xfe\xff": "text in UTF-16; write it in UTF-8",
}
CSV_SUFFIXES = (".csv", ".txt", ".gz")
OTHER_SEPARATORS = (";", "\t", "|")
# A time zone of a Parquet file need not be one that polars knows ("+05:30"); only the moments are read, never the zone.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")
_stderr = threading.RLock()


def open_table(path: Path, advice: str) -> pl.LazyFrame:
    """Return the file, not read yet. DataError when it cannot be opened; `advice` ends the line of a missing one."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; {advice}")
    with readable(path):
        _require_table(path)
        frame = pl.scan_csv(path, infer_schema=False, glob=False) if is_csv(path) else pl.scan_parquet(path, glob=False)
        names = frame.collect_schema().names()
    separator = next((mark for mark in OTHER_SEPARATORS if len(names) == 1 and mark in names[0]), None)
    if separator is not None:
        raise DataError(f"{path}: the columns are separated by {separator!r}; write the CSV with commas")
    return frame


def _require_table(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, kind in OTHER_FILES.items():
        if start.startswith(magic):
            raise DataError(f"{path}: not a table but {kind}")


def is_csv(path: Path) -> bool:
    """Return True for what is read as CSV: by the content first, then by the name."""
    with path.open("rb") as file:
        start = file.read(len(PARQUET_MAGIC))
    if start == PARQUET_MAGIC:
        return False
    return start.startswith(GZIP_MAGIC) or path.suffix.lower() in CSV_SUFFIXES


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the reader's own errors into one line, and keep its backtraces from the terminal."""
    try:
        with _no_backtrace():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        kind = "CSV" if path.suffix.lower() in CSV_SUFFIXES else "Parquet"
        raise DataError(f"{path}: not a readable {kind} file ({reason}); record or copy it again") from problem


@contextmanager
def _no_backtrace() -> Iterator[None]:
    """polars writes the backtrace of a damaged file to the process's own stderr before its error arrives here."""
    with _stderr:
        sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:
            # There is no stderr, so nothing can be written to it.
            yield
            return
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
