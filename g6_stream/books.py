"""Which of the broker's books are read at a poll: the order book each time, the others when they can have changed.

Every sale, ours and other people's, is in the order book, so that what is held and what was filled stand still while
that does. A call costs the loop its round trip, and a poll comes every two seconds while something is held.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from g6_core.domain.events import Alert, BrokerSnapshot
from g6_core.domain.orders import Fill, OrderView
from g6_stream.gateway import KiteGateway

Answer = TypeVar("Answer")
Alerting = Callable[[Alert], None]

# Everything is read this often even when nothing works.
COMPARE_MS = 60_000
# Positions are read at each poll for so long after a change of the order book, until they have settled, and this often
# anyway: a position that was converted to another product is in no order.
POSITIONS_MS = 10_000
POSITIONS_RETRY_MS = 10_000


class Books:
    """Reads the broker's books for the session that holds them; `alert` hears what could not be read, once a spell."""

    def __init__(self, gateway: KiteGateway, alert: Alerting) -> None:
        self._gateway = gateway
        self._alert = alert
        self._orders: tuple[OrderView, ...] = ()
        self._fills: tuple[Fill, ...] = ()
        self._changed_ms = self._positions_ms = -POSITIONS_MS
        self._cash_ms = self._retry_ms = 0
        self._failing: set[str] = set()

    def whole(self, now_ms: int) -> BrokerSnapshot:
        """Return all of them, read now. Kite's errors pass through."""
        gateway, held = self._gateway, self._gateway.positions()
        return BrokerSnapshot(now_ms, gateway.orders(), gateway.fills(), held, gateway.cash_paise())

    def poll(self, now_ms: int, *, whole: bool, held: bool, doubt: bool) -> BrokerSnapshot:
        """Return orders and fills; all books when the `whole` is asked for or due; positions while something is `held`.

        Positions are read when they can have changed, in `doubt` each time. Kite's errors pass through, but those of
        positions and free cash: exits do not wait for them.
        """
        whole = whole or now_ms - self._cash_ms >= COMPARE_MS
        # What others do with a contract that we hold must be known before the next exit, not a minute later. Each try
        # that fails may cost the loop its whole timeout.
        wanted = (whole or held) and now_ms >= self._retry_ms
        is_settled = now_ms - self._changed_ms >= POSITIONS_MS
        is_due = whole or doubt or not is_settled or now_ms - self._positions_ms >= POSITIONS_MS
        was = self._orders
        found = self._read(now_ms, positions=wanted and is_due, whole=whole)
        if wanted and not is_due and found.orders != was:
            # Something was traded since: what is held is read before the orders, see below.
            found = self._read(now_ms, positions=True, whole=False)
        return found

    def _read(self, now_ms: int, *, positions: bool, whole: bool) -> BrokerSnapshot:
        # Positions first: what we sell while all this is read is then in the orders and, at worst, still held here.
        held = self._tried(self._gateway.positions, "positions") if positions else None
        if positions:
            self._positions_ms, self._retry_ms = now_ms, now_ms + POSITIONS_RETRY_MS if held is None else 0
        orders = self._gateway.orders()
        if whole or not _explained(orders, self._fills):
            self._fills = self._gateway.fills()
        cash = self._tried(self._gateway.cash_paise, "free cash") if whole else None
        if cash is not None:
            self._cash_ms = now_ms
        if orders != self._orders:
            self._orders, self._changed_ms = orders, now_ms
        return BrokerSnapshot(now_ms, orders, self._fills, held, cash)

    def _tried(self, read: Callable[[], Answer], what: str) -> Answer | None:
        """What is read; None when it could not be."""
        try:
            found = read()
        except Exception as error:  # noqa: BLE001 - a read: the next poll repeats it
            if what not in self._failing:
                text = f"{what} could not be read: {error}; exits go on by what was known before"
                self._alert(Alert("warning", text))
            self._failing.add(what)
            return None
        self._failing.discard(what)
        return found


def _explained(orders: tuple[OrderView, ...], fills: tuple[Fill, ...]) -> bool:
    """Whether these fills are all that the order book tells of."""
    left = Counter({order.order_id: order.filled_quantity for order in orders})
    for fill in fills:
        left[fill.order_id] -= fill.quantity
    return not any(left.values())
