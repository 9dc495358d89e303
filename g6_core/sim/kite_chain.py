"""Read one trading day of a recording of Kite chain snapshots (Parquet, or a single CSV): last price, OI, volume, spot.

A row is one snapshot, expiry and strike, calls and puts side by side, without bid, ask and sizes. OI and volume are
units of the underlying. Columns are known by several names (`NAMES`); text is read like numbers and dates.

Left out: rows without stamp, expiry or strike; exact copies of another row; rows whose volume is not whole lots (two
lines of the recorder run into one: a price of another contract); contracts that had expired; everything stamped before
the open, which shows the day before, and what repeats it after the open. `g6 data inspect` counts all of these.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path

import numpy as np
import polars as pl

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.errors import DataError
from g6_core.domain.ist import DAY_MS, at, ist_date
from g6_core.sim.chain_day import (
    COUNT_MAX,
    PRICE_MAX,
    SIDES,
    ChainDay,
    Field,
    Floats,
    all_expired,
    chosen_underlying,
    grid_of,
    no_session,
    only_trading_day,
    underlying_name,
)
from g6_core.sim.columns import days, figures, moments, names
from g6_core.sim.table_file import readable

# Our name -> names of the column in a file, lower case, everything but letters and digits as one underscore.
NAMES = {
    "symbol": ("symbol", "stock", "index", "underlying", "name"),
    "expiry": ("expiry", "expiry_date"),
    "strike": ("strike", "strike_price"),
    "ce_ltp": ("ce_ltp",),
    "ce_oi": ("ce_oi",),
    "pe_ltp": ("pe_ltp",),
    "pe_oi": ("pe_oi",),
    "timestamp": ("timestamp", "row_ts"),
}
OPTIONAL = {
    "ce_volume": ("ce_volume", "ce_vol"),
    "pe_volume": ("pe_volume", "pe_vol"),
    "spot": ("spot", "stock_ltp", "spot_price", "underlying_value"),
    "pct_change": ("pct_change", "change", "stock_change"),
}
KEY_COLUMNS = ("symbol", "stamp_ms", "expiry", "strike")
# Field -> largest value in the file, steps per unit of the file, what an empty cell is.
MOST = {
    Field.LTP: (PRICE_MAX, 100, 0.0),
    Field.OI: (COUNT_MAX, 1, 0.0),
    Field.VOLUME: (float(COUNT_MAX) * 10, 1, np.nan),
}
# A few torn rows are left out; more of them mean another unit or another lot.
WHOLE_LOTS_SHARE_MIN = 0.95
PREFIXES = dict(zip(SIDES, ("ce", "pe"), strict=True))


@dataclass(frozen=True, slots=True)
class _KiteCells:
    """The wanted rows: columns of numbers, nulls allowed in the volume."""

    path: Path
    rows: pl.DataFrame

    def values(self, side: str, field: Field) -> Floats:
        """See `Cells`; only LTP, VOLUME and OI are there."""
        column = f"{PREFIXES[side]}_{field.value}"
        most, steps, empty = MOST[field]
        return _sane(self.path, column, self.rows[column].to_numpy(), most, empty=empty) * steps

    def net_change_paise(self, side: str) -> Floats | None:
        """None: a snapshot does not have it."""
        return None


def missing_kite_columns(columns: Iterable[str]) -> list[str]:
    """What a file lacks to be a recording of Kite chain snapshots."""
    held = {_plain(column) for column in columns}
    return [name for name, choices in NAMES.items() if held.isdisjoint(choices)]


def kite_frame(path: Path, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of `NAMES` and `OPTIONAL` by our names, the stamp as `stamp_ms` (milliseconds, to the second).

    Figures are float64; an optional column may be all null. DataError for a column or a stamp that cannot be read.
    """
    wanted: list[pl.Expr] = []
    for name in NAMES | OPTIONAL:
        column = kite_column(path, frame, name)
        match name:
            case _ if column is None:
                wanted.append(pl.lit(None, pl.Float64).alias(name))
            case "symbol":
                wanted.append(names(column).alias(name))
            case "timestamp":
                wanted.append(moments(path, frame, column).alias("stamp_ms"))
            case "expiry":
                wanted.append(days(path, frame, column).alias(name))
            case _:
                wanted.append(figures(path, frame, column).alias(name))
    return frame.select(wanted)


def kite_column(path: Path, frame: pl.LazyFrame, name: str) -> str | None:
    """Return what the file calls a column; None when it has none. DataError when two columns have that name."""
    by_plain: dict[str, list[str]] = {}
    for column in frame.collect_schema().names():
        by_plain.setdefault(_plain(re.sub(r"_duplicated_\d+$", "", column)), []).append(column)
    for choice in (NAMES | OPTIONAL)[name]:
        match by_plain.get(choice, []):
            case []:
                continue
            case [column]:
                return column
            case several:
                raise DataError(f"{path}: {len(several)} columns are called {several[0]}; keep the right one")
    return None


def read_kite_day(
    path: Path, frame: pl.LazyFrame, rules: MarketRules, trade_date: date | None, underlying: str | None
) -> ChainDay:
    """One index and day of an opened file that has `missing_kite_columns` none; see `g6_core.sim.recording`."""
    chain = kite_frame(path, frame).filter(pl.all_horizontal(pl.col(KEY_COLUMNS).is_not_null()))
    with readable(path):
        seen = chain.select("symbol", "stamp_ms").unique().collect().rows()
    if not seen:
        raise DataError(f"{path}: no row has a stamp, an index, an expiry and a strike; record it again")
    days_held = {ist_date(moment) for moment in {moment for _, moment in seen}}
    day = trade_date if trade_date is not None else only_trading_day(path, rules, days_held)
    held = {underlying_name(rules, symbol) for symbol, moment in seen if ist_date(moment) == day}
    name = chosen_underlying(path, rules, day, held, underlying, days_held)
    session = rules.index_session(name, day)
    symbols = [raw for raw in {raw for raw, _ in seen} if underlying_name(rules, raw) == name]
    rows = _of_this_day(_rows_of(path, chain, symbols, session), session.open_ms)
    if rows.is_empty():
        raise no_session(path, name, day, session)
    return _chain_day(path, _whole_lots(path, rows, rules, name, day), name, day)


def _rows_of(path: Path, chain: pl.LazyFrame, symbols: list[str], session: Session) -> pl.DataFrame:
    """Rows of these symbols and the session's day, no expired contract and no exact copy.

    DataError when all that was recorded within the session had expired.
    """
    day, stamp_ms = ist_date(session.open_ms), pl.col("stamp_ms")
    start_ms = at(day, time(0))
    with readable(path):
        of_day = stamp_ms.is_between(start_ms, start_ms + DAY_MS, closed="left")
        rows = chain.filter(pl.col("symbol").is_in(symbols), of_day).collect()
    inside = rows.filter(stamp_ms.is_between(session.open_ms, session.close_ms, closed="left"))
    if inside.height and inside.select((pl.col("expiry") < day).all()).item():
        raise all_expired(path, day)
    rows = rows.filter(pl.col("expiry") >= day)
    return rows.drop("symbol").unique().sort("stamp_ms", "expiry", "strike")


def _of_this_day(rows: pl.DataFrame, open_ms: int) -> pl.DataFrame:
    """Rows from the open on, without leading snapshots that still repeat the last one before the open."""
    stamps = rows["stamp_ms"].unique().sort()
    earlier = stamps.filter(stamps < open_ms)
    first = open_ms
    if len(earlier):
        old = rows.filter(pl.col("stamp_ms") == earlier[-1]).drop("stamp_ms")
        for stamp in stamps.filter(stamps >= open_ms):
            if not rows.filter(pl.col("stamp_ms") == stamp).drop("stamp_ms").equals(old):
                break
            first = stamp + 1
    return rows.filter(pl.col("stamp_ms") >= first)


def _whole_lots(path: Path, rows: pl.DataFrame, rules: MarketRules, underlying: str, day: date) -> pl.DataFrame:
    """Rows whose volumes are whole lots. DataError when so many are not that the lot itself must be wrong."""
    lots = {expiry: rules.lot_size(underlying, day, expiry) for expiry in rows["expiry"].unique().to_list()}
    lot = pl.col("expiry").replace_strict(lots, return_dtype=pl.Float64)
    whole = pl.all_horizontal(((pl.col(column) % lot) == 0).fill_null(True) for column in ("ce_volume", "pe_volume"))
    kept = rows.filter(whole)
    if kept.height < WHOLE_LOTS_SHARE_MIN * rows.height:
        sizes = ", ".join(f"{expiry}: {size}" for expiry, size in lots.items())
        raise DataError(
            f"{path}: {rows.height - kept.height} of {rows.height} rows of {underlying} on {day} have a volume that is "
            f"not whole lots ({sizes}); record it in units, or correct the lot in config/market/contracts.yaml"
        )
    return kept


def _chain_day(path: Path, rows: pl.DataFrame, name: str, day: date) -> ChainDay:
    strikes = np.rint(_sane(path, "strike", rows["strike"].to_numpy(), PRICE_MAX, least=1) * 100).astype(np.int64)
    grid = grid_of(path, rows["stamp_ms"].to_numpy(), rows["expiry"].to_numpy(), strikes)
    index = (
        rows.group_by("stamp_ms").agg(pl.col("spot", "pct_change").filter(pl.col("spot") > 0).first()).sort("stamp_ms")
    )
    spot = _sane(path, "spot", index["spot"].to_numpy(), PRICE_MAX, empty=np.nan) * 100
    return ChainDay(
        path=path,
        underlying=name,
        trade_date=day,
        grid=grid,
        cells=_KiteCells(path, rows),
        in_lots=False,
        has_touch=False,
        spot_paise=spot if np.isfinite(spot).any() else None,
        spot_close_paise=_index_close(index, spot),
    )


def _index_close(index: pl.DataFrame, spot_paise: Floats) -> int:
    """Previous close of the index from its first known value and change in percent; 0 when not recorded."""
    change = index["pct_change"].to_numpy()
    known = np.flatnonzero(np.isfinite(spot_paise) & np.isfinite(change))
    return round(spot_paise[known[0]] / (1 + change[known[0]] / 100)) if len(known) else 0


def _sane(path: Path, column: str, values: Floats, most: float, least: float = 0, empty: float = 0.0) -> Floats:
    """Figures that can be; what is empty becomes `empty`. DataError naming the column otherwise."""
    known = values[~np.isnan(values)]
    if not np.isfinite(known).all():
        raise DataError(f"{path}: column {column} holds something that is not a number")
    if len(known) and (known.min() < least or known.max() > most):
        raise DataError(f"{path}: column {column} has impossible values, {known.min():g} to {known.max():g}")
    return np.where(np.isnan(values), empty, values)


def _plain(column: str) -> str:
    """``Stock_%_Change`` -> ``stock_change``."""
    return re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")
