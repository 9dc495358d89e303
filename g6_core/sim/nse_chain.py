"""Read and check one trading day of an NSE option-chain recording (Parquet).

A file holds one row per collection stamp, expiry and strike, calls and puts side by side. Columns that can be
derived are derived; numbers and dates may be text. What is wrong with a file is one line of `DataError`.
Columns are read one at a time: a whole day in one frame would cost ten times the memory of the result.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import SECOND_MS, ist_date, to_ms
from g6_core.sim.chain_day import (
    COUNT_MAX,
    OI_LOTS_MAX,
    PRICE_MAX,
    SIDES,
    ChainDay,
    Field,
    Floats,
    chosen_underlying,
    expiry_date,
    grid_of,
    only_trading_day,
    readable,
    underlying_name,
)

NSE_FIELDS = {
    Field.LTP: "LTP",
    Field.BID: "Bid_Price",
    Field.ASK: "Ask_Price",
    Field.BID_QTY: "Bid_Qty",
    Field.ASK_QTY: "Ask_Qty",
    Field.VOLUME: "Volume",
    Field.OI: "OI",
}
PRICES = (Field.LTP, Field.BID, Field.ASK)
NET_CHANGE = "Net_Chng"
STAMP, STRIKE = "collection_timestamp", "Strike_Price"
NAME_COLUMNS = ("index_name", "Symbol")
EXPIRY_COLUMNS = ("Expiry_Date", "expiry")
# Date, time with one separator throughout (a minus may also begin an offset), fraction of a second, zone.
STAMP_TEXT = re.compile(
    r"(\d{4})\D?(\d\d)\D?(\d\d)[^\d+]*(\d\d)([^\d+]?)(\d\d)\5(\d\d)(?:[.,:_]?\d+)?"
    r"\s*(?:IST|(?P<utc>Z|UTC)|(?P<offset>[+-]\d\d(?::?\d\d)?))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _File:
    """An opened recording; every read that fails is a DataError."""

    path: Path
    frame: pl.LazyFrame
    schema: pl.Schema

    def first_of(self, columns: Iterable[str]) -> str:
        """The first of several columns that the file has."""
        return next(column for column in columns if column in self.schema)

    def column(self, values: pl.Expr, first: int = 0, length: int | None = None) -> pl.Series:
        """One column of the rows from `first` on."""
        with readable(self.path):
            return self.frame.slice(first, length).select(values).collect().to_series()

    def coded(self, column: str) -> tuple[list[Any], NDArray[np.int32]]:
        """The distinct values of a column, and for each row its place among them."""
        values = pl.col(column)
        if self.schema[column].is_integer():
            values = values.cast(pl.String)
        if not self.schema[column].is_temporal():
            values = values.cast(pl.Categorical)
        series = self.column(values)
        if series.is_empty():
            raise DataError(f"{self.path}: the file has no rows")
        if series.null_count():
            raise DataError(f"{self.path}: column {column} is empty in {series.null_count()} rows")
        _, first, place = np.unique(series.to_physical().to_numpy(), return_index=True, return_inverse=True)
        text = series.gather(first)
        return (text if series.dtype.is_temporal() else text.cast(pl.String)).to_list(), place.astype(np.int32)


@dataclass(frozen=True, slots=True)
class _NseCells:
    """The wanted rows of an opened file, read column by column; volume and OI in lots, OI possibly fractional."""

    file: _File
    mask: NDArray[np.bool_]

    def values(self, side: str, field: Field) -> Floats:
        """See `Cells`."""
        steps = 100 if field in PRICES else 1
        most = OI_LOTS_MAX if field is Field.OI else COUNT_MAX // steps
        return _numbers(self.file, self.mask, f"{side}_{NSE_FIELDS[field]}", 0, most) * steps

    def net_change_paise(self, side: str) -> Floats | None:
        """See `Cells`."""
        column = f"{side}_{NET_CHANGE}"
        if column not in self.file.schema:
            return None
        return _numbers(self.file, self.mask, column, -PRICE_MAX, PRICE_MAX) * 100


def read_nse_day(
    path: Path, frame: pl.LazyFrame, rules: MarketRules, trade_date: date | None, underlying: str | None
) -> ChainDay:
    """One index and day of an opened file that has `missing_nse_columns` none; see `g6_core.sim.recording`.

    Rows of contracts that had expired before the day are left out.
    """
    file = _File(path, frame, frame.collect_schema())
    raw_stamps, stamp_code = file.coded(STAMP)
    stamps = np.array([nse_stamp_ms(path, raw) for raw in raw_stamps], np.int64)
    days = [ist_date(int(stamp)) for stamp in stamps]
    day = trade_date if trade_date is not None else only_trading_day(path, rules, set(days))
    mask = np.array([each == day for each in days], np.bool_)[stamp_code]

    raw_names, name_code = file.coded(file.first_of(NAME_COLUMNS))
    names = [underlying_name(rules, raw) for raw in raw_names]
    held = {names[code] for code in np.unique(name_code[mask])}
    name = chosen_underlying(path, rules, day, held, underlying, set(days))
    mask &= np.array([each == name for each in names], np.bool_)[name_code]

    raw_expiries, expiry_code = file.coded(file.first_of(EXPIRY_COLUMNS))
    expiry = np.array([expiry_date(path, raw) for raw in raw_expiries], "datetime64[D]")
    mask &= (expiry >= np.datetime64(day))[expiry_code]
    if not mask.any():
        raise DataError(f"{path}: all contracts of {day} had expired before that day")
    strikes = np.rint(_numbers(file, mask, STRIKE, 1, PRICE_MAX) * 100).astype(np.int64)
    grid = grid_of(path, stamps[stamp_code[mask]], expiry[expiry_code[mask]], strikes)
    return ChainDay(
        path=path,
        underlying=name,
        trade_date=day,
        grid=grid,
        cells=_NseCells(file, mask),
        in_lots=True,
        has_touch=True,
    )


def missing_nse_columns(columns: Iterable[str]) -> list[str]:
    """What a file lacks to be an NSE chain recording."""
    held = set(columns)
    required = [STAMP, STRIKE, *(f"{side}_{name}" for side in SIDES for name in NSE_FIELDS.values())]
    missing = [column for column in required if column not in held]
    return missing + [" or ".join(choices) for choices in (NAME_COLUMNS, EXPIRY_COLUMNS) if held.isdisjoint(choices)]


def _numbers(file: _File, mask: NDArray[np.bool_], column: str, least: int, most: int) -> Floats:
    """The wanted rows of a column; what the exchange leaves empty or marks with a dash is 0."""
    if file.schema[column] == pl.String:
        text = pl.col(column).str.replace_all(",", "").str.strip_chars()
        empty = text.is_null() | text.is_in(["", "-"])
        value = pl.when(empty).then(0.0).otherwise(text.cast(pl.Float64, strict=False).fill_null(float("inf")))
    else:
        value = pl.col(column).cast(pl.Float64).fill_null(0.0).fill_nan(0.0)
    first, end = int(mask.argmax()), len(mask) - int(mask[::-1].argmax())
    values: Floats = file.column(value, first, end - first).to_numpy()[mask[first:end]]
    if not np.isfinite(values).all():
        raise DataError(f"{file.path}: column {column} holds something that is not a number")
    if values.min() < least or values.max() > most:
        raise DataError(f"{file.path}: column {column} has impossible values, {values.min():g} to {values.max():g}")
    return values


def nse_stamp_ms(path: Path, raw: object) -> int:
    """The moment of a collection to the second; one without zone is IST."""
    if isinstance(raw, datetime):
        return to_ms(raw) // SECOND_MS * SECOND_MS
    text = STAMP_TEXT.fullmatch(str(raw).strip())
    try:
        if text is not None:
            digits = "".join(text.group(1, 2, 3, 4, 6, 7))
            zone = "Z" if text["utc"] else text["offset"] or ""
            zone += "00" if len(zone) == len("+05") else ""
            form = "%Y%m%d%H%M%S%z" if zone else "%Y%m%d%H%M%S"
            return to_ms(datetime.strptime(digits + zone, form))  # noqa: DTZ007 (naive is IST, see to_ms)
    except ValueError:
        pass
    raise DataError(f"{path}: {STAMP} {raw!r} is not like 20250829_092416 (IST) or 2025-08-29T03:54:16Z")
