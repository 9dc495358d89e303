"""Which books are read at a poll, decided on a scripted gateway that counts what is asked of it."""

from collections import Counter
from dataclasses import dataclass, field, replace

from g6_core.domain.events import Alert, BrokerSnapshot
from g6_core.domain.orders import Fill, OrderView, Side
from g6_stream.books import POSITIONS_MS, Books

BUY = OrderView("1", "g6-1", "OPEN", 7, Side.BUY, 75, 0, 0, 100_00, 0, "")
FILLED = replace(BUY, status="COMPLETE", filled_quantity=75, average_paise=100_00)
HALF = replace(BUY, filled_quantity=30, average_paise=100_00)
SOLD = OrderView("2", "", "COMPLETE", 7, Side.SELL, 75, 75, 99_00, 0, 0, "")
NOW_MS = 1_756_439_100_000
POLL_MS = 2_000


def fill(trade_id: str, order_id: str, quantity: int) -> Fill:
    return Fill(trade_id, order_id, 7, Side.BUY, quantity, 100_00, NOW_MS)


@dataclass
class Gateway:
    """A broker whose books are these."""

    book: tuple[OrderView, ...] = ()
    trades: tuple[Fill, ...] = ()
    held: tuple[tuple[int, int, str], ...] = ()
    asked: Counter[str] = field(default_factory=Counter)
    refuses: str = ""

    def _note(self, what: str) -> None:
        self.asked[what] += 1
        if what == self.refuses:
            raise OSError("away")

    def orders(self) -> tuple[OrderView, ...]:
        self._note("orders")
        return self.book

    def fills(self) -> tuple[Fill, ...]:
        self._note("fills")
        return self.trades

    def positions(self) -> tuple[tuple[int, int, str], ...]:
        self._note("positions")
        return self.held

    def cash_paise(self) -> int:
        self._note("cash")
        return 1_000_00


class Polls:
    """Polls every two seconds."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.now_ms = NOW_MS
        self.alerts: list[Alert] = []
        self._books = Books(self.gateway, self.alerts.append)  # type: ignore[arg-type] - the reads are all it uses
        self.once()

    def once(self, *, whole: bool = False, held: bool = True, doubt: bool = False) -> BrokerSnapshot:
        """The next poll; `asked` counts its calls only."""
        self.gateway.asked.clear()
        self.now_ms += POLL_MS
        return self._books.poll(self.now_ms, whole=whole, held=held, doubt=doubt)

    def quiet(self) -> None:
        """Poll until the books have settled."""
        for _ in range(POSITIONS_MS // POLL_MS + 1):
            self.once()


def test_settled_books_cost_one_call_and_keep_their_fills() -> None:
    polls = Polls()
    polls.gateway.book, polls.gateway.trades, polls.gateway.held = (FILLED,), (fill("a", "1", 75),), ((7, 75, "MIS"),)
    first = polls.once()
    assert (first.orders, first.fills, first.positions) == ((FILLED,), (fill("a", "1", 75),), ((7, 75, "MIS"),))
    polls.quiet()
    calls = Counter()
    for _ in range(10):
        found = polls.once()
        calls += polls.gateway.asked
        assert (found.orders, found.fills) == (first.orders, first.fills)
    assert calls["orders"] == 10 and calls["fills"] == 0
    assert 1 <= calls["positions"] <= 3, "a conversion to another product is seen all the same"


def test_a_sale_by_others_is_compared_with_the_positions_in_the_same_poll() -> None:
    polls = Polls()
    polls.gateway.book, polls.gateway.trades, polls.gateway.held = (FILLED,), (fill("a", "1", 75),), ((7, 75, "MIS"),)
    polls.quiet()
    while polls.once().positions is not None:
        pass
    polls.gateway.book, polls.gateway.held = (FILLED, SOLD), ((7, 0, "MIS"),)
    polls.gateway.trades = (fill("a", "1", 75), fill("b", "2", 75))
    found = polls.once()
    assert found.positions == ((7, 0, "MIS"),) and found.orders == (FILLED, SOLD)
    assert {one.trade_id for one in found.fills} == {"a", "b"}
    for _ in range(POSITIONS_MS // POLL_MS - 1):
        assert polls.once().positions is not None, "until the books have settled each poll compares them"


def test_the_trade_book_is_read_until_it_tells_of_every_unit() -> None:
    polls = Polls()
    polls.gateway.book = (HALF,)
    for known in ((), (fill("a", "1", 10),), (fill("a", "1", 10), fill("b", "1", 20))):
        polls.gateway.trades = known
        assert polls.once().fills == known
        assert polls.gateway.asked["fills"] >= 1
    polls.once()
    assert polls.gateway.asked["fills"] == 0
    polls.gateway.book = (FILLED,)
    polls.once()
    assert polls.gateway.asked["fills"] >= 1, "more was filled"
    polls.gateway.trades = (fill("c", "1", 75),)
    assert polls.once(whole=True).fills == polls.gateway.trades, "the whole is read anew, whatever was known"


def test_in_doubt_positions_are_read_each_time_and_without_a_holding_never() -> None:
    polls = Polls()
    polls.quiet()
    assert all(polls.once(doubt=True).positions is not None for _ in range(5))
    assert all(polls.once(held=False).positions is None for _ in range(10))


def test_positions_that_cannot_be_read_are_told_and_the_orders_come_all_the_same() -> None:
    polls = Polls()
    polls.gateway.book, polls.gateway.refuses = (BUY,), "positions"
    found = polls.once(whole=True)
    assert found.orders == (BUY,) and found.positions is None and found.cash_paise == 1_000_00
    for _ in range(POSITIONS_MS // POLL_MS - 1):
        assert polls.once(whole=True).orders == (BUY,)
        assert polls.gateway.asked["positions"] == 0, "each try may cost the loop its whole timeout"
    polls.once(whole=True)
    assert polls.gateway.asked["positions"] == 1
    (told,) = polls.alerts
    assert "positions" in told.text and "exits go on" in told.text, "once a spell"
