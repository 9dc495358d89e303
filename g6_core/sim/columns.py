"""Columns of foreign tables, whatever their type, as what they mean: moments, days, figures and names.

Each function returns an expression over the frame it was given, so that a column is cast once and where it is read. The
few different texts of a column are read for that at once; one that cannot be read is a DataError that names it.
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from g6_core.domain.errors import DataError
from g6_core.domain.ist import DAY_MS, IST_OFFSET_MS, SECOND_MS
from g6_core.domain.stamps import (
    DAY_CLOCKS,
    EMPTY_TEXTS,
    YEAR_MAX,
    YEAR_MIN,
    is_empty,
    is_number,
    read_day,
    read_stamp,
)
from g6_core.sim.table_file import readable

STAMP_LIKE = "2026-01-07 09:19:00 (Indian time) or 2026-01-07T03:49:00Z"
DAY_LIKE = "2026-01-27 or 27-Jan-2026"
_TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Binary)
# Commas group the digits of a figure, as in India or elsewhere; a comma before the decimals (0,125) is not guessed.
_GROUPED = r"^[+-]?(?:[1-9]\d?(?:,\d\d)*|[1-9]\d{0,2}(?:,\d{3})*),\d{3}(?:\.\d*)?$"


def moments(path: Path, frame: pl.LazyFrame, column: str) -> pl.Expr:
    """Int64: milliseconds since the epoch to the second, null where the cell is empty.

    Naive times are Indian. DataError for a column or a text that is no time stamp.
    """
    kind = frame.collect_schema()[column]
    if isinstance(kind, pl.Datetime):
        _require_years(path, frame, column)
        shift_ms = 0 if kind.time_zone else IST_OFFSET_MS
        return (pl.col(column).dt.epoch("ms") - shift_ms) // SECOND_MS * SECOND_MS
    if kind == pl.Null:
        return _empty(column, pl.Int64())
    if kind not in _TEXTS:
        raise _no_times(path, frame, column, kind)

    def moment(text: str) -> int | None:
        stamp = read_stamp(text)
        return None if stamp is None else stamp.time_ms

    return _mapped(path, frame, column, moment, pl.Int64(), f"a time stamp like {STAMP_LIKE}")


def days(path: Path, frame: pl.LazyFrame, column: str) -> pl.Expr:
    """Date, null where the cell is empty; of a moment with a zone the date in India.

    DataError for a column or a text that is no day, and for a moment without zone that is neither midnight nor a close.
    """
    kind = frame.collect_schema()[column]
    if kind == pl.Date:
        return pl.col(column)
    if isinstance(kind, pl.Datetime):
        _require_years(path, frame, column)
        if kind.time_zone:
            return ((pl.col(column).dt.epoch("ms") + IST_OFFSET_MS) // DAY_MS).cast(pl.Int32).cast(pl.Date)
        with readable(path):
            other = (
                frame.select(pl.col(column).filter(~pl.col(column).dt.time().is_in(DAY_CLOCKS)).first())
                .collect()
                .item()
            )
        if other is not None:
            raise DataError(
                f"{path}: column {column} has {other} for a day; write the day, or the moment with its zone"
            )
        return pl.col(column).dt.date()
    if kind == pl.Null:
        return _empty(column, pl.Date())
    if not kind.is_numeric() and kind not in _TEXTS:
        raise DataError(f"{path}: column {column} holds {kind}, no days; write them like {DAY_LIKE}")
    return _mapped(path, frame, column, read_day, pl.Date(), f"a date like {DAY_LIKE}")


def figures(path: Path, frame: pl.LazyFrame, column: str) -> pl.Expr:
    """Float64; an empty cell is null and a text that is no number infinite, so that it is found.

    DataError for a column that holds no numbers at all.
    """
    kind = frame.collect_schema()[column]
    if kind.is_numeric() or kind == pl.Null:
        return pl.col(column).cast(pl.Float64).fill_nan(None)
    if kind not in _TEXTS:
        raise DataError(f"{path}: column {column} holds {kind}, no numbers")
    text = names(column).str.strip_chars()
    plain = pl.when(text.str.contains(_GROUPED)).then(text.str.replace_all(",", "")).otherwise(text)
    number = plain.cast(pl.Float64, strict=False).fill_nan(float("inf")).fill_null(float("inf"))
    return pl.when(text.is_not_null() & ~_is_empty(text)).then(number)


def names(column: str) -> pl.Expr:
    """String, whatever kind of text or number the column holds."""
    return pl.col(column).cast(pl.String)


def _is_empty(text: pl.Expr) -> pl.Expr:
    """As `g6_core.domain.stamps.is_empty`, for a column that is too long to go through one by one."""
    return text.str.to_lowercase().is_in(list(EMPTY_TEXTS))


def _mapped(
    path: Path, frame: pl.LazyFrame, column: str, value: Callable[[str], object], kind: pl.DataType, like: str
) -> pl.Expr:
    """A column by its different texts. DataError naming the first that `value` cannot read, and how many are such."""
    with readable(path):
        counts = frame.select(_text(frame, column).alias("text")).group_by("text").len().collect()
    texts = dict(counts.drop_nulls().rows())
    read = {text: None if is_empty(text) else value(text) for text in sorted(texts)}
    bad = [text for text, found in read.items() if found is None and not is_empty(text)]
    if bad:
        cells = sum(texts[text] for text in bad)
        why = "; what a bare number counts from 1970 on is not guessed" if is_number(bad[0]) else ""
        raise DataError(
            f"{path}: column {column} has {bad[0]!r}, not {like}{why} ({cells} of {sum(texts.values())} cells)"
        )
    if not read:
        return _empty(column, kind)
    return _text(frame, column).replace_strict(list(read), list(read.values()), default=None, return_dtype=kind)


def _empty(column: str, kind: pl.DataType) -> pl.Expr:
    """As many nulls as the column has cells."""
    return pl.when(pl.col(column).is_null()).then(pl.lit(None, kind))


def _text(frame: pl.LazyFrame, column: str) -> pl.Expr:
    """The cells as text; a whole number that is stored as a fraction is written without one."""
    cells = pl.col(column)
    if not frame.collect_schema()[column].is_float():
        return cells.cast(pl.String)
    return (
        pl.when(cells.floor() == cells)
        .then(cells.cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(cells.cast(pl.String))
    )


def _require_years(path: Path, frame: pl.LazyFrame, column: str) -> None:
    """DataError for moments in years that no recording is of."""
    year = pl.col(column).dt.epoch("ms") // (DAY_MS * 365.2425) + YEAR_MIN
    with readable(path):
        first, last = frame.select(year.min().alias("first"), year.max().alias("last")).collect().row(0)
    if first is not None and not YEAR_MIN <= first <= last <= YEAR_MAX:
        raise DataError(f"{path}: column {column} has moments of the years {first:.0f} to {last:.0f}; record it again")


def _no_times(path: Path, frame: pl.LazyFrame, column: str, kind: pl.DataType) -> DataError:
    why = ""
    if kind.is_numeric():
        with readable(path):
            first = frame.select(pl.col(column).drop_nulls().first()).collect().item()
        why = f"; what {first} counts from 1970 on is not guessed"
    return DataError(f"{path}: column {column} holds {kind}, no time stamps like {STAMP_LIKE}{why}")
