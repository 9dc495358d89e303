"""Which of the broker's books are read at a poll: the order book each time, the others when they can have changed.

Every sale, ours and other people's, is in the order book, so that what is held and what was filled stand still while
that does. A call costs the loop its round trip, and a poll comes every two seconds while something is held.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from g6_core.domain.events import BrokerSnapshot
from g6_core.domain.orders import Fill, OrderView
from g6_stream.gateway import KiteGateway

Answer = TypeVar("Answer")
OnFailure = Callable[[str, Exception], None]

# Positions are read at each poll for so long after a change of the order book, until they have settled, and this often
# anyway: a position that was converted to another product is in no order.
POSITIONS_MS = 10_000


class Books:
    """Reads the broker's books for the session that holds them."""

    def __init__(self, gateway: KiteGateway) -> None:
        self._gateway = gateway
        self._orders: tuple[OrderView, ...] = ()
        self._fills: tuple[Fill, ...] = ()
        self._changed_ms = self._positions_ms = -POSITIONS_MS

    def whole(self, now_ms: int) -> BrokerSnapshot:
        """Return all of them, read now. Kite's errors pass through."""
        return self._read(now_ms, positions=True, cash=True, on_failure=None)

    def poll(self, now_ms: int, *, cash: bool, positions: bool, doubt: bool, on_failure: OnFailure) -> BrokerSnapshot:
        """Return orders and fills; with `cash` everything, with `positions` those too when they can have changed.

        `doubt` says that they are to be read whether or not anything changed. Kite's errors pass through; those of
        positions and free cash go to `on_failure`, and the books are read all the same.
        """
        is_settled = now_ms - self._changed_ms >= POSITIONS_MS
        is_due = cash or doubt or not is_settled or now_ms - self._positions_ms >= POSITIONS_MS
        was = self._orders
        found = self._read(now_ms, positions=positions and is_due, cash=cash, on_failure=on_failure)
        if positions and not is_due and found.orders != was:
            # Something was traded since: what is held is read before the orders, see below.
            found = self._read(now_ms, positions=True, cash=False, on_failure=on_failure)
        return found

    def _read(self, now_ms: int, *, positions: bool, cash: bool, on_failure: OnFailure | None) -> BrokerSnapshot:
        # Positions first: what we sell while all this is read is then in the orders and, at worst, still held here.
        held = _tried(self._gateway.positions, "positions", on_failure) if positions else None
        orders = self._gateway.orders()
        if cash or not _explained(orders, self._fills):
            self._fills = self._gateway.fills()
        free = _tried(self._gateway.cash_paise, "free cash", on_failure) if cash else None
        if held is not None:
            self._positions_ms = now_ms
        if orders != self._orders:
            self._orders, self._changed_ms = orders, now_ms
        return BrokerSnapshot(now_ms, orders, self._fills, held, free)


def _explained(orders: tuple[OrderView, ...], fills: tuple[Fill, ...]) -> bool:
    """Whether these fills are all that the order book tells of."""
    left = Counter({order.order_id: order.filled_quantity for order in orders})
    left.subtract(_quantities(fills))
    return not any(left.values())


def _quantities(fills: tuple[Fill, ...]) -> Counter[str]:
    filled: Counter[str] = Counter()
    for fill in fills:
        filled[fill.order_id] += fill.quantity
    return filled


def _tried(read: Callable[[], Answer], what: str, on_failure: OnFailure | None) -> Answer | None:
    """The answer, or None after `on_failure` was told why there is none; without it the error passes through."""
    try:
        return read()
    except Exception as error:
        if on_failure is None:
            raise
        on_failure(what, error)
        return None
