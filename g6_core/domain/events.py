"""What enters the engine (events, past tense) and what leaves it (commands, imperative).

Every event carries the time at which the inbox stamped it; nothing after the inbox asks for the time.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.orders import Fill, OrderRequest, OrderView
from g6_core.domain.records import Record
from g6_core.domain.risk import Approved


class Mode(StrEnum):
    """What the engine may do: nothing, only exits, only exits and cancels of entries, everything."""

    HALTED = "halted"
    PAUSED = "paused"
    REDUCING = "reducing"
    ACTIVE = "active"


class OperatorAction(StrEnum):
    """What a person (or the composition root on his behalf) may ask for."""

    ARM = "arm"
    PAUSE = "pause"
    FLATTEN = "flatten"
    HALT = "halt"


class WriteAction(StrEnum):
    """The three writes a broker knows."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"


class WriteOutcome(StrEnum):
    """What is known after a write. UNKNOWN is never re-sent blind."""

    ACKED = "acked"
    NOT_SENT = "not_sent"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One message of the feed, decoded: TICK rows (`g6_core.domain.market`)."""

    time_ms: int
    ticks: NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Second:
    """The timer: once a whole second."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """A pushed order row; may be late, doubled or out of order."""

    time_ms: int
    order: OrderView


@dataclass(frozen=True, slots=True)
class WriteResult:
    """How one write to the broker ended, as far as this machine knows."""

    time_ms: int
    tag: str
    action: WriteAction
    outcome: WriteOutcome
    order_id: str
    message: str


@dataclass(frozen=True, slots=True)
class BrokerSnapshot:
    """A polled order and trade book, as of `time_ms` or later.

    `positions` (token, quantity, product), read before the orders, and `cash_paise` only when asked for and answered.
    """

    time_ms: int
    orders: tuple[OrderView, ...]
    fills: tuple[Fill, ...]
    positions: tuple[tuple[int, int, str], ...] | None = None
    cash_paise: int | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A person's order, with who or what gave it."""

    time_ms: int
    action: OperatorAction
    reason: str


@dataclass(frozen=True, slots=True)
class FeedState:
    """The feed came or went; `reason` says why it went."""

    time_ms: int
    connected: bool
    reason: str = ""


Event = Frame | Second | OrderUpdate | WriteResult | BrokerSnapshot | Operator | FeedState


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Have these tokens streamed in full mode."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """These tokens are no longer needed."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FetchQuotes:
    """Ask REST for these tokens; the answer comes back as a Frame."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlaceEntry:
    """Send an order that adds risk; only an `Approved` can be sent."""

    approved: Approved


@dataclass(frozen=True, slots=True)
class PlaceExit:
    """Send an order that removes risk."""

    request: OrderRequest


@dataclass(frozen=True, slots=True)
class Modify:
    """Change a live order; `quantity` is the new total."""

    tag: str
    order_id: str
    order_type: str
    quantity: int
    price_paise: int
    trigger_paise: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take a live order back."""

    tag: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Persist:
    """Keep this fact for good."""

    record: Record


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell a person."""

    level: str
    text: str


Command = Subscribe | Unsubscribe | FetchQuotes | PlaceEntry | PlaceExit | Modify | Cancel | Persist | Alert
OrderWrite = PlaceEntry | PlaceExit | Modify | Cancel
