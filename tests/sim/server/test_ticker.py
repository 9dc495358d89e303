"""A ticker connection without its socket: subscriptions, what changed, limits, markers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.market import QUOTE
from g6_core.domain.packets import decode_frame
from g6_core.sim.scripted import ScriptedSource
from g6_core.sim.server.faults import Ills
from g6_core.sim.server.ticker import HEARTBEAT, OUTBOX_MAX, Ticker
from tests.sim.kit import DAY, EXPIRY, NOON, OPEN, STRIKE
from tests.sim.server.kit import INDEX_TOKEN, frame

SECOND = 1_000


@pytest.fixture
def source(rules: MarketRules) -> ScriptedSource:
    """One contract that moves at noon and a second, and an index that never does."""
    path = ((OPEN, 99_00, 100_00), (NOON + SECOND, 98_00, 99_00))
    return ScriptedSource.of("NIFTY", DAY, rules, spot_path=[(OPEN, STRIKE)], options={(EXPIRY, STRIKE, "CE"): path})


@pytest.fixture
def token(source: ScriptedSource) -> int:
    contract = source.instruments.option("NIFTY", EXPIRY, STRIKE, "CE")
    assert contract is not None
    return contract.token


def sent(ticker: Ticker) -> list[bytes | str | None]:
    """What waits to be sent; texts are decoded."""
    return [ticker.outbox.get_nowait() for _ in range(ticker.outbox.qsize())]


def said(ticker: Ticker) -> list[tuple[str, Any]]:
    """Type and data of the text frames that wait."""
    texts = [json.loads(message) for message in sent(ticker) if isinstance(message, str)]
    return [(text["type"], text["data"]) for text in texts]


@pytest.mark.parametrize(
    ("mode", "index_length", "option_length"), [("ltp", 8, 8), ("quote", 28, 44), ("full", 32, 184)]
)
def test_each_mode_has_its_packets_for_indices_and_contracts(
    source: ScriptedSource, token: int, mode: str, index_length: int, option_length: int
) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=[INDEX_TOKEN, token]), NOON)
    first = sent(ticker)
    ticker.take(frame(a="mode", v=[mode, [INDEX_TOKEN, token]]), NOON)
    frames = [message for message in (first if mode == "quote" else sent(ticker)) if isinstance(message, bytes)]
    assert [len(message) for message in frames] == [2 + 2 + index_length + 2 + option_length]


def test_the_first_frame_is_the_quote_of_that_moment(source: ScriptedSource, token: int) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=[token]), NOON)
    sent(ticker)
    ticker.take(frame(a="mode", v=["full", [token]]), NOON)
    payload = sent(ticker)[0]
    assert isinstance(payload, bytes)
    expected = source.quotes(np.array([token]), NOON)
    for name in QUOTE.names or ():
        assert np.array_equal(decode_frame(payload, NOON)[name], expected[name]), name


def test_a_second_without_news_is_a_heartbeat_and_only_news_is_sent(source: ScriptedSource, token: int) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=[INDEX_TOKEN, token]), NOON)
    ticker.take(frame(a="mode", v=["ltp", [INDEX_TOKEN, token]]), NOON)
    sent(ticker)
    ticker.show(NOON)
    assert sent(ticker) == [HEARTBEAT]
    ticker.show(NOON + SECOND)
    (payload,) = sent(ticker)
    assert isinstance(payload, bytes)
    assert decode_frame(payload, NOON)["token"].tolist() == [token]
    ticker.take(frame(a="unsubscribe", v=[INDEX_TOKEN, token]), NOON)
    ticker.show(NOON + 2 * SECOND)
    assert sent(ticker) == [HEARTBEAT]


def test_a_contract_without_data_is_silent(source: ScriptedSource) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=[1, 2, 3]), NOON)
    assert (sent(ticker), ticker.instruments) == ([], 3)


def test_the_3001st_instrument_is_an_error_and_the_connection_stays(source: ScriptedSource) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=list(range(1, 3_002))), NOON)
    assert said(ticker) == [("error", "1 not subscribed: at most 3000 instruments per connection.")]
    ticker.take(frame(a="unsubscribe", v=[1]), NOON)
    ticker.take(frame(a="subscribe", v=[3_001]), NOON)
    assert (said(ticker), ticker.instruments, ticker.is_cut) == ([], 3_000, False)


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", "7", '{"a": "subscribe"}', '{"a": "subscribe", "v": 7}', '{"a": "fly", "v": []}',
     '{"a": "mode", "v": ["loud", [1]]}', '{"a": "mode", "v": ["full"]}', '{"a": [], "v": []}'],
)  # fmt: skip
def test_a_bad_request_is_an_error_frame(source: ScriptedSource, text: str) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(text, NOON)
    assert [kind for kind, _ in said(ticker)] == ["error"]
    assert not ticker.is_cut


def test_tokens_as_text_or_out_of_range_mean_nothing(source: ScriptedSource) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=["256265", -1, 1 << 32, True, 1.5, None]), NOON)
    assert (sent(ticker), ticker.instruments) == ([], 0)


def test_lockstep_confirms_requests_and_marks_seconds(source: ScriptedSource, token: int) -> None:
    ticker = Ticker(source, lockstep=True)
    ticker.take(frame(a="subscribe", v=[token]), NOON)
    ticker.show(NOON + SECOND)
    ticker.show(NOON + 2 * SECOND, Ills(stalled=True))
    ticker.take("garbage", NOON)
    kinds = ["bytes" if isinstance(message, bytes) else json.loads(message or "")["data"] for message in sent(ticker)]
    problem = kinds.pop(-2)
    assert kinds == ["bytes", "ok 1", "bytes", f"now {NOON + SECOND}", f"now {NOON + 2 * SECOND}", "ok 2"]
    assert problem.startswith("Requests look like")


def test_a_stalled_feed_loses_nothing_for_later(source: ScriptedSource, token: int) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=[token]), NOON, Ills(stalled=True))
    ticker.show(NOON + SECOND, Ills(stalled=True))
    assert sent(ticker) == []
    ticker.show(NOON + 2 * SECOND)
    assert len(sent(ticker)) == 1


def test_a_client_that_does_not_read_is_cut_off(source: ScriptedSource) -> None:
    ticker = Ticker(source, lockstep=False)
    for second in range(OUTBOX_MAX + 2):
        ticker.show(NOON + second * SECOND)
    assert (ticker.is_cut, sent(ticker)) == (True, [None])


def stamps(ticker: Ticker) -> list[dict[int, int]]:
    """Token and stamp of the packets of each frame that waits."""
    frames = [message for message in sent(ticker) if isinstance(message, bytes) and len(message) > 1]
    rows = [decode_frame(one, NOON) for one in frames]
    return [dict(zip(one["token"].tolist(), one["exchange_ms"].tolist(), strict=True)) for one in rows]


@pytest.mark.parametrize(
    ("ills", "sick"),
    [
        (lambda token: Ills(no_ticks=True), lambda token, now_ms: {}),
        (lambda token: Ills(dead=frozenset({INDEX_TOKEN})), lambda token, now_ms: {token: now_ms}),
        (lambda token: Ills(stamped_ms=NOON), lambda token, now_ms: {token: NOON}),
    ],
    ids=["no ticks", "dead tokens", "old stamps"],
)
def test_a_sick_ticker_takes_everything_and_brings_too_little(
    source: ScriptedSource, token: int, ills: Callable[[int], Ills], sick: Callable[[int, int], dict[int, int]]
) -> None:
    ticker = Ticker(source, lockstep=False)
    ticker.take(frame(a="subscribe", v=[INDEX_TOKEN, token]), NOON, ills(token))
    ticker.take(frame(a="mode", v=["full", [INDEX_TOKEN, token]]), NOON, ills(token))
    sent(ticker)
    now_ms = NOON + SECOND
    ticker.show(now_ms, ills(token))
    assert {one: stamp for shown in stamps(ticker) for one, stamp in shown.items() if one == token} == sick(
        token, now_ms
    )
    assert not said(ticker)
    ticker.show(now_ms + SECOND)
    assert set(stamps(ticker)[0]) == {INDEX_TOKEN, token}, "well again"
