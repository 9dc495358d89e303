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
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import SECOND_MS, ist_date, to_ms
from g6_core.sim.chain_day import (
    COUNT_MAX,
    PRICE_MAX,
    SIDES,
    ChainDay,
    Field,
    Floats,
    chosen_underlying,
    expiry_date,
    grid_of,
    no_session,
    only_trading_day,
    readable,
    underlying_name,
)

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
STAMP_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d-%b-%Y %H:%M:%S",
)
KEY_COLUMNS = ("symbol", "timestamp", "expiry", "strike")
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


def kite_frame(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of `NAMES` and `OPTIONAL`, by our names, figures as float64; an optional one may be all null."""
    schema = frame.collect_schema()
    held: dict[str, str] = {}
    for column in schema:
        held.setdefault(_plain(column), column)
    wanted: list[pl.Expr] = []
    for name, choices in (NAMES | OPTIONAL).items():
        found = next((held[choice] for choice in choices if choice in held), None)
        values = pl.lit(None, pl.Float64) if found is None else pl.col(found)
        if found is not None and name not in ("symbol", "expiry", "timestamp"):
            values = _number(values, schema[found])
        wanted.append(values.alias(name))
    return frame.select(wanted)


def stamp_ms(raw: object) -> int | None:
    """The moment of a snapshot to the second, naive text is IST; None for what is no time."""
    if isinstance(raw, datetime):
        return to_ms(raw) // SECOND_MS * SECOND_MS
    text = str(raw).strip().partition(".")[0]
    for form in STAMP_FORMATS:
        try:
            return to_ms(datetime.strptime(text, form))  # noqa: DTZ007 (naive is IST, see to_ms)
        except ValueError:
            continue
    return None


def read_kite_day(
    path: Path, frame: pl.LazyFrame, rules: MarketRules, trade_date: date | None, underlying: str | None
) -> ChainDay:
    """One index and day of an opened file that has `missing_kite_columns` none; see `g6_core.sim.recording`."""
    chain = kite_frame(frame).filter(pl.all_horizontal(pl.col(KEY_COLUMNS).is_not_null()))
    with readable(path):
        seen = chain.select("symbol", "timestamp").unique().collect().rows()
    moments = {raw: moment for raw in {raw for _, raw in seen} if (moment := stamp_ms(raw)) is not None}
    if not moments:
        raise DataError(f"{path}: no row has a timestamp like 2026-01-07 09:19:00; record it again")
    days = {ist_date(moment) for moment in moments.values()}
    day = trade_date if trade_date is not None else only_trading_day(path, rules, days)
    of_day = {raw: moment for raw, moment in moments.items() if ist_date(moment) == day}
    held = {underlying_name(rules, name) for name, raw in seen if raw in of_day}
    name = chosen_underlying(path, rules, day, held, underlying, days)
    session = rules.session(day, rules.index(name).option_exchange)
    symbols = [raw for raw in {raw for raw, _ in seen} if underlying_name(rules, raw) == name]
    rows = _of_this_day(_rows_of(path, chain, symbols, of_day, day), session.open_ms)
    if rows.is_empty():
        raise no_session(path, name, day, session)
    return _chain_day(path, _whole_lots(path, rows, rules, name, day), name, day)


def _rows_of(path: Path, chain: pl.LazyFrame, symbols: list[str], wanted: dict[Any, int], day: date) -> pl.DataFrame:
    """Rows of these symbols and stamps, with `stamp_ms` and typed `expiry`, no expired contract and no exact copy."""
    stamp_type = chain.collect_schema()["timestamp"]
    stamps = pl.LazyFrame(
        {"timestamp": list(wanted), "stamp_ms": list(wanted.values())},
        schema={"timestamp": stamp_type, "stamp_ms": pl.Int64},
    )
    with readable(path):
        rows = chain.filter(pl.col("symbol").is_in(symbols)).join(stamps, on="timestamp").collect()
    raw = rows["expiry"].unique().to_list()
    expiry = pl.col("expiry").replace_strict(raw, [expiry_date(path, one) for one in raw], return_dtype=pl.Date)
    rows = rows.with_columns(expiry.alias("expiry")).filter(pl.col("expiry") >= day)
    return rows.drop("symbol", "timestamp").unique().sort("stamp_ms", "expiry", "strike")


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
    if not np.isfinite(known).all() or (len(known) and (known.min() < least or known.max() > most)):
        raise DataError(f"{path}: column {column} has impossible values, {known.min():g} to {known.max():g}")
    return np.where(np.isnan(values), empty, values)


def _number(values: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """float64; text that is no number is infinite, so that it is found, and an empty cell or a dash is null."""
    if kind != pl.String:
        return values.cast(pl.Float64).fill_nan(None)
    text = values.str.replace_all(",", "").str.strip_chars()
    known = text.is_not_null() & ~text.is_in(["", "-"])
    return pl.when(known).then(text.cast(pl.Float64, strict=False).fill_null(float("inf")))


def _plain(column: str) -> str:
    """``Stock_%_Change`` -> ``stock_change``."""
    return re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")
