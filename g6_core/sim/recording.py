"""Open a recording and read one trading day of it, whichever schema its columns say it has."""

from datetime import date
from pathlib import Path

import polars as pl

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.sim.chain_day import ChainDay
from g6_core.sim.kite_chain import NAMES, missing_kite_columns, read_kite_day
from g6_core.sim.nse_chain import missing_nse_columns, read_nse_day
from g6_core.sim.table_file import open_table


def read_chain_day(path: Path, rules: MarketRules, trade_date: date | None, underlying: str | None) -> ChainDay:
    """One index and day of the file; each may be None when the file holds only one (trading) choice.

    Raises DataError for a file that is missing, unreadable, of a foreign schema, without the wanted rows or with
    values that cannot be; CalendarError for a day that is not a trading day; UserError for an unknown index.
    """
    if trade_date is not None:
        rules.require_trading_day(trade_date)
    if underlying is not None:
        rules.index(underlying)
    frame = open_recording(path)
    if is_kite_chain(path, frame):
        return read_kite_day(path, frame, rules, trade_date, underlying)
    return read_nse_day(path, frame, rules, trade_date, underlying)


def open_recording(path: Path) -> pl.LazyFrame:
    """Return the file, not read yet. DataError when it cannot be opened."""
    return open_table(path, "give the path of an NSE chain recording or of Kite snapshots (Parquet)")


def is_kite_chain(path: Path, frame: pl.LazyFrame) -> bool:
    """True for Kite snapshots, False for an NSE chain. DataError naming what is missing for anything else."""
    columns = frame.collect_schema().names()
    without_kite, without_nse = missing_kite_columns(columns), missing_nse_columns(columns)
    if not without_kite:
        return True
    if not without_nse:
        return False
    if len(without_kite) <= len(NAMES) // 2:
        raise DataError(f"{path}: not a recording of Kite snapshots: missing columns {', '.join(without_kite)}")
    raise DataError(
        f"{path}: not an NSE chain recording: missing columns {', '.join(without_nse)}; "
        f"nor Kite snapshots: missing {', '.join(without_kite)}"
    )
