"""Columns of the collected option rows (lake and CSV) and of the overview, with their types.

Prices, strikes, spot and forward are rupees; quantities, volume and open interest are units of the underlying;
`minutes_to_expiry` counts to the close of the expiry's own last session and stops at 0; `*_iv` is percent, `*_delta`
and `*_gamma` per rupee of the forward, `*_theta` rupees per unit and calendar day, `*_vega` rupees per unit and point
of volatility, `*_rho` rupees per unit and point of interest, the forward unchanged. An empty cell (null in the lake)
means unknown. A side has either an IV with five greeks or an `*_iv_reason` (`IvReason`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

import msgspec

OPTIONS_VERSION: Final = 2


class Kind(StrEnum):
    """What a column holds; decides its type in the lake and its text in the CSV."""

    TIME_MS = "time_ms"
    DATE = "date"
    TEXT = "text"
    COUNT = "count"
    RUPEES = "rupees"
    NUMBER = "number"


class RowStatus(StrEnum):
    """State of one side of a pair in one cycle.

    live: stamped by the exchange within one interval before the cycle. stale: the last known value, with its old
    stamp; not counted as covered. missing: expected, but nothing is known. no_contract: this strike or expiry is not
    listed. closed: the contract expires today and its session has ended.
    """

    LIVE = "live"
    STALE = "stale"
    MISSING = "missing"
    NO_CONTRACT = "no_contract"
    CLOSED = "closed"


class SpotKind(StrEnum):
    """What `spot` is: the index itself, or the parity forward of the nearest expiry where there is no index."""

    INDEX = "index"
    FORWARD = "forward"


class SideCells(NamedTuple):
    """The cells of one side; `status` is a RowStatus, `iv_reason` an IvReason and there exactly when `iv` is not."""

    status: str
    symbol: str | None = None
    ltp: float | None = None
    bid: float | None = None
    ask: float | None = None
    bid_qty: int | None = None
    ask_qty: int | None = None
    volume: int | None = None
    oi: int | None = None
    average_price: float | None = None
    iv: float | None = None
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    rho: float | None = None
    iv_reason: str | None = None


class OptionRow(msgspec.Struct, frozen=True):
    """One pair of one cycle. `exchange_ms` is the newest stamp of its two sides."""

    time_ms: int
    exchange_ms: int | None
    index: str
    expiry_code: str
    expiry: date | None
    offset: int
    atm_strike: float | None
    strike: float | None
    dte: int | None
    minutes_to_expiry: float | None
    spot: float | None
    spot_kind: str | None
    forward: float | None
    call: SideCells
    put: SideCells

    def cells(self) -> tuple[object, ...]:
        """The values in the order of `OPTION_COLUMNS`."""
        return (
            self.time_ms,
            self.exchange_ms,
            self.index,
            self.expiry_code,
            self.expiry,
            self.offset,
            self.atm_strike,
            self.strike,
            self.dte,
            self.minutes_to_expiry,
            self.spot,
            self.spot_kind,
            self.forward,
            *self.call,
            *self.put,
        )

    @classmethod
    def of_cells(cls, cells: Sequence[Any]) -> Self:
        """The row whose `cells()` these are."""
        head = len(cells) - 2 * len(SideCells._fields)
        middle = head + len(SideCells._fields)
        values: list[Any] = [*cells[:head], SideCells._make(cells[head:middle]), SideCells._make(cells[middle:])]
        return cls(*values)


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """One expiry of one cycle, over the collected strikes only: `strikes` of them, those with both sides live."""

    time_ms: int
    index: str
    expiry_code: str
    spot: float | None
    spot_kind: str | None
    forward: float | None
    atm_strike: float | None
    atm_iv: float | None
    pcr_oi: float | None
    pcr_volume: float | None
    max_pain: float | None
    support: float | None
    resistance: float | None
    call_oi: int | None
    put_oi: int | None
    call_volume: int | None
    put_volume: int | None
    contracts_expected: int
    contracts_live: int
    strikes: int

    def cells(self) -> tuple[object, ...]:
        """The values in the order of `OVERVIEW_COLUMNS`."""
        return tuple(getattr(self, _OVERVIEW_FIELDS.get(name, name)) for name in OVERVIEW_COLUMNS)


_SIDE_COLUMNS: Final = {
    "status": Kind.TEXT,
    "symbol": Kind.TEXT,
    "ltp": Kind.RUPEES,
    "bid": Kind.RUPEES,
    "ask": Kind.RUPEES,
    "bid_qty": Kind.COUNT,
    "ask_qty": Kind.COUNT,
    "volume": Kind.COUNT,
    "oi": Kind.COUNT,
    "average_price": Kind.RUPEES,
    "iv": Kind.NUMBER,
    "delta": Kind.NUMBER,
    "gamma": Kind.NUMBER,
    "theta": Kind.NUMBER,
    "vega": Kind.NUMBER,
    "rho": Kind.NUMBER,
    "iv_reason": Kind.TEXT,
}

OPTION_COLUMNS: Final[dict[str, Kind]] = {
    "timestamp": Kind.TIME_MS,
    "exchange_time": Kind.TIME_MS,
    "index": Kind.TEXT,
    "expiry_code": Kind.TEXT,
    "expiry": Kind.DATE,
    "offset": Kind.COUNT,
    "atm_strike": Kind.RUPEES,
    "strike": Kind.RUPEES,
    "dte": Kind.COUNT,
    "minutes_to_expiry": Kind.NUMBER,
    "spot": Kind.RUPEES,
    "spot_kind": Kind.TEXT,
    "forward": Kind.RUPEES,
    **{f"{side}_{name}": kind for side in ("call", "put") for name, kind in _SIDE_COLUMNS.items()},
}

OVERVIEW_COLUMNS: Final[dict[str, Kind]] = {
    "timestamp": Kind.TIME_MS,
    "spot": Kind.RUPEES,
    "spot_kind": Kind.TEXT,
    "forward": Kind.RUPEES,
    "atm_strike": Kind.RUPEES,
    "atm_iv": Kind.NUMBER,
    "pcr_oi": Kind.NUMBER,
    "pcr_volume": Kind.NUMBER,
    "max_pain": Kind.RUPEES,
    "support": Kind.RUPEES,
    "resistance": Kind.RUPEES,
    "call_oi": Kind.COUNT,
    "put_oi": Kind.COUNT,
    "call_volume": Kind.COUNT,
    "put_volume": Kind.COUNT,
    "contracts_expected": Kind.COUNT,
    "contracts_live": Kind.COUNT,
    "strikes": Kind.COUNT,
}
_OVERVIEW_FIELDS: Final = {"timestamp": "time_ms"}
