"""A tiny model broker for the trade driver's state machine: honest about its orders, free in how it answers.

It fills what it likes, answers writes with any outcome, applies changes at once, late or never, and keeps every row
that it would push. Nothing of the simulated exchange is used, so both can be wrong only independently.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from g6_core.domain.events import BrokerSnapshot, Cancel, Modify, OrderWrite, PlaceEntry, WriteAction, WriteOutcome
from g6_core.domain.events import WriteResult as Result
from g6_core.domain.orders import Fill, OrderRequest, OrderType, OrderView, Side, Status, Validity

HIDDEN_MS = 90_000


class Fate(StrEnum):
    """How a write is answered, and whether it happens: at once, late, or not at all."""

    ACKED = "acked"
    ACKED_IGNORED = "acked and not done: rejected, not modified, not cancelled"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    UNKNOWN_DONE = "unknown and done"
    UNKNOWN_LATE = "unknown and done later"
    UNKNOWN_NEVER = "unknown and never done"


ANSWER = {
    Fate.ACKED: WriteOutcome.ACKED,
    Fate.ACKED_IGNORED: WriteOutcome.ACKED,
    Fate.REFUSED: WriteOutcome.REFUSED,
    Fate.NOT_SENT: WriteOutcome.NOT_SENT,
    Fate.UNKNOWN_DONE: WriteOutcome.UNKNOWN,
    Fate.UNKNOWN_LATE: WriteOutcome.UNKNOWN,
    Fate.UNKNOWN_NEVER: WriteOutcome.UNKNOWN,
}
DONE = (Fate.ACKED, Fate.UNKNOWN_DONE)


@dataclass(slots=True)
class Order:
    """One order as the broker has it; `transit` is a change or cancellation that has not arrived yet."""

    order_id: str
    request: OrderRequest
    order_type: str
    quantity: int
    price_paise: int
    trigger_paise: int
    status: str
    transit: Modify | Cancel | None = None
    filled: int = 0
    value_paise: int = 0
    modifications: int = 0

    @property
    def alive(self) -> bool:
        return self.status not in (Status.COMPLETE, Status.CANCELLED, Status.REJECTED)

    @property
    def rest(self) -> int:
        return self.quantity - self.filled

    def view(self) -> OrderView:
        """The row of the book."""
        status = self.status
        if self.transit is not None:
            status = Status.MODIFY_PENDING if isinstance(self.transit, Modify) else Status.CANCEL_PENDING
        return OrderView(
            self.order_id,
            self.request.tag,
            status,
            self.request.token,
            self.request.side,
            self.quantity,
            self.filled,
            round(self.value_paise / self.filled) if self.filled else 0,
            self.price_paise,
            self.trigger_paise,
            "",
        )


@dataclass
class ModelBroker:
    """All orders of the day by id; `pushed` are rows of the past in the order in which they happened."""

    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    pushed: list[OrderView] = field(default_factory=list)
    sent_tags: list[str] = field(default_factory=list)
    writes: int = 0
    _placed: int = 0
    _now_ms: int = 0
    _late: list[tuple[int, OrderRequest | Modify | Cancel]] = field(default_factory=list)

    def held(self, token: int) -> int:
        """Units of a contract that are really held."""
        return sum(
            fill.quantity if fill.side is Side.BUY else -fill.quantity for fill in self.fills if fill.token == token
        )

    def live_sales(self, token: int) -> list[Order]:
        """Sell orders of a contract that can still fill."""
        return [
            order
            for order in self.orders.values()
            if order.alive and order.request.side is Side.SELL and order.request.token == token
        ]

    def write(self, command: OrderWrite, fate: Fate, now_ms: int) -> Result:
        """Answer one write."""
        self.writes += 1
        if isinstance(command, Modify | Cancel):
            return self._change(command, fate, now_ms)
        request = command.approved.request if isinstance(command, PlaceEntry) else command.request
        assert request.tag not in self.sent_tags, "a tag was sent twice"
        self.sent_tags.append(request.tag)
        order_id = ""
        if fate in DONE or fate is Fate.ACKED_IGNORED:
            order_id = self._open(request, rejected=fate is Fate.ACKED_IGNORED)
        elif fate is Fate.UNKNOWN_LATE:
            self._late.append((now_ms + HIDDEN_MS, request))
        answer = ANSWER[fate]
        return Result(now_ms, request.tag, WriteAction.PLACE, answer, order_id if answer == "acked" else "", fate.value)

    def _change(self, command: Modify | Cancel, fate: Fate, now_ms: int) -> Result:
        order = self.orders[command.order_id]
        action = WriteAction.MODIFY if isinstance(command, Modify) else WriteAction.CANCEL
        if not order.alive or order.transit is not None:
            return Result(now_ms, command.tag, action, WriteOutcome.REFUSED, command.order_id, "being processed")
        if isinstance(command, Modify):
            order.modifications += 1
        if fate in DONE:
            order.transit = command
            self._push(order)
        elif fate is Fate.UNKNOWN_LATE:
            self._late.append((now_ms + HIDDEN_MS, command))
        return Result(now_ms, command.tag, action, ANSWER[fate], command.order_id, fate.value)

    def _open(self, request: OrderRequest, *, rejected: bool) -> str:
        self._placed += 1
        order_id = f"B{self._placed:04d}"
        status = Status.TRIGGER_PENDING if request.order_type is OrderType.SL else Status.OPEN
        order = Order(
            order_id,
            request,
            request.order_type,
            request.quantity,
            request.price_paise,
            request.trigger_paise,
            Status.REJECTED if rejected else status,
        )
        self.orders[order_id] = order
        self._push(order)
        return order_id

    def _push(self, order: Order) -> None:
        self.pushed.append(order.view())

    def move(self, prices: dict[int, tuple[int, int]], now_ms: int, fill_share: float, fill_first: bool) -> None:
        """Time has come to `now_ms`: late requests arrive, stops are released, orders fill.

        `prices` is (last, bid) by token; `fill_share` of the rest of every order that crosses fills, in whole lots;
        `fill_first` lets fills win the race against requests in transit.
        """
        self._now_ms = now_ms
        for due_ms, what in list(self._late):
            if due_ms <= now_ms:
                self._late.remove((due_ms, what))
                self._arrive_late(what)
        for order in [order for order in self.orders.values() if order.alive]:
            if fill_first:
                self._fill(order, prices, fill_share)
            self._settle(order)
            if not fill_first:
                self._fill(order, prices, fill_share)
            if order.alive and order.request.validity is Validity.IOC and fill_share > 0:
                order.status = Status.CANCELLED
                self._push(order)

    def _arrive_late(self, what: OrderRequest | Modify | Cancel) -> None:
        if isinstance(what, OrderRequest):
            self._open(what, rejected=False)
        elif self.orders[what.order_id].transit is None:
            self.orders[what.order_id].transit = what

    def _settle(self, order: Order) -> None:
        change, order.transit = order.transit, None
        if change is None or not order.alive:
            return
        if isinstance(change, Cancel):
            order.status = Status.CANCELLED
        elif change.quantity > order.filled and not (order.order_type == "LIMIT" and change.order_type == "SL"):
            order.order_type, order.quantity = change.order_type, change.quantity
            order.price_paise, order.trigger_paise = change.price_paise, change.trigger_paise
            if change.order_type == "LIMIT":
                order.status = Status.OPEN
        self._push(order)

    def _fill(self, order: Order, prices: dict[int, tuple[int, int]], share: float) -> None:
        if not order.alive:
            return
        last, bid = prices[order.request.token]
        selling = order.request.side is Side.SELL
        if order.status == Status.TRIGGER_PENDING:
            if last > order.trigger_paise:
                return
            order.status = Status.OPEN
            self._push(order)
        if selling and bid < order.price_paise:
            return
        lots = int(order.rest // 75 * share + 0.999)
        quantity = min(lots * 75, order.rest)
        if quantity == 0:
            return
        price = bid if selling else order.price_paise
        order.filled += quantity
        order.value_paise += quantity * price
        number = f"T{len(self.fills) + 1:04d}"
        request = order.request
        self.fills.append(Fill(number, order.order_id, request.token, request.side, quantity, price, self._now_ms))
        if order.rest == 0:
            order.status = Status.COMPLETE
        self._push(order)

    def book(self, now_ms: int) -> BrokerSnapshot:
        """The order and trade book and the positions as of now."""
        held = tuple((token, self.held(token), "MIS") for token in sorted({fill.token for fill in self.fills}))
        rows = tuple(order.view() for order in self.orders.values())
        return BrokerSnapshot(now_ms, rows, tuple(self.fills), held)

    def sell_by_hand(self, token: int, quantity: int) -> Order:
        """Somebody sells at the broker's terminal; returns his order, which is done."""
        like = next(order.request for order in self.orders.values() if order.request.token == token)
        request = replace(like, tag="", side=Side.SELL, quantity=quantity, order_type=OrderType.LIMIT)
        order = self.orders[self._open(request, rejected=False)]
        order.filled, order.value_paise, order.status = quantity, quantity * like.price_paise, Status.COMPLETE
        number = f"T{len(self.fills) + 1:04d}"
        self.fills.append(Fill(number, order.order_id, token, Side.SELL, quantity, like.price_paise, self._now_ms))
        self._push(order)
        return order


def aged(snapshot: BrokerSnapshot, now_ms: int) -> BrokerSnapshot:
    """An old book read now."""
    return replace(snapshot, time_ms=now_ms)
