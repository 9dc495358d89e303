"""Read and check one trading day of an NSE option-chain recording (Parquet).

A file holds one row per collection stamp, expiry and strike, calls and puts side by side. Columns that can be
derived are derived; numbers and dates may be text. What is wrong with a file is one line of `DataError`.
Columns are read one at a time: a whole day in one frame would cost ten times the memory of the result.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError, DataError
from g6_core.domain.ist import SECOND_MS, ist_date, ist_text, to_ms

SIDES = ("CALLS", "PUTS")
# Field of each side -> steps per recorded unit: prices become paise, the rest stays in the record's own unit.
SIDE_FIELDS = {"LTP": 100, "Bid_Price": 100, "Ask_Price": 100, "Bid_Qty": 1, "Ask_Qty": 1, "Volume": 1, "OI": 1}
NET_CHANGE = "Net_Chng"
STAMP, STRIKE = "collection_timestamp", "Strike_Price"
NAME_COLUMNS = ("index_name", "Symbol")
EXPIRY_COLUMNS = ("Expiry_Date", "expiry")
EXPIRY_FORMATS = ("%d-%b-%Y", "%Y-%m-%d", "%d %b %Y", "%d-%m-%Y", "%Y%m%d")
# What a field may hold to stay an int32 after conversion; no contract has more OI in lots than the last figure.
INT32_MAX = 2**31 - 1
PRICE_MAX, COUNT_MAX, OI_LOTS_MAX = INT32_MAX // 100, INT32_MAX, INT32_MAX // 1000
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

    @classmethod
    def open(cls, path: Path) -> "_File":
        if not path.is_file():
            raise DataError(f"{path}: no such file; give the path of an NSE chain recording (Parquet)")
        with _readable(path):
            frame = pl.scan_parquet(path, glob=False)
            return cls(path, frame, frame.collect_schema())

    def first_of(self, columns: Iterable[str]) -> str:
        """The first of several columns that the file has."""
        return next(column for column in columns if column in self.schema)

    def column(self, values: pl.Expr, first: int = 0, length: int | None = None) -> pl.Series:
        """One column of the rows from `first` on."""
        with _readable(self.path):
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
class ChainDay:
    """One index on one trading day, on a grid of contracts and snapshots.

    A line of the grid is an expiry and a strike, ordered by both: `expiry_of[line]` is a place in `expiries`,
    `strikes_paise[line]` its strike. `stamps_ms` are the snapshots, ascending. Row i of the record belongs to
    `line[i]` and `snapshot[i]`.
    """

    underlying: str
    trade_date: date
    stamps_ms: NDArray[np.int64]
    expiries: tuple[date, ...]
    expiry_of: NDArray[np.int64]
    strikes_paise: NDArray[np.int64]
    line: NDArray[np.int32]
    snapshot: NDArray[np.int32]
    _file: _File
    _mask: NDArray[np.bool_]

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def listing(self) -> dict[date, list[int]]:
        """Expiry -> strikes in paise, for the instruments dump."""
        return {
            expiry: self.strikes_paise[self.expiry_of == place].tolist() for place, expiry in enumerate(self.expiries)
        }

    def values(self, side: str, field: str) -> NDArray[np.float64]:
        """A field of `SIDE_FIELDS` for CALLS or PUTS, one value per row of the record.

        Prices in paise, bid and ask sizes in units, volume in lots, OI in lots and possibly fractional; 0 where
        the exchange shows nothing. DataError for values that cannot be.
        """
        steps = SIDE_FIELDS[field]
        most = OI_LOTS_MAX if field == "OI" else COUNT_MAX // steps
        return _numbers(self._file, self._mask, f"{side}_{field}", 0, most) * steps

    def net_change_paise(self, side: str) -> NDArray[np.float64] | None:
        """Change of the last price since the previous close per row; None when the file does not have it."""
        column = f"{side}_{NET_CHANGE}"
        if column not in self._file.schema:
            return None
        return _numbers(self._file, self._mask, column, -PRICE_MAX, PRICE_MAX) * 100


def read_chain_day(path: Path, rules: MarketRules, trade_date: date | None, underlying: str | None) -> ChainDay:
    """One index and day of the file; each may be None when the file holds only one (trading) choice.

    Rows of contracts that had expired before the day are left out. Raises DataError for a file that is missing,
    unreadable, of a foreign schema, without the wanted rows or with values that cannot be; CalendarError for
    a day that is not a trading day; UserError for an unknown index.
    """
    if trade_date is not None:
        rules.require_trading_day(trade_date)
    if underlying is not None:
        rules.index(underlying)
    file = _File.open(path)
    _require_columns(path, file.schema.names())
    raw_stamps, stamp_code = file.coded(STAMP)
    stamps = np.array([_stamp_ms(path, raw) for raw in raw_stamps], np.int64)
    days = [ist_date(int(stamp)) for stamp in stamps]
    day = trade_date if trade_date is not None else _only_trading_day(path, rules, set(days))
    mask = np.array([each == day for each in days], np.bool_)[stamp_code]

    raw_names, name_code = file.coded(file.first_of(NAME_COLUMNS))
    names = [_underlying_name(rules, raw) for raw in raw_names]
    held = {names[code] for code in np.unique(name_code[mask])}
    name = _underlying(path, rules, day, held, underlying, set(days))
    mask &= np.array([each == name for each in names], np.bool_)[name_code]

    raw_expiries, expiry_code = file.coded(file.first_of(EXPIRY_COLUMNS))
    expiry = np.array([_expiry(path, raw) for raw in raw_expiries], "datetime64[D]")
    mask &= (expiry >= np.datetime64(day))[expiry_code]
    if not mask.any():
        raise DataError(f"{path}: all contracts of {day} had expired before that day")
    strikes = np.rint(_numbers(file, mask, STRIKE, 1, PRICE_MAX) * 100).astype(np.int64)
    chain = _on_grid(name, day, file, mask, stamps[stamp_code[mask]], expiry[expiry_code[mask]], strikes)
    _require_single_rows(chain)
    return chain


def _on_grid(
    name: str,
    day: date,
    file: _File,
    mask: NDArray[np.bool_],
    stamp_ms: NDArray[np.int64],
    expiry: NDArray[np.datetime64],
    strike_paise: NDArray[np.int64],
) -> ChainDay:
    stamps, snapshot = np.unique(stamp_ms, return_inverse=True)
    expiries, expiry_place = np.unique(expiry, return_inverse=True)
    width = int(strike_paise.max()) + 1
    keys, line = np.unique(expiry_place * width + strike_paise, return_inverse=True)
    return ChainDay(
        underlying=name,
        trade_date=day,
        stamps_ms=stamps,
        expiries=tuple(expiries.tolist()),
        expiry_of=keys // width,
        strikes_paise=keys % width,
        line=line.astype(np.int32),
        snapshot=snapshot.astype(np.int32),
        _file=file,
        _mask=mask,
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the reader's own errors into one line."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise DataError(f"{path}: not a readable Parquet file ({reason}); record or copy it again") from problem


def _numbers(file: _File, mask: NDArray[np.bool_], column: str, least: int, most: int) -> NDArray[np.float64]:
    """The wanted rows of a column; what the exchange leaves empty or marks with a dash is 0."""
    if file.schema[column] == pl.String:
        text = pl.col(column).str.replace_all(",", "").str.strip_chars()
        empty = text.is_null() | text.is_in(["", "-"])
        value = pl.when(empty).then(0.0).otherwise(text.cast(pl.Float64, strict=False).fill_null(float("inf")))
    else:
        value = pl.col(column).cast(pl.Float64).fill_null(0.0).fill_nan(0.0)
    first, end = int(mask.argmax()), len(mask) - int(mask[::-1].argmax())
    values: NDArray[np.float64] = file.column(value, first, end - first).to_numpy()[mask[first:end]]
    if not np.isfinite(values).all():
        raise DataError(f"{file.path}: column {column} holds something that is not a number")
    if values.min() < least or values.max() > most:
        raise DataError(f"{file.path}: column {column} has impossible values, {values.min():g} to {values.max():g}")
    return values


def _require_columns(path: Path, columns: Iterable[str]) -> None:
    held = set(columns)
    required = [STAMP, STRIKE, *(f"{side}_{field}" for side in SIDES for field in SIDE_FIELDS)]
    missing = [column for column in required if column not in held]
    missing += [" or ".join(choices) for choices in (NAME_COLUMNS, EXPIRY_COLUMNS) if held.isdisjoint(choices)]
    if missing:
        raise DataError(f"{path}: not an NSE chain recording: missing columns {', '.join(missing)}")


def _stamp_ms(path: Path, raw: object) -> int:
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


def _expiry(path: Path, raw: object) -> date:
    if isinstance(raw, datetime):
        return raw.date()
    if isinstance(raw, date):
        return raw
    for form in EXPIRY_FORMATS:
        try:
            return datetime.strptime(str(raw).strip(), form).date()  # noqa: DTZ007 (a day has no zone)
        except ValueError:
            continue
    raise DataError(f"{path}: expiry {raw!r} is not a date like 29-Dec-2026")


def _underlying_name(rules: MarketRules, raw: object) -> str:
    """The underlying, also where the file writes the name of the index (``Nifty Bank``)."""
    name = str(raw).strip().upper()
    return next((u for u in rules.underlyings if name in (u, rules.index(u).index_symbol.upper())), name)


def _only_trading_day(path: Path, rules: MarketRules, days: set[date]) -> date:
    trading = [day for day in days if rules.is_trading_day(day)]
    if len(trading) == 1:
        return trading[0]
    if not trading:
        raise CalendarError(f"{path}: no trading day in the file; it holds only {_listed(days)}")
    raise DataError(f"{path}: several trading days, {_listed(trading)}; choose one with --date")


def _underlying(path: Path, rules: MarketRules, day: date, names: set[str], wanted: str | None, days: set[date]) -> str:
    if not names:
        raise DataError(f"{path}: no rows of {day}; the file holds {_listed(days)}")
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{path}: no rows of {wanted} on {day}; the file holds {_listed(names)}")
        return wanted
    if len(names) > 1:
        raise DataError(f"{path}: several indices on {day}, {_listed(names)}; choose one with --index")
    return rules.index(names.pop()).underlying


def _require_single_rows(chain: ChainDay) -> None:
    place = chain.line.astype(np.int64) * len(chain.stamps_ms) + chain.snapshot
    seen = np.bincount(place)
    if seen.max() < 2:
        return
    line, snapshot = divmod(int(np.flatnonzero(seen > 1)[0]), len(chain.stamps_ms))
    raise DataError(
        f"{chain.path}: {int((seen - 1)[seen > 1].sum())} duplicate rows, among them expiry "
        f"{chain.expiries[chain.expiry_of[line]]} strike {chain.strikes_paise[line] / 100:g} at "
        f"{ist_text(int(chain.stamps_ms[snapshot]))} IST; keep one row per stamp, expiry and strike"
    )


def _listed(values: Iterable[object]) -> str:
    texts = sorted(str(value) for value in values)
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")
