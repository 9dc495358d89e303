"""Ten seconds at the simulated exchange in which orders pass through every state, and what may replace its broker."""

from collections.abc import Callable, Iterator
from typing import Any

from g6_core.domain.calendar import MarketRules
from g6_core.domain.orders import Status
from tests.sim.kit import LOT, NOON, OPEN, Bench, bench

TERMS = {"seed": 5, "cash_paise": 3_00_000_00, "order_latency_ms": 80, "latency_jitter_ms": 400}
FALL = ((OPEN, 99_00, 100_00), (NOON + 5_000, 80_00, 81_00))
STEP_MS = 35
END_MS = NOON + 9_000
# In transit, at rest and at the end; the other statuses pass within one request.
STATUSES = {
    Status.OPEN_PENDING,
    Status.OPEN,
    Status.TRIGGER_PENDING,
    Status.MODIFY_PENDING,
    Status.CANCEL_PENDING,
    Status.COMPLETE,
    Status.CANCELLED,
    Status.REJECTED,
}


def _sliced(desk: Bench) -> None:
    form = {"exchange": "NFO", "tradingsymbol": desk.contract.tradingsymbol, "transaction_type": "BUY"}
    terms = {"quantity": str(40 * LOT), "product": "NRML", "order_type": "LIMIT", "price": "1", "validity": "DAY"}
    desk.exchange.place_sliced(form | terms)


def _modify_stop(desk: Bench, trigger: float, price: float) -> None:
    order_id = desk.exchange.orders()[1]["order_id"]
    terms = {"trigger_price": trigger, "price": price, "quantity": 10 * LOT, "order_type": "SL"}
    desk.kite.modify_order("regular", order_id, **terms)


def _cancel_child(desk: Bench) -> None:
    child = next(row for row in desk.exchange.orders() if row["parent_order_id"])
    desk.kite.cancel_order("regular", child["order_id"])


# Milliseconds after noon: a partly filled entry, its stop, a bid that waits and then fills in three parts, one that
# funds do not cover, one outside the price range, a moved stop, slices, a cancelled slice, and a stop that is released
# while it is being moved.
ACTIONS: tuple[tuple[int, Callable[[Bench], object]], ...] = (
    (0, lambda desk: desk.place(quantity=12 * LOT, price=100, validity="IOC")),
    (600, lambda desk: desk.place("SELL", quantity=10 * LOT, order_type="SL", price=78, trigger_price=85)),
    (1_200, lambda desk: desk.place(quantity=24 * LOT, price=95)),
    (1_300, lambda desk: desk.place(quantity=24 * LOT, price=95)),
    (1_400, lambda desk: desk.place(quantity=LOT, price=180)),
    (1_800, lambda desk: _modify_stop(desk, 86, 78)),
    (2_600, _sliced),
    (3_600, _cancel_child),
    (4_900, lambda desk: _modify_stop(desk, 84, 77)),
)


def story_bench(rules: MarketRules) -> Bench:
    """The market of the story."""
    return bench(rules, FALL, jitter_ms=TERMS["latency_jitter_ms"], seed=TERMS["seed"], cash_paise=TERMS["cash_paise"])


def lived(desk: Bench, replace: Callable[[Bench], None]) -> Iterator[set[Status]]:
    """Play the story, with `replace` before every step and after every action; gives the statuses there."""
    waiting = list(ACTIONS)
    for now_ms in range(NOON, END_MS, STEP_MS):
        desk.until(now_ms)
        replace(desk)
        yield statuses(desk)
        while waiting and NOON + waiting[0][0] <= now_ms:
            waiting.pop(0)[1](desk)
            replace(desk)
            yield statuses(desk)


def statuses(desk: Bench) -> set[Status]:
    """Statuses in the order book now."""
    return {Status(row["status"]) for row in desk.exchange.orders()}


def books_of(desk: Bench) -> list[Any]:
    """Everything the broker says about orders and money."""
    orders = desk.exchange.orders()
    histories = [desk.exchange.order_history(row["order_id"]) for row in orders]
    return [orders, histories, desk.exchange.trades(), desk.exchange.margins(), desk.exchange.positions()]
