"""An exchange that died goes on with its log: the same books, and a log that is not its own is refused in one line."""

from collections.abc import Callable
from contextlib import closing, contextmanager
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import KiteException

from g6_core.adapters.exchange_log import ExchangeLog, KeptExchange
from g6_core.adapters.kite.transport import connect
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError, UserError
from g6_core.domain.ist import at
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.modelled import ModelledSource
from tests.sim.server.kit import DAY, money_contract

TERMS = {"seed": 7, "cash_paise": 300_000_00, "order_latency_ms": 80, "latency_jitter_ms": 40}
START_MS = at(DAY, time(10))
MARKET = {"date": str(DAY), "source": "modelled", "indices": ["NIFTY"]} | TERMS


class Life:
    """One life of an exchange, and its client."""

    def __init__(self, exchange: Exchange, clock: VirtualClock) -> None:
        self.exchange, self.clock = exchange, clock
        self.kite: KiteConnect = connect(exchange)

    def later(self, by_ms: int = 1_000) -> None:
        self.clock.sleep_until(self.clock.now_ms() + by_ms)
        self.exchange.advance(self.clock.now_ms())

    def books(self) -> list[Any]:
        self.later(1_000)
        orders = self.kite.orders()
        return [
            orders,
            [self.kite.order_history(row["order_id"]) for row in orders[:4]],
            self.kite.trades(),
            self.kite.positions(),
            self.kite.margins(),
        ]


@contextmanager
def life(rules: MarketRules, path: Path):
    with closing(ExchangeLog.open(path, MARKET, START_MS)) as log:
        clock = VirtualClock(log.start_ms)
        yield Life(KeptExchange(log, ModelledSource(("NIFTY",), DAY, rules, 7), rules, clock, **TERMS), clock)


def play(one: Life) -> None:
    """A bought lot with its stop, a moved stop, a cancelled order, a refused one, and slices."""
    contract = money_contract(one.kite)
    symbol, lot = contract["tradingsymbol"], contract["lot_size"]
    one.later()

    def place(side: str, quantity: int, price: float, **more: Any) -> str:
        kind = more.pop("order_type", "LIMIT")
        return str(one.kite.place_order("regular", "NFO", symbol, side, quantity, "MIS", kind, price=price, **more))

    price = round(one.kite.quote(f"NFO:{symbol}")[f"NFO:{symbol}"]["last_price"])
    one.later()
    place("BUY", lot, price + 3, tag="ENTRY")
    one.later(1_370)
    stop = place("SELL", lot, price * 0.7 // 1, trigger_price=price * 0.7 // 1 + 2, order_type="SL", tag="EXIT")
    one.later()
    one.kite.modify_order("regular", stop, quantity=lot, price=price - 40, trigger_price=price - 39, order_type="SL")
    resting = place("BUY", lot, price - 30)
    with pytest.raises(KiteException):
        place("BUY", lot, price + 0.01)
    one.later(2_500)
    one.kite.cancel_order("regular", resting)
    form = {"exchange": "NFO", "tradingsymbol": symbol, "transaction_type": "BUY", "quantity": str(lot * 40)}
    sliced = one.exchange.place_sliced(
        {**form, "product": "MIS", "order_type": "LIMIT", "price": "1", "validity": "DAY"}
    )
    assert len(sliced["children"]) > 1
    one.later(650)
    place("BUY", lot, price - 25)


def test_the_books_after_a_death_are_those_without_one(rules: MarketRules, tmp_path: Path) -> None:
    with life(rules, tmp_path / "whole.jsonl") as whole:
        play(whole)
        whole.later(600_000)
        expected = whole.books()
    with life(rules, tmp_path / "state" / "log.jsonl") as first:
        play(first)
        first.exchange.expire_session()
        died_ms = first.clock.now_ms()
    with life(rules, tmp_path / "state" / "log.jsonl") as second:
        assert second.clock.now_ms() == died_ms
        assert second.exchange.continued.endswith(f"with {len(expected[0])} orders")
        assert second.exchange.take_order_updates() == []
        second.later(600_000)
        assert second.books() == expected
        assert len(expected[0]) >= 4 and expected[2]


def test_a_session_stays_open_or_ended(rules: MarketRules, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with life(rules, path) as first:
        header = f"token g6sim:{first.kite.access_token}"
        first.exchange.authorise(header)
    with closing(ExchangeLog.open(path, MARKET, START_MS)) as log:
        source = ModelledSource(("NIFTY",), DAY, rules, 7)
        again = KeptExchange(log, source, rules, VirtualClock(log.start_ms), **TERMS)
        again.authorise(header)
        again.logout("g6sim", first.kite.access_token)
    with closing(ExchangeLog.open(path, MARKET, START_MS)) as log:
        ended = KeptExchange(log, source, rules, VirtualClock(log.start_ms), **TERMS)
        with pytest.raises(Exception, match="access_token"):
            ended.authorise(header)


def test_a_torn_last_line_is_cut_off_and_a_started_head_begun_anew(rules: MarketRules, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with life(rules, path) as first:
        play(first)
    whole = path.read_bytes()
    path.write_bytes(whole + b'[1795061480000, "pla')
    with closing(ExchangeLog.open(path, MARKET, 0)) as log:
        assert log.start_ms == START_MS
        assert len(log.lines) == whole.count(b"\n") - 1
    assert path.read_bytes() == whole
    path.write_bytes(whole[:20])
    with closing(ExchangeLog.open(path, MARKET, START_MS)) as log:
        assert log.lines == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text.replace(b'"seed":7', b'"seed":8'), r"the log of another market \(seed 8\); serve that one"),
        (
            lambda text: text.replace(b'"version":1', b'"version":2'),
            "log version 2, this program reads 1; move",
        ),
        (lambda text: b"a diary\n" + text, "not the log of an exchange, or damaged"),
        (lambda text: text + b"[]\n", "not the log of an exchange, or damaged"),
        (lambda text: text + b"\xff\xfe\n", "not the log of an exchange, or damaged"),
        (lambda text: text + b'[1, "place", 5]\n', "not the log of an exchange, or damaged"),
    ],
)
def test_a_log_that_is_not_ours_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], says: str) -> None:
    path = tmp_path / "log.jsonl"
    ExchangeLog.open(path, MARKET, START_MS).close()
    spoilt = spoil(path.read_bytes())
    path.write_bytes(spoilt)
    with pytest.raises(DataError, match=says):
        ExchangeLog.open(path, MARKET, START_MS)
    assert path.read_bytes() == spoilt
    with pytest.raises(DataError, match=says):
        ExchangeLog.open(path, MARKET, START_MS)


def test_a_second_exchange_does_not_write_the_same_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    said = "another exchange keeps its day there; end it, or choose another --state"
    with closing(ExchangeLog.open(path, MARKET, START_MS)), pytest.raises(UserError, match=said):
        ExchangeLog.open(path, MARKET, START_MS)


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        ExchangeLog.open(tmp_path / "file" / "log.jsonl", MARKET, START_MS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        ExchangeLog.open(tmp_path / "folder", MARKET, START_MS)


def test_a_request_that_cannot_be_kept_is_not_carried_out(rules: MarketRules, tmp_path: Path, monkeypatch) -> None:
    with life(rules, tmp_path / "log.jsonl") as one:

        def full(*_: object) -> None:
            raise DataError("cannot write: no space left")

        monkeypatch.setattr(ExchangeLog, "append", full)
        with pytest.raises(KiteException, match="no space left"):
            play(one)
        one.later()
        assert one.kite.orders() == []
