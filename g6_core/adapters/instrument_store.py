"""The instruments dump of a day as Parquet: kept as Kite gave it, read back as the book of the day."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from g6_core.adapters.files import write_atomic
from g6_core.adapters.kite_market import instruments_from_kite
from g6_core.adapters.lake_parquet import frame_bytes
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook

# One of each index and a few more.
BOOKS_KEPT = 8


def save_dump(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows, columns as Kite names them; an empty expiry becomes null. DataError when that fails."""
    import polars as pl

    frame = pl.DataFrame(
        [{**row, "expiry": row["expiry"] or None, "exchange_token": str(row["exchange_token"])} for row in rows],
        schema_overrides={"expiry": pl.Date, "strike": pl.Float64, "tick_size": pl.Float64, "last_price": pl.Float64},
        infer_schema_length=None,
    )
    write_atomic(path, frame_bytes(frame))


def load_book(path: Path, rules: MarketRules, underlyings: Sequence[str]) -> InstrumentBook:
    """The book of the wanted underlyings from a stored dump. DataError when it is missing or not a dump."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no instruments dump; run the prepare stage first (in Dagster: the job pre_open)"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; make it readable") from error
    return _book(path, (found.st_ino, found.st_size, found.st_mtime_ns), rules, tuple(underlyings))


@lru_cache(maxsize=BOOKS_KEPT)
def _book(
    path: Path, _version: tuple[int, int, int], rules: MarketRules, underlyings: tuple[str, ...]
) -> InstrumentBook:
    """The book of one version of the file: an evening reads it for every account of a day."""
    import polars as pl

    try:
        frame = pl.read_parquet(path)
        wanted = frame.filter(pl.col("name").is_in(list(underlyings)) | (pl.col("segment") == "INDICES"))
        rows = [{**row, "expiry": row["expiry"] or ""} for row in wanted.to_dicts()]
        return instruments_from_kite(rows, rules, underlyings)
    except (pl.exceptions.PolarsError, OSError, KeyError) as error:
        raise DataError(f"{path}: not an instruments dump ({error}); run the prepare stage again") from error
