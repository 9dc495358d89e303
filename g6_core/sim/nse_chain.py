"""Read and check one trading day of an NSE option-chain recording (Parquet).

A file holds one row per collection stamp, expiry and strike, calls and puts side by side. Columns that can be
derived are derived; numbers and dates may be text. What is wrong with a file is one line of `DataError`.
Columns are read one at a time: a whole day in one frame would cost ten times the memory of the result.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import DAY_MS, IST_OFFSET_MS
from g6_core.sim.chain_day import (
    COUNT_MAX,
    OI_LOTS_MAX,
    PRICE_MAX,
    SIDES,
    ChainDay,
    Field,
    Floats,
    all_expired,
    chosen_underlying,
    grid_of,
    only_trading_day,
    underlying_name,
)
from g6_core.sim.columns import days, figures, moments, names
from g6_core.sim.table_file import readable

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

    def whole(self, column: str, values: pl.Expr) -> pl.Series:
        """A column of all rows, each with a value. DataError when the file has no rows or a cell is empty."""
        series = self.column(values)
        if series.is_empty():
            raise DataError(f"{self.path}: the file has no rows")
        if series.null_count():
            raise DataError(f"{self.path}: column {column} is empty in {series.null_count()} rows")
        return series


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
    stamps = file.whole(STAMP, moments(path, frame, STAMP)).to_numpy()
    day_of = ((stamps + IST_OFFSET_MS) // DAY_MS).astype("datetime64[D]")
    held_days = set(np.unique(day_of).tolist())
    day = trade_date if trade_date is not None else only_trading_day(path, rules, held_days)
    mask = day_of == np.datetime64(day)

    column = file.first_of(NAME_COLUMNS)
    coded = file.whole(column, names(column).cast(pl.Categorical))
    named = {raw: underlying_name(rules, raw) for raw in coded.unique().cast(pl.String).to_list()}
    held = {named[raw] for raw in coded.filter(mask).unique().cast(pl.String).to_list()}
    name = chosen_underlying(path, rules, day, held, underlying, held_days)
    mask &= coded.is_in([raw for raw, one in named.items() if one == name]).to_numpy()

    column = file.first_of(EXPIRY_COLUMNS)
    expiry = file.whole(column, days(path, frame, column)).to_numpy().astype("datetime64[D]")
    mask &= expiry >= np.datetime64(day)
    if not mask.any():
        raise all_expired(path, day)
    strikes = np.rint(_numbers(file, mask, STRIKE, 1, PRICE_MAX) * 100).astype(np.int64)
    grid = grid_of(path, stamps[mask], expiry[mask], strikes)
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
    value = figures(file.path, file.frame, column).fill_null(0.0)
    first, end = int(mask.argmax()), len(mask) - int(mask[::-1].argmax())
    values: Floats = file.column(value, first, end - first).to_numpy()[mask[first:end]]
    if not np.isfinite(values).all():
        raise DataError(f"{file.path}: column {column} holds something that is not a number")
    if values.min() < least or values.max() > most:
        raise DataError(f"{file.path}: column {column} has impossible values, {values.min():g} to {values.max():g}")
    return values
