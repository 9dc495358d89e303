"""The control port over HTTP, without a session behind it: tokens, readiness, orders through the inbox, refusals."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest
import requests

from g6_core.domain.errors import ConfigError, UserError
from g6_core.domain.events import OperatorAction
from g6_core.domain.records import TradeRecord
from g6_stream.control import ControlServer, control_app, control_port, control_token, listen
from g6_stream.feed import FeedCounters
from g6_stream.loop import StatusBoard
from g6_stream.status import OrderStatus, PositionStatus, Status, changes, farewell
from g6_stream.telemetry import Telemetry
from g6_stream.timers import Asked, Inbox
from tests.stream.wire import free_port

NOW_MS = 1_756_439_100_000
HELD = PositionStatus("T001", "NIFTY2590224500CE", 75, 100_00, 104_00, 70_00, "SL 250829000000002", "")
CLOSED = TradeRecord(
    "T001", "D", "NIFTY", "NIFTY2590224500CE", 1, 75, NOW_MS - 60_000, 112_45, NOW_MS, 119_70, "trailing_stop_3pct",
    1_413_75, 101_90, 1_311_85, 120_00, 112_00,
)  # fmt: skip
ORDER = OrderStatus("G6X1", "250829000000002", "NIFTY2590224500CE", "SELL", "live", "TRIGGER PENDING", 75, 0)


def status_with(**changed: object) -> Status:
    values: dict[str, object] = {
        "time_ms": NOW_MS, "execution": "broker", "mode": "active", "armed": True, "reasons": (), "positions": (),
        "orders": (), "closed_trades": (), "day_pnl_paise": 0, "cash_paise": 0, "feed_connected": True,
        "feed_age_ms": 0, "subscribed": 15, "feed": FeedCounters(frames=7, ticks=20, connects=2), "decisions": 3,
        "refusals": {"cooldown": 2}, "journal_records": 11, "journal_sha256": "ab",
    }  # fmt: skip
    return Status(**(values | changed))  # type: ignore[arg-type]


class Port:
    """A served control port; the test is the loop."""

    def __init__(self) -> None:
        self.board = StatusBoard()
        self.inbox: Inbox = SimpleQueue()
        telemetry = Telemetry(lambda: self.board.newest)
        self.number = free_port()
        self.server = ControlServer(control_app(self.board, telemetry, self.inbox, "right"), listen(self.number))

    def call(self, method: str, path: str, **headers: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"http://127.0.0.1:{self.number}{path}", headers=headers, timeout=10)


@pytest.fixture
def port() -> Iterator[Port]:
    found = Port()
    yield found
    found.server.close()


def test_readiness_says_every_reason(port: Port) -> None:
    assert port.call("GET", "/healthz").json() == {"alive": True}
    assert port.call("GET", "/readyz").json() == {"ready": False, "reasons": ["starting"]}
    assert port.call("GET", "/status").status_code == 503
    port.board.newest = status_with()
    assert port.call("GET", "/readyz").status_code == 200
    port.board.newest = status_with(reasons=("not armed", "the feed is silent"))
    answer = port.call("GET", "/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["not armed", "the feed is silent"])


def test_the_status_and_the_metrics_show_positions_orders_and_counters(port: Port) -> None:
    port.board.newest = status_with(positions=(HELD,), orders=(ORDER,), day_pnl_paise=1_234)
    body = port.call("GET", "/status").json()
    assert body["time"] == "2025-08-29T03:45:00Z"
    assert body["positions"][0]["cover"] == "SL 250829000000002"
    assert body["orders"][0]["tag"] == "G6X1"
    metrics = port.call("GET", "/metrics").text.splitlines()
    for line in (
        "g6_ticks_total 20.0",
        "g6_frames_total 7.0",
        "g6_feed_reconnects_total 1.0",
        'g6_refusals_total{rule="cooldown"} 2.0',
        "g6_open_positions 1.0",
        "g6_day_pnl_rupees 12.34",
        "g6_ready 1.0",
    ):
        assert line in metrics


@pytest.mark.parametrize("header", ["", "right", "Bearer", "Bearer wrong", "Bearer righ", "bearer right", "Bearer é"])
def test_without_the_token_nothing_reaches_the_loop(port: Port, header: str) -> None:
    for action in ("pause", "resume", "flatten", "halt"):
        answer = port.call("POST", f"/{action}", Authorization=header.encode("utf-8").decode("latin-1"))
        assert answer.status_code == 401
    assert port.inbox.empty()


def test_an_order_is_answered_when_it_is_in_force(port: Port) -> None:
    def obey() -> None:
        for mode in ("paused", "reducing"):
            asked = port.inbox.get()
            assert isinstance(asked, Asked)
            actions.append(asked.action)
            port.board.newest = status_with(mode=mode)
            asked.done.set()

    actions: list[OperatorAction] = []
    loop = Thread(target=obey)
    loop.start()
    allowed = {"Authorization": "Bearer right"}
    assert port.call("POST", "/pause", **allowed).json() == {"asked": "pause", "in_force": True, "mode": "paused"}
    assert port.call("POST", "/flatten", **allowed).json()["mode"] == "reducing"
    loop.join(10)
    assert actions == [OperatorAction.PAUSE, OperatorAction.FLATTEN]
    late = port.call("POST", "/resume", **allowed)
    assert (late.status_code, late.json()["in_force"]) == (202, False)


def test_no_get_orders_anything_and_foreign_names_are_refused(port: Port) -> None:
    for action in ("pause", "resume", "flatten"):
        assert port.call("GET", f"/{action}", Authorization="Bearer right").status_code == 405
    assert port.call("POST", "/explode", Authorization="Bearer right").status_code == 404
    assert port.call("GET", "/status", Host="evil.example").status_code == 400
    assert port.inbox.empty()


def test_a_port_in_use_or_no_port_at_all_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"control port {number}: Address already in use; .* G6_CONTROL_PORT"):
            listen(number)
    monkeypatch.setenv("G6_CONTROL_PORT", "99999")
    with pytest.raises(ConfigError, match="G6_CONTROL_PORT=99999: not a port"):
        control_port()


def test_a_made_token_is_new_each_time_and_for_this_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "control.token"
    monkeypatch.delenv("G6_CONTROL_TOKEN", raising=False)
    first = control_token(path)
    path.chmod(0o644)
    second = control_token(path)
    assert first != second == path.read_text()
    assert len(second) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setenv("G6_CONTROL_TOKEN", "mine")
    assert control_token(path) == "mine"


def test_the_log_tells_what_changed_and_what_stays_at_the_broker() -> None:
    flat, holding = status_with(), status_with(positions=(HELD,))
    assert changes(None, flat, {}) == ["09:15:00 mode active"]
    assert changes(flat, holding, {}) == ["09:15:00 holds 75 NIFTY2590224500CE at 100.00"]
    assert changes(holding, holding, {}) == []
    gone = status_with(closed_trades=("T001",), feed_connected=False, mode="paused")
    assert changes(holding, gone, {"T001": CLOSED}) == [
        "09:15:00 mode paused",
        "09:15:00 feed lost",
        "09:15:00 closed 75 NIFTY2590224500CE at 119.70 (trailing_stop_3pct), net Rs 1311.85 after charges",
    ]
    assert "75 NIFTY2590224500CE covered by the resting order SL 250829000000002" in farewell(holding)
    assert farewell(holding).endswith("start again to go on")
    on_paper = farewell(status_with(positions=(HELD,), execution="paper"))
    assert on_paper.endswith("start again to go on; nobody matches paper orders until then")
    assert "ended flat" in farewell(flat)
