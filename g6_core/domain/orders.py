"""Orders: Kite's vocabulary, the life of an order as a literal table, and what the engine asks for."""

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Transaction type."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """Kite's order types that exist for index options (SL-M does not)."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    SL = "SL"
    SL_M = "SL-M"


class Validity(StrEnum):
    """How long an order stands."""

    DAY = "DAY"
    IOC = "IOC"


class Product(StrEnum):
    """Margin product of an option order."""

    MIS = "MIS"
    NRML = "NRML"


class Status(StrEnum):
    """Kite's order statuses; any text not listed is treated as live."""

    PUT_ORDER_REQ_RECEIVED = "PUT ORDER REQ RECEIVED"
    VALIDATION_PENDING = "VALIDATION PENDING"
    OPEN_PENDING = "OPEN PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
    MODIFY_PENDING = "MODIFY PENDING"
    MODIFIED = "MODIFIED"
    NOT_MODIFIED = "NOT MODIFIED"
    CANCEL_PENDING = "CANCEL PENDING"
    UPDATE = "UPDATE"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


TERMINAL = frozenset({Status.COMPLETE, Status.CANCELLED, Status.REJECTED})
RESTING = frozenset({Status.OPEN, Status.TRIGGER_PENDING})

S = Status
TRANSITIONS: frozenset[tuple[Status, Status]] = frozenset(
    {
        (S.PUT_ORDER_REQ_RECEIVED, S.VALIDATION_PENDING),
        (S.PUT_ORDER_REQ_RECEIVED, S.REJECTED),  # the broker's own risk checks
        (S.VALIDATION_PENDING, S.OPEN_PENDING),
        (S.VALIDATION_PENDING, S.REJECTED),
        (S.OPEN_PENDING, S.OPEN),
        (S.OPEN_PENDING, S.TRIGGER_PENDING),
        (S.OPEN_PENDING, S.REJECTED),  # the exchange says no: price range, freeze
        (S.TRIGGER_PENDING, S.OPEN),  # the stop was hit
        (S.TRIGGER_PENDING, S.REJECTED),  # released limit outside the price range
        (S.OPEN, S.COMPLETE),
        (S.OPEN, S.CANCELLED),  # IOC rest, end of day
        (S.OPEN, S.REJECTED),
        (S.OPEN, S.MODIFY_VALIDATION_PENDING),
        (S.TRIGGER_PENDING, S.MODIFY_VALIDATION_PENDING),
        (S.MODIFY_VALIDATION_PENDING, S.MODIFY_PENDING),
        (S.MODIFY_VALIDATION_PENDING, S.NOT_MODIFIED),
        (S.MODIFY_PENDING, S.MODIFIED),
        (S.MODIFY_PENDING, S.NOT_MODIFIED),
        (S.MODIFY_PENDING, S.COMPLETE),  # filled while the change was on its way
        (S.MODIFIED, S.OPEN),
        (S.MODIFIED, S.TRIGGER_PENDING),
        (S.NOT_MODIFIED, S.OPEN),
        (S.NOT_MODIFIED, S.TRIGGER_PENDING),
        (S.OPEN, S.CANCEL_PENDING),
        (S.TRIGGER_PENDING, S.CANCEL_PENDING),
        (S.CANCEL_PENDING, S.CANCELLED),
        (S.CANCEL_PENDING, S.COMPLETE),  # the fill won the race
        (S.CANCEL_PENDING, S.OPEN),  # cancel refused
        (S.TRIGGER_PENDING, S.CANCELLED),  # end of day
    }
)
del S


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What goes to the broker. `tag` is unique per attempt, 20 characters at most.

    `quantity` in units; `price_paise` and `trigger_paise` are 0 where the order type has none.
    """

    tag: str
    exchange: str
    tradingsymbol: str
    token: int
    side: Side
    quantity: int
    product: Product
    order_type: OrderType
    validity: Validity
    price_paise: int
    trigger_paise: int


@dataclass(frozen=True, slots=True)
class OrderView:
    """One row of the broker's order book, reduced to what decisions need."""

    order_id: str
    tag: str
    status: str
    token: int
    side: Side
    quantity: int
    filled_quantity: int
    average_paise: int
    price_paise: int
    trigger_paise: int
    message: str
    order_type: str = ""

    @property
    def is_terminal(self) -> bool:
        """COMPLETE, CANCELLED or REJECTED; every unknown status counts as live."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order, from the broker's trade book."""

    trade_id: str
    order_id: str
    token: int
    side: Side
    quantity: int
    price_paise: int
    time_ms: int
