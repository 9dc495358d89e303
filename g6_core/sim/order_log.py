"""What the simulated broker knows of its client's orders: the order book with histories, trades, pushed updates.

The only place where an order's status or filled quantity changes.
"""

from collections import deque
from collections.abc import Callable, Iterable

from g6_core.domain.charges import ChargeRates
from g6_core.domain.orders import Status
from g6_core.sim.account import Account
from g6_core.sim.kite_shapes import Json, order_row, postback
from g6_core.sim.order_state import SimOrder, SimTrade

UPDATES_MAX = 10_000
PARTIAL_FILL_STATUS = "UPDATE"


class OrderLog:
    """Orders in the order of placement; `live` are those that are not terminal.

    `rates_of(exchange)` gives the charge rates of the day. Pushed updates that nobody takes are kept up to a bound,
    the oldest are dropped: they are hints, the order book is the truth. `changes` counts every change of an order.
    """

    def __init__(self, account: Account, rates_of: Callable[[str], ChargeRates]) -> None:
        self.account = account
        self.orders: dict[str, SimOrder] = {}
        self.live: dict[str, SimOrder] = {}
        self.trades: list[SimTrade] = []
        self._updates: deque[Json] = deque(maxlen=UPDATES_MAX)
        self.rates_of = rates_of
        self.changes = 0

    def add(self, order: SimOrder) -> None:
        """Enter a new order with its first history row."""
        self.orders[order.order_id] = order
        self.live[order.order_id] = order
        order.history.append(order_row(order))
        self.changes += 1

    def step(self, order: SimOrder, status: Status, message: str = "", raw_message: str = "") -> None:
        """Change the status and write the history row."""
        order.move(status, message, raw_message)
        order.history.append(order_row(order))
        self.changes += 1
        if order.is_terminal:
            del self.live[order.order_id]

    def finish(self, order: SimOrder, status: Status, message: str = "", raw_message: str = "") -> None:
        """A last status, pushed to the client. A cancelled order gives up its rest."""
        if status is Status.CANCELLED:
            order.cancelled_quantity = order.rest
        self.step(order, status, message, raw_message)
        self.push(order)

    def release(self, order: SimOrder) -> None:
        """The trigger of a stop was reached. Its status follows when nothing is in transit."""
        order.triggered = True
        self.changes += 1

    def fill(self, order: SimOrder, price_paise: int, quantity: int, time_ms: int) -> None:
        """Book one execution; the last one completes the order."""
        order.filled_quantity += quantity
        order.filled_value_paise += price_paise * quantity
        order.updated_ms = time_ms
        self.changes += 1
        self.account.apply_fill(order, quantity, price_paise, self.rates_of(order.instrument.exchange))
        self.trades.append(
            SimTrade(
                trade_id=f"{len(self.trades) + 1:08d}",
                order_id=order.order_id,
                exchange_order_id=order.exchange_order_id,
                instrument=order.instrument,
                product=order.product,
                side=order.side,
                quantity=quantity,
                price_paise=price_paise,
                time_ms=time_ms,
            )
        )
        if order.filled_quantity == order.quantity:
            self.finish(order, Status.COMPLETE)
        else:
            self.push(order, PARTIAL_FILL_STATUS)

    def restore(self, orders: Iterable[SimOrder], trades: Iterable[SimTrade]) -> None:
        """Go on from kept orders and trades; updates that nobody took are lost, as on Kite."""
        self.orders = {order.order_id: order for order in orders}
        self.live = {order_id: order for order_id, order in self.orders.items() if not order.is_terminal}
        self.trades = list(trades)

    def push(self, order: SimOrder, status: str = "") -> None:
        """Queue an order update for the client."""
        self._updates.append(postback(order, status or str(order.status)))

    def take_updates(self) -> list[Json]:
        """The updates since the last call, oldest first."""
        taken = list(self._updates)
        self._updates.clear()
        return taken
