"""Paper money on a live board: fills at the touch that the feed shows, checks and charges of the simulated broker."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest
from kiteconnect import KiteConnect
from numpy.typing import NDArray

from g6_core.adapters.kite.transport import connect
from g6_core.domain.calendar import MarketRules
from g6_core.domain.market import TICK
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.scripted import ScriptedSource
from g6_stream.paper import BoardSource, PaperFeed

DAY = date(2025, 8, 29)


class Stream:
    """A feed that brings what the test puts into it."""

    connected = True

    def __init__(self) -> None:
        self.coming: list[NDArray[np.void]] = []
        self.subscribed: set[int] = set()

    def subscribe(self, tokens: tuple[int, ...]) -> None:
        self.subscribed.update(tokens)

    def unsubscribe(self, tokens: tuple[int, ...]) -> None:
        self.subscribed.difference_update(tokens)

    def poll(self) -> NDArray[np.void]:
        frames, self.coming = self.coming, []
        return np.concatenate(frames) if frames else np.zeros(0, TICK)

    def order_updates(self) -> list[dict[str, Any]]:
        return [{"order_id": "of the real account"}]


class Paper:
    def __init__(self, rules: MarketRules) -> None:
        script = ScriptedSource.of("NIFTY", DAY, rules, spot_path=[(0, 24_500_00), (2_000_000_000_000, 24_500_00)])
        self.option = next(row for row in script.instruments if row.is_option and row.strike_paise == 24_500_00)
        self.clock = VirtualClock(script.session.open_ms + 3_600_000)
        self.stream = Stream()
        source = BoardSource(DAY, ("NIFTY",), script.instruments, script.session)
        exchange = Exchange(
            source, rules, self.clock, seed=1, cash_paise=10_000_000, order_latency_ms=80, latency_jitter_ms=0
        )
        self.feed = PaperFeed(self.stream, source, exchange)
        self.kite: KiteConnect = connect(exchange)

    def show(self, bid: int, ask: int, quantity: int) -> None:
        """A second later this is the touch."""
        self.clock.sleep_until(self.clock.now_ms() + 1_000)
        tick = np.zeros(1, TICK)
        tick["token"], tick["exchange_ms"], tick["ltp_paise"] = self.option.token, self.clock.now_ms(), bid
        tick["bid_paise"], tick["ask_paise"], tick["bid_qty"], tick["ask_qty"] = bid, ask, quantity, quantity
        self.stream.coming.append(tick)
        assert len(self.feed.poll()) == 1

    def buy(self, price: float, lots: int, validity: str = "IOC") -> str:
        known = ("regular", self.option.exchange, self.option.tradingsymbol, "BUY", lots * self.option.lot_size)
        return str(self.kite.place_order(*known, "MIS", "LIMIT", price=price, validity=validity, tag="T1"))


@pytest.fixture
def paper(rules: MarketRules) -> Iterator[Paper]:
    found = Paper(rules)
    yield found
    found.kite.reqsession.close()


def test_an_entry_fills_at_the_touch_after_the_latency_and_no_further(paper: Paper) -> None:
    lot = paper.option.lot_size
    paper.show(100_00, 100_50, 2 * lot)
    order_id = paper.buy(101.0, 3)
    assert paper.kite.order_history(order_id)[-1]["filled_quantity"] == 0
    paper.clock.sleep_until(paper.clock.now_ms() + 80)
    (row,) = paper.kite.orders()
    assert (row["status"], row["filled_quantity"], row["average_price"]) == ("CANCELLED", 2 * lot, 100.5)
    assert paper.kite.margins("equity")["available"]["live_balance"] < 100_000 - 2 * lot * 100.5
    assert [one["status"] for one in paper.feed.order_updates()] == ["UPDATE", "CANCELLED"]


def test_a_resting_stop_is_released_by_the_live_price(paper: Paper) -> None:
    lot = paper.option.lot_size
    paper.show(100_00, 100_50, 10 * lot)
    paper.buy(101.0, 1)
    paper.show(100_00, 100_50, 10 * lot)
    known = ("regular", paper.option.exchange, paper.option.tradingsymbol, "SELL", lot, "MIS", "SL")
    paper.kite.place_order(*known, price=85.0, trigger_price=90.0, validity="DAY", tag="T2")
    paper.show(95_00, 95_50, 10 * lot)
    assert paper.kite.orders()[-1]["status"] == "TRIGGER PENDING"
    paper.show(89_00, 89_50, 10 * lot)
    paper.show(89_00, 89_50, 10 * lot)
    row = paper.kite.orders()[-1]
    assert row["status"] == "COMPLETE"
    assert row["average_price"] >= 85.0
    assert sum(one["quantity"] for one in paper.kite.positions()["net"]) == 0


def test_the_checks_are_the_brokers_and_the_stream_is_the_real_one(paper: Paper) -> None:
    paper.feed.subscribe((1, 2))
    paper.feed.unsubscribe((2,))
    assert paper.stream.subscribed == {1}
    assert paper.feed.connected
    paper.show(100_00, 100_50, 1_000)
    with pytest.raises(Exception, match="multiple"):
        paper.kite.place_order(
            "regular", paper.option.exchange, paper.option.tradingsymbol, "BUY", 1, "MIS", "LIMIT", price=100.0
        )
    assert paper.feed.order_updates() == [], "the real account's orders are its own business"
