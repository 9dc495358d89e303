"""A paper broker that dies goes on with its account: nothing forgotten, nothing filled at prices that nobody saw."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kiteconnect import KiteConnect

from g6_core.adapters.kite.transport import connect
from g6_core.adapters.paper_account import PaperAccountFile
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.market import TICK
from g6_core.schema.journal import Header
from g6_core.sim.clock import VirtualClock
from g6_core.sim.scripted import ScriptedSource
from g6_stream.paper import BoardSource, PaperBroker
from tests.sim.broker_story import FALL, STATUSES, TERMS, books_of, lived, story_bench
from tests.sim.kit import DAY, LOT, NOON, Bench, bench

HEADER = Header(str(DAY), "c" * 64, "d" * 64, "paper kite")


def test_killed_at_every_moment_it_ends_with_the_books_of_one_that_was_not(rules: MarketRules, tmp_path: Path) -> None:
    kept = PaperAccountFile(tmp_path / "account.json", HEADER)

    def killed(desk: Bench) -> None:
        if isinstance(desk.exchange, PaperBroker):
            orders = desk.exchange.orders()
            books, file = desk.exchange.books(), kept.load()
            assert not orders or file is not None
            if file is not None:
                assert (file.orders, file.trades, file.account) == (books.orders, books.trades, books.account)
        again = PaperBroker(kept, desk.source, rules, desk.clock, **TERMS)
        desk.exchange, desk.kite = again, connect(again)

    one, many = story_bench(rules), story_bench(rules)
    seen = set.union(*lived(one, lambda _: None))
    assert set.union(*lived(many, killed)) == seen == STATUSES
    assert books_of(one) == books_of(many)


def test_a_stop_released_while_it_is_moved_is_kept_as_released(rules: MarketRules, tmp_path: Path) -> None:
    kept, terms = PaperAccountFile(tmp_path / "account.json", HEADER), TERMS | {"latency_jitter_ms": 0}
    desk = bench(rules, FALL)
    desk.exchange = PaperBroker(kept, desk.source, rules, desk.clock, **terms)
    desk.kite = connect(desk.exchange)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=84, trigger_price=85)
    desk.until(NOON + 4_950)
    desk.kite.modify_order("regular", stop, order_type="SL", quantity=LOT, price=82, trigger_price=83)
    for time_ms, triggered in ((NOON + 4_990, False), (NOON + 5_000, True)):
        desk.until(time_ms)
        assert desk.last(stop)["status"] == "MODIFY PENDING"
        books = kept.load()
        assert books is not None and books.orders[-1].triggered is triggered
    desk.exchange = PaperBroker(kept, desk.source, rules, desk.clock, **terms)
    desk.wait()
    assert (desk.last(stop)["status"], desk.last(stop)["price"]) == ("OPEN", 84.0)


class Paper:
    """Paper money over a board that shows what the test puts on it; `die` starts another process."""

    def __init__(self, rules: MarketRules, folder: Path) -> None:
        script = ScriptedSource.of("NIFTY", DAY, rules, spot_path=[(0, 24_500_00), (2_000_000_000_000, 24_500_00)])
        self.script, self.rules = script, rules
        self.option = next(row for row in script.instruments if row.is_option and row.strike_paise == 24_500_00)
        self.clock = VirtualClock(script.session.open_ms + 3_600_000)
        self.kept = PaperAccountFile(folder / "paper" / "account.json", HEADER)
        self.start()

    def start(self) -> None:
        self.board = BoardSource(DAY, ("NIFTY",), self.script.instruments, self.script.session)
        self.broker = PaperBroker(self.kept, self.board, self.rules, self.clock, **TERMS)
        self.kite: KiteConnect = connect(self.broker)

    def die(self, away_ms: int = 0) -> None:
        """Nothing of the process is left but the file; `away_ms` later it is started again."""
        self.clock.sleep_until(self.clock.now_ms() + away_ms)
        self.start()

    def show(self, bid: int, ask: int, quantity: int = 10 * LOT) -> None:
        """A second later this is the touch, and a second after that everything has met it."""
        self.clock.sleep_until(self.clock.now_ms() + SECOND_MS)
        tick = np.zeros(1, TICK)
        tick["token"], tick["exchange_ms"], tick["ltp_paise"] = self.option.token, self.clock.now_ms(), bid
        tick["bid_paise"], tick["ask_paise"], tick["bid_qty"], tick["ask_qty"] = bid, ask, quantity, quantity
        self.board.apply(tick)
        self.clock.sleep_until(self.clock.now_ms() + SECOND_MS)
        self.broker.advance(self.clock.now_ms())

    def order(self, side: str, price: float, kind: str = "LIMIT", **more: Any) -> str:
        known = ("regular", self.option.exchange, self.option.tradingsymbol, side, LOT, "MIS", kind)
        return str(self.kite.place_order(*known, price=price, **more))

    def held_with_a_stop(self) -> tuple[str, str]:
        """One lot bought at 100.50, and a stop at 90 / 85 below it."""
        self.show(100_00, 100_50)
        bought = self.order("BUY", 101.0, validity="IOC", tag="ENTRY")
        self.show(100_00, 100_50)
        stop = self.order("SELL", 85.0, "SL", trigger_price=90.0, validity="DAY", tag="STOP")
        self.show(100_00, 100_50)
        assert [row["status"] for row in self.kite.orders()] == ["COMPLETE", "TRIGGER PENDING"]
        return bought, stop


@pytest.fixture
def paper(rules: MarketRules, tmp_path: Path) -> Paper:
    return Paper(rules, tmp_path)


def test_a_kept_stop_waits_and_is_judged_by_the_first_tick_of_the_new_process(paper: Paper) -> None:
    _, stop = paper.held_with_a_stop()
    known = (paper.kite.orders(), paper.kite.trades(), paper.kite.margins(), paper.broker.tags)
    paper.die(away_ms=600_000)
    assert (paper.kite.orders(), paper.kite.trades(), paper.kite.margins(), paper.broker.tags) == known
    (position,) = paper.kite.positions()["net"]
    assert position["quantity"] == LOT
    paper.clock.sleep_until(paper.clock.now_ms() + 5_000)
    assert paper.kite.orders()[-1]["status"] == "TRIGGER PENDING", "no price, no fill"
    paper.show(95_00, 95_50)
    (position,) = paper.kite.positions()["net"]
    assert (position["last_price"], position["pnl"]) == (95.0, LOT * (95.0 - 100.5))
    assert paper.kite.orders()[-1]["status"] == "TRIGGER PENDING", "what it went through meanwhile does not count"
    paper.die()
    paper.show(88_00, 88_50)
    row = paper.kite.orders()[-1]
    assert (row["order_id"], row["status"], row["average_price"]) == (stop, "COMPLETE", 88.0)


def test_a_stop_that_the_price_jumped_while_nobody_looked_rests_at_its_limit(paper: Paper) -> None:
    paper.held_with_a_stop()
    paper.die(away_ms=60_000)
    paper.show(70_00, 70_50)
    assert [row["status"] for row in paper.kite.orders()] == ["COMPLETE", "OPEN"]
    paper.die(away_ms=1_000)
    paper.show(86_00, 86_50)
    assert paper.kite.orders()[-1]["average_price"] == 85.0


def test_an_order_on_its_way_meets_only_prices_that_its_process_saw(paper: Paper) -> None:
    paper.show(100_00, 100_50)
    known = [paper.order("BUY", 101.0, validity=validity, tag=validity) for validity in ("IOC", "DAY")]
    paper.die()
    assert [row["status"] for row in paper.kite.orders()] == ["OPEN PENDING", "OPEN PENDING"]
    paper.die(away_ms=2_000)
    assert [row["status"] for row in paper.kite.orders()] == ["CANCELLED", "OPEN"]
    paper.show(100_20, 100_70)
    assert [row["filled_quantity"] for row in paper.kite.orders()] == [0, LOT]
    assert paper.order("BUY", 101.0) not in known


def test_money_and_charges_go_on_where_they_were(paper: Paper) -> None:
    paper.held_with_a_stop()
    before = paper.kite.margins("equity")["available"]["live_balance"]
    assert before < TERMS["cash_paise"] / 100 - LOT * 100.5, "the premium and its charges"
    paper.die()
    paper.show(88_00, 88_50)
    after = paper.kite.margins("equity")["available"]["live_balance"]
    assert before < after < before + LOT * 88.0
    paper.die()
    assert paper.kite.margins("equity")["available"]["live_balance"] == after


def test_what_rests_at_the_close_ends_there_even_when_nobody_was_there(paper: Paper) -> None:
    paper.held_with_a_stop()
    paper.die(away_ms=8 * 3_600_000)
    assert [row["status"] for row in paper.kite.orders()] == ["COMPLETE", "CANCELLED"]


def test_an_order_is_on_disk_before_its_number_is_known_and_a_fill_before_it_is_seen(paper: Paper) -> None:
    paper.show(100_00, 100_50)
    assert paper.kept.load() is None, "nothing has happened yet"
    order_id = paper.order("BUY", 101.0, validity="IOC", tag="ENTRY")
    books = paper.kept.load()
    assert books is not None and [order.order_id for order in books.orders] == [order_id]
    paper.clock.sleep_until(paper.clock.now_ms() + SECOND_MS)
    (update,) = paper.broker.take_order_updates()
    books = paper.kept.load()
    assert books is not None and (update["status"], str(books.orders[0].status)) == ("COMPLETE", "COMPLETE")
    written = paper.kept.path.stat().st_mtime_ns
    paper.show(100_00, 100_50)
    assert (paper.kite.orders(), paper.kite.positions()) != ([], [])
    assert paper.kept.path.stat().st_mtime_ns == written, "nothing changed, nothing is written"


def test_nobody_is_told_of_what_the_disk_does_not_take(paper: Paper) -> None:
    paper.show(100_00, 100_50)
    paper.kept.path.parent.write_text("no folder")
    with pytest.raises(DataError, match=r"cannot write .*account\.json"):
        paper.order("BUY", 101.0, tag="ENTRY")
    for ask in (paper.kite.orders, paper.broker.take_order_updates):
        with pytest.raises(DataError, match="cannot write"):
            ask()
    paper.kept.path.parent.unlink()
    assert [row["tag"] for row in paper.kite.orders()] == ["ENTRY"]
    assert paper.broker.tags == {"250829000000001": "ENTRY"}
