"""One order of the simulated broker: its figures, its status and the rows of its history.

Every change of status is asserted against `g6_core.domain.orders.TRANSITIONS`.
"""

from dataclasses import dataclass, field
from typing import Any

from g6_core.domain.instruments import Instrument
from g6_core.domain.orders import TERMINAL, TRANSITIONS, OrderType, Product, Side, Status, Validity


@dataclass(frozen=True, slots=True)
class Ticket:
    """A placement whose form has passed the API's checks. Prices in paise, 0 where the type has none.

    `protection_pct` belongs to MARKET orders: -1 asks for the automatic band, None means not given.
    """

    instrument: Instrument
    side: Side
    quantity: int
    product: Product
    order_type: OrderType
    validity: Validity
    price_paise: int
    trigger_paise: int
    protection_pct: float | None
    tag: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a modification asks for, complete (fields that were not sent carry the old value)."""

    order_type: OrderType
    validity: Validity
    quantity: int
    price_paise: int
    trigger_paise: int
    protection_pct: float


@dataclass(slots=True)
class SimOrder:
    """Figures of one order; quantities in units, `filled_value_paise` is the sum of price x quantity."""

    order_id: str
    instrument: Instrument
    side: Side
    product: Product
    order_type: OrderType
    validity: Validity
    quantity: int
    price_paise: int
    trigger_paise: int
    tag: str
    placed_ms: int
    open_ms: int
    close_ms: int
    protection_pct: float = 0.0
    parent_id: str = ""
    status: Status = Status.PUT_ORDER_REQ_RECEIVED
    message: str = ""
    raw_message: str = ""
    exchange_order_id: str = ""
    exchange_ms: int = 0
    updated_ms: int = 0
    filled_quantity: int = 0
    filled_value_paise: int = 0
    cancelled_quantity: int = 0
    modifications: int = 0
    modified: bool = False
    triggered: bool = False
    change: Change | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rest(self) -> int:
        """Quantity that has neither been filled nor given up."""
        return 0 if self.is_terminal else self.quantity - self.filled_quantity

    @property
    def is_terminal(self) -> bool:
        """COMPLETE, CANCELLED or REJECTED."""
        return self.status in TERMINAL

    @property
    def in_transit(self) -> bool:
        """A request about this order is on its way to the exchange."""
        return not self.is_terminal and self.status not in (Status.OPEN, Status.TRIGGER_PENDING)

    @property
    def at_exchange(self) -> bool:
        """The exchange knows the order and it is alive there (a change may be in transit)."""
        return self.exchange_order_id != "" and not self.is_terminal

    @property
    def waits_for_trigger(self) -> bool:
        """A stop that has not been released."""
        return self.order_type is OrderType.SL and not self.triggered

    @property
    def resting_status(self) -> Status:
        """The status to come back to when nothing is in transit."""
        return Status.TRIGGER_PENDING if self.waits_for_trigger else Status.OPEN

    def move(self, status: Status, message: str = "", raw_message: str = "") -> None:
        """Change the status; a change that Kite does not have is a bug of ours."""
        assert (self.status, status) in TRANSITIONS, f"{self.order_id}: {self.status} -> {status}"
        self.status = status
        self.message = message
        self.raw_message = raw_message


@dataclass(frozen=True, slots=True)
class SimTrade:
    """One execution."""

    trade_id: str
    order_id: str
    exchange_order_id: str
    instrument: Instrument
    product: Product
    side: Side
    quantity: int
    price_paise: int
    time_ms: int
