"""What the engine asks to be kept for good: the facts behind `why` and `why-not`.

Ids are deterministic (underlying, day, running number), so two runs of the same day write the same rows.
"""

from dataclasses import dataclass
from enum import StrEnum

from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.domain.orders import Fill
from g6_core.domain.risk import Verdict


class Direction(StrEnum):
    """What the signal engine says."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    AVOID = "avoid"


class ExitReason(StrEnum):
    """Why a position was closed. The percentages in the names are those of the source's defaults."""

    STOP_LOSS = "stop_loss_30pct"
    TAKE_PROFIT = "take_profit_60pct"
    TRAILING_STOP = "trailing_stop_3pct"
    TIME_EXIT = "time_exit_1520"
    CIRCUIT_BREAKER = "circuit_breaker_6pct"
    OPERATOR = "operator_flatten"


class Purpose(StrEnum):
    """What an order is for."""

    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """A directional signal that became true at the close of a bar."""

    signal_id: str
    underlying: str
    time_ms: int
    direction: Direction
    strategy: str
    features: dict[str, float]
    config_sha256: str


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """The judgement of one bar: every verdict, whether it led to an order or not.

    `signal_id` is empty when no signal stood; `tag` and `tradingsymbol` are empty when nothing was sent.
    """

    decision_id: str
    signal_id: str
    underlying: str
    time_ms: int
    direction: Direction
    approved: bool
    verdicts: tuple[Verdict, ...]
    tradingsymbol: str
    quantity: int
    limit_paise: int
    tag: str
    features: dict[str, float]
    config_sha256: str


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """The newest known state of one order attempt; keyed by `tag`."""

    tag: str
    parent_tag: str
    trade_id: str
    decision_id: str
    purpose: Purpose
    order_id: str
    tradingsymbol: str
    token: int
    side: str
    order_type: str
    quantity: int
    filled_quantity: int
    price_paise: int
    trigger_paise: int
    average_paise: int
    status: str
    message: str
    sent_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class FillRecord:
    """One broker trade of one of our orders."""

    tag: str
    fill: Fill


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """A round trip, or an open one (`exit_ms` 0, profit 0). Keyed by `trade_id`; entry and exit at the broker's times.

    Of an open one `open_quantity` units are still held. After the close `mark_paise` is their last price, of `mark_ms`;
    0 before, and where none was ever seen.
    """

    trade_id: str
    decision_id: str
    underlying: str
    tradingsymbol: str
    token: int
    quantity: int
    entry_ms: int
    entry_paise: int
    exit_ms: int
    exit_paise: int
    exit_reason: str
    gross_pnl_paise: int
    charges_paise: int
    net_pnl_paise: int
    high_water_mark_paise: int
    low_water_mark_paise: int
    open_quantity: int = 0
    mark_paise: int = 0
    mark_ms: int = 0

    @property
    def unrealised_paise(self) -> int:
        """What the units that are still held would bring at the mark, less what they cost; before charges."""
        return (self.mark_paise - self.entry_paise) * self.open_quantity if self.mark_ms else 0

    def open_text(self) -> str:
        """Return in words what is held of an open trade, its last price and since when there is none."""
        bought = f"{self.open_quantity} {self.tradingsymbol} bought at {rupees_text(self.entry_paise)}"
        if not self.mark_ms:
            return f"{bought} ({ist_clock(self.entry_ms)}), not marked"
        return (
            f"{bought} ({ist_clock(self.entry_ms)}), marked at {rupees_text(self.mark_paise)}, no price since "
            f"{ist_clock(self.mark_ms)}, {rupees_text(self.unrealised_paise)} rupees before charges"
        )


@dataclass(frozen=True, slots=True)
class RiskEventRecord:
    """A limit that was reached, a mode that changed, an order that went wrong."""

    event_id: str
    time_ms: int
    kind: str
    underlying: str
    value: float
    limit: float
    detail: str


Record = SignalRecord | DecisionRecord | OrderRecord | FillRecord | TradeRecord | RiskEventRecord
