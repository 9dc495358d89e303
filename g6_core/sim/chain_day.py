"""One index on one trading day of a recording, on a grid of contracts and snapshots, whatever schema the file has.

Beside the grid: what every reader needs to choose a day and an index of a file and to say in one line what is wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.errors import CalendarError, DataError
from g6_core.domain.ist import ist_clock, ist_text

SIDES = ("CALLS", "PUTS")
# What a field may hold to stay an int32 after conversion; no contract has more OI in lots than the last figure.
INT32_MAX = 2**31 - 1
PRICE_MAX, COUNT_MAX, OI_LOTS_MAX = INT32_MAX // 100, INT32_MAX, INT32_MAX // 1000

Floats = NDArray[np.float64]


class Field(StrEnum):
    """A figure of one side of a chain row. Prices in paise, sizes in units, the rest as `ChainDay` says."""

    LTP = "ltp"
    BID = "bid"
    ASK = "ask"
    BID_QTY = "bid_qty"
    ASK_QTY = "ask_qty"
    VOLUME = "volume"
    OI = "oi"


class Cells(Protocol):
    """The figures of a recording's rows; side is one of `SIDES`. DataError for values that cannot be."""

    def values(self, side: str, field: Field) -> Floats:
        """One value per row, 0 where the exchange shows nothing; volume is nan where it was not recorded."""
        ...

    def net_change_paise(self, side: str) -> Floats | None:
        """Change of the last price since the previous close per row; None when the file does not have it."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the rows of a record lie, on contracts and snapshots.

    A line of the grid is an expiry and a strike, ordered by both: `expiry_of[line]` is a place in `expiries`,
    `strikes_paise[line]` its strike. `stamps_ms` are the snapshots, ascending. Row i of the record belongs to
    `line[i]` and `snapshot[i]`.
    """

    stamps_ms: NDArray[np.int64]
    expiries: tuple[date, ...]
    expiry_of: NDArray[np.int64]
    strikes_paise: NDArray[np.int64]
    line: NDArray[np.int32]
    snapshot: NDArray[np.int32]

    def listing(self) -> dict[date, list[int]]:
        """Expiry -> strikes in paise, for the instruments dump."""
        return {
            expiry: self.strikes_paise[self.expiry_of == place].tolist() for place, expiry in enumerate(self.expiries)
        }


@dataclass(frozen=True, slots=True)
class ChainDay:
    """One index on one trading day of a recording.

    Volume and OI of the cells are lots where `in_lots`, else units. `has_touch` is False for a record without bid, ask
    and their sizes. `spot_paise` is the index per snapshot (nan: not recorded), None when there is none at all;
    `spot_close_paise` its previous close, 0 when unknown.
    """

    path: Path
    underlying: str
    trade_date: date
    grid: Grid
    cells: Cells
    in_lots: bool
    has_touch: bool
    spot_paise: Floats | None = None
    spot_close_paise: int = 0


def grid_of(
    path: Path, stamp_ms: NDArray[np.int64], expiry: NDArray[np.datetime64], strike_paise: NDArray[np.int64]
) -> Grid:
    """The grid of rows given by stamp, expiry and strike. DataError when two rows have the same place."""
    stamps, snapshot = np.unique(stamp_ms, return_inverse=True)
    expiries, expiry_place = np.unique(expiry, return_inverse=True)
    width = int(strike_paise.max()) + 1
    keys, line = np.unique(expiry_place * width + strike_paise, return_inverse=True)
    grid = Grid(
        stamps_ms=stamps,
        expiries=tuple(expiries.tolist()),
        expiry_of=keys // width,
        strikes_paise=keys % width,
        line=line.astype(np.int32),
        snapshot=snapshot.astype(np.int32),
    )
    _require_single_rows(path, grid)
    return grid


def _require_single_rows(path: Path, grid: Grid) -> None:
    place = grid.line.astype(np.int64) * len(grid.stamps_ms) + grid.snapshot
    seen = np.bincount(place)
    if seen.max() < 2:
        return
    line, snapshot = divmod(int(np.flatnonzero(seen > 1)[0]), len(grid.stamps_ms))
    raise DataError(
        f"{path}: {int((seen - 1)[seen > 1].sum())} duplicate rows, among them expiry "
        f"{grid.expiries[grid.expiry_of[line]]} strike {grid.strikes_paise[line] / 100:g} at "
        f"{ist_text(int(grid.stamps_ms[snapshot]))} IST; keep one row per stamp, expiry and strike"
    )


def underlying_name(rules: MarketRules, raw: object) -> str:
    """The underlying, also where the file writes the name of the index (``Nifty Bank``)."""
    name = str(raw).strip().upper()
    return next((u for u in rules.underlyings if name in (u, rules.index(u).index_symbol.upper())), name)


def only_trading_day(path: Path, rules: MarketRules, days: set[date]) -> date:
    """The one trading day among the days of a file; CalendarError without one, DataError when there are several."""
    trading = [day for day in days if rules.is_trading_day(day)]
    if len(trading) == 1:
        return trading[0]
    if not trading:
        raise CalendarError(f"{path}: no trading day in the file; it holds only {listed(days)}")
    raise DataError(f"{path}: several trading days, {listed(trading)}; choose one with --date")


def chosen_underlying(
    path: Path, rules: MarketRules, day: date, names: set[str], wanted: str | None, days: set[date]
) -> str:
    """The index to read of those that the file has on `day`. DataError when it is not there or not the only one."""
    if not names:
        raise DataError(f"{path}: no rows of {day}; the file holds {listed(days)}")
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{path}: no rows of {wanted} on {day}; the file holds {listed(names)}")
        return wanted
    if len(names) > 1:
        raise DataError(f"{path}: several indices on {day}, {listed(names)}; choose one with --index")
    return rules.index(names.pop()).underlying


def no_session(path: Path, underlying: str, day: date, session: Session) -> DataError:
    """The line for a recording that was not made while the market was open."""
    hours = f"{ist_clock(session.open_ms)[:5]}-{ist_clock(session.close_ms)[:5]}"
    return DataError(
        f"{path}: the recording of {underlying} holds no snapshot within the session {hours} of "
        f"{day} (IST); record while the market is open"
    )


def all_expired(path: Path, day: date) -> DataError:
    """Return the line for a day whose contracts cannot have been recorded on it."""
    return DataError(f"{path}: all contracts of {day} had expired before that day; dates are read day first")


def listed(values: Iterable[object]) -> str:
    """The first few of many things, in order, for an error line."""
    texts = sorted(str(value) for value in values)
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")
