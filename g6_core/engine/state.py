"""The engine's whole memory: explicit, and hashable to one fingerprint that a replay must reach."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from g6_core.domain.events import Mode
from g6_core.domain.instruments import Instrument
from g6_core.domain.orders import Fill, OrderRequest
from g6_core.domain.records import Direction, ExitReason, Purpose
from g6_core.engine.board import QuoteBoard
from g6_core.engine.indicators import new_adx, new_supertrend
from g6_core.engine.inputs import DayInputs
from g6_core.engine.params import EngineParams


class Phase(StrEnum):
    """Where one order attempt stands between us and the broker. UNKNOWN is alive until proven otherwise."""

    SENDING = "sending"
    LIVE = "live"
    MODIFYING = "modifying"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    DONE = "done"


@dataclass(slots=True)
class FrameState:
    """Indicators of one time frame of one index."""

    supertrend: NDArray[np.float64] = field(default_factory=new_supertrend)
    adx: NDArray[np.float64] = field(default_factory=new_adx)
    direction: float = 0.0
    adx_value: float = -1.0
    close_paise: int = 0
    start_ms: int = 0
    bars: int = 0


@dataclass(slots=True)
class UnderlyingState:
    """What is remembered about one underlying during the day."""

    primary: FrameState = field(default_factory=FrameState)
    confirmation: FrameState = field(default_factory=FrameState)
    centre_paise: int = 0
    direction: Direction = Direction.AVOID
    signal_id: str = ""
    signal_used: bool = False
    signals: int = 0
    decisions: int = 0
    last_exit_ms: int = 0


@dataclass(slots=True)
class WorkingOrder:
    """One order attempt and the newest knowledge of it. Quantities in units, prices in paise."""

    request: OrderRequest
    parent_tag: str
    trade_id: str
    decision_id: str
    purpose: Purpose
    phase: Phase
    sent_ms: int
    changed_ms: int
    order_id: str = ""
    status: str = ""
    message: str = ""
    order_type: str = ""
    quantity: int = 0
    price_paise: int = 0
    trigger_paise: int = 0
    filled_quantity: int = 0
    average_paise: int = 0
    modifications: int = 0
    refused_in_a_row: int = 0
    not_before_ms: int = 0
    fills: dict[str, Fill] = field(default_factory=dict)

    @property
    def turnover_paise(self) -> int:
        """Value of what was filled: from the trade book, from the average price until that has caught up."""
        if sum(fill.quantity for fill in self.fills.values()) == self.filled_quantity:
            return sum(fill.quantity * fill.price_paise for fill in self.fills.values())
        return self.filled_quantity * self.average_paise

    @property
    def fills_complete(self) -> bool:
        """True when the trade book explains the whole filled quantity."""
        return sum(fill.quantity for fill in self.fills.values()) == self.filled_quantity


@dataclass(slots=True)
class Trade:
    """A position from its entry order to flat; quantities follow actual fills."""

    trade_id: str
    decision_id: str
    signal_id: str
    underlying: str
    instrument: Instrument
    entry_tag: str
    opened_ms: int
    exit_tags: list[str] = field(default_factory=list)
    high_water_mark_paise: int = 0
    low_water_mark_paise: int = 0
    stop_paise: int = 0
    exit_reason: ExitReason | None = None
    closed_ms: int = 0
    net_pnl_paise: int = 0
    # What of it the ledger knows to be held; 0 when it was never told, or is told anew.
    kept_quantity: int = 0
    told_after_close: bool = False


@dataclass(slots=True)
class Shortfall:
    """Units of a contract that the journal has and the broker's newest good read has not.

    `since_ms` is the first of the low reads, `read_ms` the newest. One that is `witnessed` comes from somebody
    else's sale in the order book, and is what may be missing at most. `settled` units were certain before this came
    into doubt: they stay missing until reads settle anew. `more_ms` is the first of the reads, without a low one in
    between, that show everything again; 0 without one.
    """

    missing: int
    since_ms: int
    read_ms: int
    witnessed: bool = False
    certain: bool = False
    settled: int = 0
    more_ms: int = 0


@dataclass(slots=True)
class EngineState:
    """Everything `step` reads and changes."""

    params: EngineParams
    inputs: DayInputs
    board: QuoteBoard
    per_underlying: dict[str, UnderlyingState]
    mode: Mode = Mode.PAUSED
    feed_connected: bool = True
    feed_lost_ms: int = 0
    cash_paise: int = 0
    starting_balance_paise: int = 0
    realised_net_paise: int = 0
    circuit_tripped_ms: int = 0
    not_flat_ms: int = 0
    day_trades: int = 0
    tag_number: int = 0
    event_number: int = 0
    orders: dict[str, WorkingOrder] = field(default_factory=dict)
    tag_of_order: dict[str, str] = field(default_factory=dict)
    trades: dict[str, Trade] = field(default_factory=dict)
    subscribed: set[int] = field(default_factory=set)
    foreign_orders: set[str] = field(default_factory=set)
    foreign_filled: dict[str, int] = field(default_factory=dict)
    token_filled_ms: dict[int, int] = field(default_factory=dict)
    shortfalls: dict[int, Shortfall] = field(default_factory=dict)

    @classmethod
    def fresh(cls, params: EngineParams, inputs: DayInputs) -> "EngineState":
        """A state before the first event: paused, flat, nothing known."""
        return cls(
            params=params,
            inputs=inputs,
            board=QuoteBoard.of(tuple(one.index.token for one in inputs.underlyings), inputs.open_ms),
            per_underlying={one.underlying: UnderlyingState() for one in inputs.underlyings},
            cash_paise=params.capital_paise,
            starting_balance_paise=params.capital_paise,
        )

    @property
    def open_trades(self) -> list[Trade]:
        """Trades that are not yet closed, in order of their entry."""
        return [trade for trade in self.trades.values() if trade.closed_ms == 0]

    def orders_of(self, trade: Trade) -> list[WorkingOrder]:
        """Entry and exit orders of a trade, oldest first."""
        return [self.orders[tag] for tag in (trade.entry_tag, *trade.exit_tags)]

    def entered(self, trade: Trade) -> int:
        """Units bought so far."""
        return self.orders[trade.entry_tag].filled_quantity

    def open_quantity(self, trade: Trade) -> int:
        """Units bought and not yet sold."""
        return self.entered(trade) - sum(self.orders[tag].filled_quantity for tag in trade.exit_tags)

    def close_ms(self, trade: Trade) -> int:
        """When the trade's contract closes today: from then on nothing reaches the exchange."""
        return next(one.close_ms for one in self.inputs.underlyings if one.underlying == trade.underlying)

    def entry_average(self, trade: Trade) -> float:
        """Average price paid, in paise; 0 before the first fill."""
        order = self.orders[trade.entry_tag]
        return order.turnover_paise / order.filled_quantity if order.filled_quantity else 0.0

    def fingerprint(self) -> str:
        """SHA-256 over everything that can influence a later decision."""
        content = {name: getattr(self, name) for name in self.__slots__ if name not in ("params", "inputs", "board")}
        content["subscribed"] = sorted(self.subscribed)
        content["foreign_orders"] = sorted(self.foreign_orders)
        board = self.board
        used = len(board.slot_of)
        content["board"] = [board.rows[:used], board.pending, board.open_bars, board.counters]
        return hashlib.sha256(msgspec.msgpack.encode(content, enc_hook=_bytes_of)).hexdigest()


def _bytes_of(value: Any) -> bytes:
    """Arrays enter the fingerprint as their bytes."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    raise TypeError(f"cannot fingerprint {type(value).__name__}")
