"""The order gateway over real sockets: what goes out, and what every way to fail means for the order."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from kiteconnect import KiteConnect

from g6_core.domain.events import Cancel, Modify, OrderWrite, PlaceEntry, PlaceExit, WriteAction, WriteOutcome
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import utc_text
from g6_core.domain.orders import OrderRequest, OrderType, OrderView, Product, Side, Validity
from g6_core.domain.risk import Approved
from g6_core.sim.clock import VirtualClock
from g6_stream.books import Books
from g6_stream.gateway import KiteGateway, classify, fill_of, order_view

NOW_MS = 1_756_439_100_000
ORDER_ID = "250829000000001"
JSON = "application/json"
Reply = tuple[int, str, str]


def _ok(data: Any) -> Reply:
    return 200, JSON, json.dumps({"status": "success", "data": data})


def _error(status: int, kind: str, message: str) -> Reply:
    return status, JSON, json.dumps({"status": "error", "error_type": kind, "message": message})


@dataclass
class Broker:
    """A server on loopback that gives one reply to everything and remembers what was asked."""

    url: str = ""
    reply: Callable[[], Reply | None] = lambda: _ok({"order_id": ORDER_ID})
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def broker() -> Iterator[Broker]:
    found = Broker()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            url = urlsplit(self.path)
            given = parse_qs(body or url.query)
            found.asked.append((self.command, url.path, {name: values[0] for name, values in given.items()}))
            reply = found.reply()
            if reply is None:
                return  # the connection is closed without a word
            status, kind, text = reply
            self.send_response(status)
            if kind.startswith("http"):
                self.send_header("Location", kind)
            elif kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            """Quiet."""

    for method in ("GET", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def _instrument(token: int) -> Instrument:
    return Instrument(
        token, token, f"NIFTY{token}CE", "NIFTY", "NFO", "NFO-OPT", "CE", None, 24_500_00, 5, 75
    )  # fmt: skip


def _gateway(url: str, timeout: float = 5) -> Iterator[KiteGateway]:
    kite = KiteConnect("key", "token", root=url, timeout=timeout)
    kite.reqsession.trust_env = False
    with kite.reqsession:
        yield KiteGateway(kite, VirtualClock(NOW_MS), InstrumentBook.of([_instrument(1), _instrument(2)]))


@pytest.fixture
def gateway(broker: Broker) -> Iterator[KiteGateway]:
    yield from _gateway(broker.url)


REQUEST = OrderRequest(
    "G6250829E00001", "NFO", "NIFTY1CE", 1, Side.BUY, 150, Product.MIS, OrderType.LIMIT, Validity.IOC, 123_05, 0
)
STOP = OrderRequest(
    "G6250829X00002", "NFO", "NIFTY1CE", 1, Side.SELL, 75, Product.MIS, OrderType.SL, Validity.DAY, 81_60, 85_90
)
ENTRY = PlaceEntry(Approved(REQUEST, (), "c"))
WRITES: tuple[OrderWrite, ...] = (
    ENTRY,
    PlaceExit(STOP),
    Modify(STOP.tag, ORDER_ID, "LIMIT", 150, 99_95, 0),
    Cancel(STOP.tag, ORDER_ID),
)
PLACED = {"exchange": "NFO", "tradingsymbol": "NIFTY1CE", "product": "MIS", "variety": "regular"}


@pytest.mark.parametrize(
    ("command", "asked", "expected"),
    [
        pytest.param(
            ENTRY,
            (
                "POST",
                "/orders/regular",
                PLACED
                | {"transaction_type": "BUY", "quantity": "150", "order_type": "LIMIT", "price": "123.05"}
                | {"validity": "IOC", "tag": "G6250829E00001"},
            ),
            WriteAction.PLACE,
            id="entry",
        ),
        pytest.param(
            PlaceExit(STOP),
            (
                "POST",
                "/orders/regular",
                PLACED
                | {"transaction_type": "SELL", "quantity": "75", "order_type": "SL", "price": "81.6"}
                | {"trigger_price": "85.9", "validity": "DAY", "tag": "G6250829X00002"},
            ),
            WriteAction.PLACE,
            id="stop",
        ),
        pytest.param(
            Modify(STOP.tag, ORDER_ID, "SL", 150, 99_95, 105_00),
            (
                "PUT",
                f"/orders/regular/{ORDER_ID}",
                {"variety": "regular", "order_id": ORDER_ID, "order_type": "SL", "quantity": "150"}
                | {"price": "99.95", "trigger_price": "105.0"},
            ),
            WriteAction.MODIFY,
            id="stop moved",
        ),
        pytest.param(
            Modify(STOP.tag, ORDER_ID, "LIMIT", 150, 99_95, 0),
            (
                "PUT",
                f"/orders/regular/{ORDER_ID}",
                {"variety": "regular", "order_id": ORDER_ID, "order_type": "LIMIT", "quantity": "150"}
                | {"price": "99.95"},
            ),
            WriteAction.MODIFY,
            id="stop made a limit",
        ),
        pytest.param(
            Cancel(STOP.tag, ORDER_ID),
            ("DELETE", f"/orders/regular/{ORDER_ID}", {}),
            WriteAction.CANCEL,
            id="cancel",
        ),
    ],
)
def test_a_command_goes_out_once_in_kites_words_and_rupees(
    broker: Broker, gateway: KiteGateway, command: OrderWrite, asked: tuple[str, str, dict[str, str]], expected: str
) -> None:
    result = gateway.write(command)
    assert broker.asked == [asked]
    assert (result.action, result.outcome, result.order_id, result.message) == (expected, "acked", ORDER_ID, "")
    assert result.time_ms == NOW_MS


ANSWERS = {
    "400 input": (_error(400, "InputException", "Invalid `price`."), WriteOutcome.REFUSED),
    "400 margin": (_error(400, "MarginException", "Insufficient funds."), WriteOutcome.REFUSED),
    "400 order": (_error(400, "OrderException", "Order cannot be modified."), WriteOutcome.REFUSED),
    "403 token": (_error(403, "TokenException", "Incorrect `api_key` or `access_token`."), WriteOutcome.REFUSED),
    "403 permission": (_error(403, "PermissionException", "No permission."), WriteOutcome.REFUSED),
    "429": (_error(429, "NetworkException", "Too many requests"), WriteOutcome.NOT_SENT),
    "400 timed out": (
        _error(400, "OrderException", "Order request timed out. Please check the order book."),
        WriteOutcome.UNKNOWN,
    ),
    "400 timeout": (_error(400, "GeneralException", "Gateway Timeout"), WriteOutcome.UNKNOWN),
    "400 network": (_error(400, "NetworkException", "Something went wrong."), WriteOutcome.UNKNOWN),
    "500": (_error(500, "GeneralException", "Something unexpected happened."), WriteOutcome.UNKNOWN),
    "500 order": (_error(500, "OrderException", "OMS said no, maybe"), WriteOutcome.UNKNOWN),
    "502 data": (_error(502, "DataException", "Unknown response from the OMS"), WriteOutcome.UNKNOWN),
    "503": (_error(503, "NetworkException", "OMS is down"), WriteOutcome.UNKNOWN),
    "504 html": ((504, "text/html", "<html>Gateway time-out</html>"), WriteOutcome.UNKNOWN),
    "429 html": ((429, "text/html", "<html>Slow down</html>"), WriteOutcome.UNKNOWN),
    "200 html": ((200, "text/html", "<html>hello</html>"), WriteOutcome.UNKNOWN),
    "200 no content type": ((200, "", "{}"), WriteOutcome.UNKNOWN),
    "200 cut json": ((200, JSON, '{"status": "succ'), WriteOutcome.UNKNOWN),
    "200 no data": ((200, JSON, "{}"), WriteOutcome.UNKNOWN),
    "200 list": (_ok([]), WriteOutcome.UNKNOWN),
    "400 no type": ((400, JSON, '{"status": "error", "message": "no"}'), WriteOutcome.UNKNOWN),
    "closed without a word": (None, WriteOutcome.UNKNOWN),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_says_for_every_write_what_is_known(broker: Broker, gateway: KiteGateway, name: str) -> None:
    reply, outcome = ANSWERS[name]
    broker.reply = lambda: reply
    for command in WRITES:
        result = gateway.write(command)
        assert result.outcome is outcome, command
        assert result.message
        assert result.order_id == ("" if isinstance(command, PlaceEntry | PlaceExit) else ORDER_ID)
    assert len(broker.asked) == len(WRITES), "each was sent once"


def test_a_reply_that_does_not_come_in_time_is_unknown(broker: Broker) -> None:
    done = threading.Event()

    def late() -> None:
        done.wait(5)

    broker.reply = late
    for gateway in _gateway(broker.url, timeout=0.05):
        result = gateway.write(ENTRY)
    done.set()
    assert result.outcome is WriteOutcome.UNKNOWN
    assert len(broker.asked) == 1


def _closed_port() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"


def test_a_port_that_is_closed_was_never_sent_to() -> None:
    for gateway in _gateway(_closed_port()):
        assert {gateway.write(command).outcome for command in WRITES} == {WriteOutcome.NOT_SENT}


def test_a_redirect_into_nowhere_is_unknown_because_the_order_was_sent_before_it(
    broker: Broker, gateway: KiteGateway
) -> None:
    broker.reply = lambda: (302, f"{_closed_port()}/sorry", "")
    assert gateway.write(ENTRY).outcome is WriteOutcome.UNKNOWN


def test_a_connection_that_timed_out_before_it_stood_was_never_sent() -> None:
    request = requests.Request("POST", "http://127.0.0.1/orders/regular").prepare()
    assert classify(requests.ConnectTimeout("slow", request=request)) is WriteOutcome.NOT_SENT
    assert classify(requests.ReadTimeout("slow", request=request)) is WriteOutcome.UNKNOWN


def _mock(shared_data: Path, name: str) -> Any:
    found = json.loads((shared_data / "kiteconnect-mocks" / name).read_text())
    return found.get("data", found) if isinstance(found, dict) else found


def test_the_official_order_book_becomes_views(shared_data: Path) -> None:
    rows = _mock(shared_data, "orders.json")
    views = [order_view(row) for row in rows]
    assert [view.order_id for view in views] == [row["order_id"] for row in rows]
    for row, view in zip(rows, views, strict=True):
        assert view.tag == (row["tag"] or "")
        assert view.price_paise == round(row["price"] * 100)
        assert view.average_paise == round(row["average_price"] * 100)
        assert (view.quantity, view.filled_quantity) == (row["quantity"], row["filled_quantity"])
        assert view.is_terminal == (row["status"] in ("COMPLETE", "CANCELLED", "REJECTED"))
    assert any(view.is_terminal for view in views)
    assert any(view.message for view in views)


def test_the_official_postback_becomes_a_view(shared_data: Path) -> None:
    view = order_view(_mock(shared_data, "postback.json"))
    assert view == OrderView("220303000308932", "", "COMPLETE", 779521, Side.BUY, 1, 1, 470_00, 0, 0, "", "MARKET")


def test_books_are_read_from_the_official_shapes(broker: Broker, gateway: KiteGateway, shared_data: Path) -> None:
    folder = shared_data / "kiteconnect-mocks"
    files = {
        "/orders": "orders.json",
        "/trades": "trades.json",
        "/portfolio/positions": "positions.json",
        "/user/margins/equity": "margins_equity.json",
    }
    broker.reply = lambda: (200, JSON, (folder / files[broker.asked[-1][1]]).read_text())
    snapshot = Books(gateway, lambda _: None).whole(NOW_MS)
    rows = _mock(shared_data, "trades.json")
    assert len(snapshot.orders) == len(_mock(shared_data, "orders.json"))
    assert [fill.trade_id for fill in snapshot.fills] == [row["trade_id"] for row in rows]
    assert snapshot.fills[0] == fill_of(rows[0])
    assert utc_text(snapshot.fills[0].time_ms) == _as_utc(rows[0]["fill_timestamp"])
    net = _mock(shared_data, "positions.json")["net"]
    assert snapshot.positions == tuple((row["instrument_token"], row["quantity"], row["product"]) for row in net)
    live = _mock(shared_data, "margins_equity.json")["available"]["live_balance"]
    assert snapshot.cash_paise == round(live * 100)


def _naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _as_utc(text: str) -> str:
    return (_naive(text) - timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_quotes_by_rest_become_ticks_and_missing_keys_are_left_out(broker: Broker, gateway: KiteGateway) -> None:
    body = {
        "NFO:NIFTY1CE": {
            "timestamp": "2025-08-29 09:15:01",
            "last_price": 101.05,
            "volume": 750,
            "oi": 1500,
            "depth": {"buy": [{"price": 101.0, "quantity": 75}], "sell": []},
        }
    }
    broker.reply = lambda: _ok(body)
    ticks = gateway.quotes((1, 2, 3))
    assert broker.asked[0][2]["i"] == "NFO:NIFTY1CE"
    assert ticks.tolist() == [(1, 1_756_439_101_000, 101_05, 101_00, 0, 75, 0, 750, 1500)]
