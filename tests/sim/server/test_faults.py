"""Faults on demand: what the unmodified client makes of them, and whether the order happened."""

from typing import Any

import pytest
import requests
from kiteconnect.exceptions import DataException, NetworkException, TokenException

from g6_core.sim.server.faults import WELL, Fault, FaultBook, FaultKind, Ills
from tests.sim.server.kit import Desk

ORDERS = {"method": "POST", "path": "/orders/", "count": 1}


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ({"kind": "http_429"}, NetworkException, 429),
        ({"kind": "http_5xx"}, NetworkException, 503),
        ({"kind": "http_5xx", "status": 504}, NetworkException, 504),
        ({"kind": "html_body"}, DataException, 502),
        ({"kind": "malformed_json"}, DataException, 502),
        ({"kind": "timeout_lost"}, requests.ReadTimeout, 0),
    ],
)
def test_a_badly_answered_order_did_or_did_not_happen(
    desk: Desk, fault: dict[str, Any], error: type[Exception], code: int, happens: bool
) -> None:
    desk.kite.timeout = 0.3
    before = len(desk.kite.orders())
    desk.server.order(ORDERS | fault | {"happens": happens})
    with pytest.raises(error) as badly:
        desk.place(desk.lot, 1)
    assert getattr(badly.value, "code", 0) == code
    desk.kite.timeout = 7
    assert len(desk.kite.orders()) - before == happens
    assert desk.place(desk.lot, 1), "it hits once"


def test_a_fault_has_its_window_of_virtual_time_and_its_path(desk: Desk) -> None:
    desk.server.order({"kind": "http_5xx", "path": "/trades", "in_ms": 1_000, "for_ms": 1_000})
    assert isinstance(desk.kite.trades(), list)
    desk.wait()
    assert isinstance(desk.kite.orders(), list)
    with pytest.raises(NetworkException):
        desk.kite.trades()
    desk.wait()
    assert isinstance(desk.kite.trades(), list)


def test_an_expired_token_is_refused_until_the_next_login(desk: Desk) -> None:
    expired: list[bool] = []
    desk.kite.set_session_expiry_hook(lambda: expired.append(True))
    desk.server.order({"kind": "token_expired", "in_ms": 500})
    assert desk.kite.profile()
    desk.wait()
    with pytest.raises(TokenException) as refused:
        desk.kite.profile()
    assert (refused.value.code, expired) == (403, [True])
    desk.kite.generate_session("g6sim", "g6sim")
    assert desk.kite.profile()


def test_keys_go_missing_without_a_word(desk: Desk) -> None:
    desk.server.order({"kind": "missing_keys", "keys": [desk.key], "path": "/quote", "for_ms": 2_000})
    assert list(desk.kite.quote(desk.key, "NSE:NIFTY 50")) == ["NSE:NIFTY 50"]
    desk.wait()
    desk.server.order({"kind": "missing_keys", "for_ms": 1_000})
    desk.server.call("DELETE", "/sim/faults")
    assert len(desk.kite.quote(desk.key, "NSE:NIFTY 50")) == 2


def test_a_slow_answer_is_an_answer(desk: Desk) -> None:
    desk.server.order({"kind": "slow_ms", "delay_ms": 400, "count": 1, "path": "/user/profile"})
    desk.kite.timeout = 0.2
    with pytest.raises(requests.ReadTimeout):
        desk.kite.profile()
    assert desk.kite.profile()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([{"kind": "flood"}], "0.kind: Input should be 'http_429'"),
        ([{"kind": "http_429", "chance": 3}], "0.chance: Extra inputs are not permitted"),
        ([{"kind": "http_429", "for_ms": 0}], "0.for_ms: Input should be greater than 0"),
        ({"kind": "http_429"}, ": Input should be a valid list"),
    ],
)
def test_a_fault_that_does_not_exist_is_refused_in_one_line(desk: Desk, body: Any, says: str) -> None:
    reply = desk.server.call("POST", "/sim/faults", json=body)
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(says)


def test_spent_and_over_faults_are_not_on() -> None:
    book = FaultBook()
    kinds = frozenset({FaultKind.HTTP_429})
    book.order([Fault(kind=FaultKind.HTTP_429, count=2, in_ms=10, for_ms=10)], 100)
    assert [bool(book.hit(kinds, now_ms, "GET", "/x")) for now_ms in (109, 110, 119, 119)] == [False, True, True, False]
    book.order([Fault(kind=FaultKind.WS_STALL, for_ms=10)], 200)
    assert [book.is_on(FaultKind.WS_STALL, now_ms) for now_ms in (199, 200, 209, 210)] == [False, True, True, False]
    assert book.fired == {"http_429": 2}


def test_a_sick_ticker_is_well_after_its_window_and_after_a_reconnect_where_that_helps() -> None:
    book = FaultBook()
    for_good = Fault(kind=FaultKind.WS_DEAD_TOKENS, tokens=(1, 2), for_ms=10)
    book.order([for_good, Fault(kind=FaultKind.WS_NO_TICKS, until_reconnect=True)], 100)
    book.order([Fault(kind=FaultKind.WS_OLD_STAMPS, in_ms=5, for_ms=5)], 100)
    assert book.ills(99, 50) == WELL
    assert book.ills(107, 50) == Ills(no_ticks=True, dead=frozenset({1, 2}), stamped_ms=105)
    assert book.ills(107, 101) == Ills(dead=frozenset({1, 2}), stamped_ms=105)
    assert (book.ills(110, 50), book.ills(110, 105)) == (Ills(no_ticks=True), WELL)
    assert book.fired == {"ws_dead_tokens": 1, "ws_no_ticks": 1, "ws_old_stamps": 1}
