"""Handshakes and ends of both WebSockets, over real ones."""

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.sim.server.kit import Address, Desk, frame, until


def link(server: Address, path: str) -> ClientConnection:
    opened = connect(f"ws{server.url.removeprefix('http')}{path}", proxy=None, compression=None, legacy=True)
    assert isinstance(opened, ClientConnection)
    return opened


def ticker(desk: Desk, token: str = "") -> ClientConnection:
    return link(desk.server, f"/?api_key=g6sim&access_token={token or desk.kite.access_token}")


def nobody(server: Address) -> Callable[[], bool]:
    return lambda: server.status()["tickers"] == []


def test_a_wrong_token_and_a_fourth_connection_are_forbidden(desk: Desk) -> None:
    with pytest.raises(InvalidStatus) as refused:
        ticker(desk, "wrong")
    assert refused.value.response.status_code == 403
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(closing(ticker(desk)))
        with pytest.raises(InvalidStatus) as refused:
            ticker(desk)
        assert refused.value.response.status_code == 403
    until(nobody(desk.server), "all are gone")
    ticker(desk).close()
    until(nobody(desk.server), "it is gone")


def test_the_status_says_what_is_served_to_whom(desk: Desk) -> None:
    with closing(ticker(desk)) as feed:
        feed.send(frame(a="subscribe", v=[desk.token, 1]))
        until(lambda: [one["instruments"] for one in desk.server.status()["tickers"]] == [2], "it has subscribed")
        status = desk.server.status()
    assert status["participants"] == [{"name": "tests", "done_until": None}]
    named = ("mode", "source", "seed", "spot_kind", "date", "indices")
    assert [status[name] for name in named] == ["lockstep", "modelled", 7, "index", "2026-11-18", ["NIFTY"]]
    assert status["open_ms"] < status["now_ms"] == desk.clock.now_ms() < status["close_ms"]
    until(nobody(desk.server), "it is gone")


def test_a_cut_feed_refuses_until_its_time_is_over(desk: Desk) -> None:
    with closing(ticker(desk)) as cut:
        desk.server.order({"kind": "ws_drop", "in_ms": 1_000, "for_ms": 2_000})
        desk.wait(1_000)
        with pytest.raises(ConnectionClosed):
            while True:
                cut.recv(timeout=5)
    with pytest.raises(InvalidStatus) as refused:
        ticker(desk)
    assert refused.value.response.status_code == 503
    desk.wait(2_000)
    with closing(ticker(desk)):
        assert desk.server.status()["faults_fired"]["ws_drop"] >= 1
    until(nobody(desk.server), "it is gone")


def test_a_silent_feed_keeps_its_socket_and_its_markers(desk: Desk) -> None:
    with closing(ticker(desk)) as feed:
        desk.server.order({"kind": "ws_stall", "for_ms": 3_000})
        start_ms = desk.clock.now_ms()
        desk.wait(3_000)
        heard = [feed.recv(timeout=5) for _ in range(4)]
    marks = [json.loads(one)["data"] for one in heard if isinstance(one, str)]
    assert marks == [f"now {start_ms + second * 1_000}" for second in (1, 2, 3)]
    assert [one for one in heard if isinstance(one, bytes)] == [b"\x00"]
    assert isinstance(heard[2], bytes)


def test_binary_requests_and_garbage_do_not_end_a_ticker(desk: Desk) -> None:
    with closing(ticker(desk)) as feed:
        feed.send(b"\x00\x01\x02")
        feed.send("garbage")
        assert json.loads(feed.recv(timeout=5))["type"] == "error"
        feed.recv(timeout=5)
        feed.send(frame(a="subscribe", v=[desk.token]))
        assert isinstance(feed.recv(timeout=5), bytes)
    until(nobody(desk.server), "it is gone")


@pytest.mark.parametrize("known", ["soon", "-1", "1.5", "9" * 16])
def test_a_participant_that_knows_no_time_is_shown_the_door(desk: Desk, known: str) -> None:
    path = f"/sim/clock?name=fool&now={known}"
    with closing(link(desk.server, path)) as clock, pytest.raises(ConnectionClosed) as closed:
        clock.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "now is a time in milliseconds"


@pytest.mark.parametrize(
    "message", ["", "7", "{}", '{"done_until": "soon"}', '{"done_until": true}', '{"done_until": 1.5}']
)
def test_a_participant_that_talks_nonsense_is_shown_the_door(desk: Desk, message: str) -> None:
    with closing(link(desk.server, "/sim/clock?name=fool")) as clock:
        told: dict[str, Any] = json.loads(clock.recv(timeout=5))
        assert told == {"now": desk.clock.now_ms(), "speed": 0.0}
        clock.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            clock.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == 'messages look like {"done_until": 1756439056000}'
    until(lambda: len(desk.server.status()["participants"]) == 1, "it is gone")
