"""The feed against a ticker server on loopback: subscriptions, reconnects, silence, refusals, garbage."""

import json
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from threading import Condition, Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from g6_core.domain.market import QUOTE, TICK
from g6_core.domain.packets import encode_frame, packet_length
from g6_core.sim.clock import VirtualClock
from g6_stream.feed import REFUSED_RETRY_MS, RETRY_MS, SILENCE_MS, KiteFeed
from g6_stream.liveness import Hours, Liveness
from g6_stream.lockstep_feed import LockstepFeed
from g6_stream.ticker_link import BATCH

NOW_MS = 1_756_439_100_000
INDEX = 256265
OPTIONS = tuple(2 + 256 * number for number in range(1, 251))
PATIENCE_S = 10


class Ticker:
    """A server that remembers what each connection asked for; `link` is the newest connection."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.links: list[ServerConnection] = []
        self.asked: list[list[dict[str, Any]]] = []
        self.refuses = self.is_mute = False
        self.server: Server = serve(self._serve, "127.0.0.1", 0, process_request=self._admit)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}/?api_key=k&access_token=secret"

    @property
    def link(self) -> ServerConnection:
        return self.links[-1]

    def _admit(self, link: ServerConnection, request: Request) -> Response | None:
        return link.respond(HTTPStatus.FORBIDDEN, "token\n") if self.refuses else None

    def _serve(self, link: ServerConnection) -> None:
        with self.changed:
            self.links.append(link)
            self.asked.append([])
            requests = self.asked[-1]
            self.changed.notify_all()
        try:
            if not self.is_mute:
                link.send(b"\x00")
            for message in link:
                with self.changed:
                    requests.append(json.loads(message))
                    self.changed.notify_all()
        except ConnectionClosed:
            return

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S)

    def subscribed(self, number: int) -> set[int]:
        """Tokens that the n-th connection has in full mode."""
        with self.changed:
            requests = list(self.asked[number])
        known = {token for one in requests if one["a"] == "subscribe" for token in one["v"]}
        full = {token for one in requests if one["a"] == "mode" and one["v"][0] == "full" for token in one["v"][1]}
        return known & full

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(PATIENCE_S)


class Watched:
    """A feed with its arrivals, on a clock in the test's hand."""

    def __init__(self, url: str, liveness: Liveness | None = None) -> None:
        self.changed = Condition()
        self.clock = VirtualClock(NOW_MS)
        self.feed = KiteFeed(lambda: url, self.clock, on_arrival=self._arrived, liveness=liveness)
        self.ticks: list[np.void] = []

    def _arrived(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S)

    def connect(self) -> None:
        self.feed.watch(self.clock.now_ms())
        self.wait(lambda: self.feed.connected)

    def linked(self) -> None:
        """The handshake is done on this side, too."""
        with self.feed._changed:
            assert self.feed._changed.wait_for(lambda: self.feed._linked, PATIENCE_S)

    def beat(self, link: ServerConnection) -> None:
        """A heartbeat and an order row, which are no market data, have arrived."""
        link.send(b"\x00")
        link.send(json.dumps({"type": "order", "data": {}}))
        self.wait(lambda: bool(self.feed.order_updates()))

    def later(self, by_ms: int) -> None:
        self.clock.sleep_until(self.clock.now_ms() + by_ms)
        self.feed.watch(self.clock.now_ms())

    def polled(self, count: int) -> list[np.void]:
        """At least so many ticks."""

        def enough() -> bool:
            self.ticks += list(self.feed.poll())
            return len(self.ticks) >= count

        self.wait(enough)
        found, self.ticks = self.ticks, []
        return found


@pytest.fixture
def ticker() -> Iterator[Ticker]:
    found = Ticker()
    yield found
    found.close()


@pytest.fixture
def watched(ticker: Ticker) -> Iterator[Watched]:
    found = Watched(ticker.url)
    yield found
    found.feed.close()


def frame(token: int, ltp_paise: int, mode: str = "full") -> bytes:
    row = np.zeros(1, QUOTE)
    row["token"], row["ltp_paise"], row["exchange_ms"], row["last_trade_ms"] = token, ltp_paise, NOW_MS, NOW_MS
    row["bid_paise"][:, 0], row["ask_paise"][:, 0], row["oi"] = ltp_paise - 5, ltp_paise + 5, 75_000
    return encode_frame(row, np.array([packet_length(token, mode)], np.int64))


def test_everything_is_subscribed_in_batches_and_again_after_each_loss(ticker: Ticker, watched: Watched) -> None:
    watched.feed.subscribe(OPTIONS)
    watched.connect()
    ticker.wait(lambda: bool(ticker.asked) and len(ticker.asked[0]) == 6)
    assert ticker.subscribed(0) == set(OPTIONS)
    assert max(len(one["v"]) for one in ticker.asked[0] if one["a"] == "subscribe") == BATCH
    watched.feed.subscribe((INDEX,))
    watched.feed.unsubscribe(OPTIONS[:50])
    ticker.link.close()
    watched.wait(lambda: not watched.feed.connected)
    assert any("feed lost" in text for text in watched.feed.problems())
    watched.later(RETRY_MS)
    watched.wait(lambda: watched.feed.connected)
    ticker.wait(lambda: len(ticker.asked) == 2 and len(ticker.asked[1]) == 6)
    assert ticker.subscribed(1) == watched.feed.wanted == {INDEX, *OPTIONS[50:]}
    assert watched.feed.counters.connects == 2


def test_frames_become_ticks_and_order_rows_are_handed_on(ticker: Ticker, watched: Watched) -> None:
    watched.connect()
    ticker.wait(lambda: bool(ticker.links))
    ticker.link.send(frame(OPTIONS[0], 100_00))
    ticker.link.send(frame(OPTIONS[0], 101_00))
    ticker.link.send(frame(INDEX, 24_500_00))
    ticker.link.send(json.dumps({"type": "order", "data": {"order_id": "1"}}))
    ticker.link.send(json.dumps({"type": "error", "data": "3001st"}))
    found = watched.polled(3)
    assert [(int(one["token"]), int(one["ltp_paise"])) for one in found] == [
        (OPTIONS[0], 100_00),
        (OPTIONS[0], 101_00),
        (INDEX, 24_500_00),
    ]
    assert int(found[0]["bid_paise"]) == 99_95
    problems: list[str] = []
    watched.wait(lambda: bool(problems.extend(watched.feed.problems()) or problems))
    assert problems == ["feed: 3001st"]
    assert watched.feed.order_updates() == [{"order_id": "1"}]
    assert watched.feed.order_updates() == []


def test_a_contract_without_depth_yet_is_not_shown(ticker: Ticker, watched: Watched) -> None:
    watched.connect()
    ticker.wait(lambda: bool(ticker.links))
    ticker.link.send(frame(OPTIONS[0], 100_00, "quote"))
    ticker.link.send(frame(OPTIONS[0], 100_00))
    (tick,) = watched.polled(1)
    assert int(tick["oi"]) == 75_000
    assert watched.feed.counters.garbage == 0


def test_silence_drops_the_connection_and_heartbeats_keep_it(ticker: Ticker, watched: Watched) -> None:
    watched.connect()
    ticker.wait(lambda: bool(ticker.links))
    watched.clock.sleep_until(NOW_MS + SILENCE_MS)
    ticker.link.send(b"\x00")
    ticker.link.send(frame(INDEX, 24_500_00))
    watched.polled(1)
    watched.later(SILENCE_MS)
    assert watched.feed.connected
    watched.later(1)
    assert not watched.feed.connected
    assert watched.feed.problems() == ["feed silent for 5 s: connection dropped"]
    watched.later(RETRY_MS - 1)
    assert len(ticker.links) == 1
    watched.later(1)
    watched.wait(lambda: watched.feed.connected)
    ticker.wait(lambda: len(ticker.links) == 2)


def test_a_link_that_is_up_and_mute_is_no_feed_and_is_made_again_less_and_less_often(
    ticker: Ticker, watched: Watched
) -> None:
    ticker.is_mute = True
    watched.feed.subscribe(OPTIONS[:3])
    watched.feed.watch(NOW_MS)
    waited_ms = []
    for number in range(1, 4):
        ticker.wait(lambda number=number: len(ticker.links) == number and len(ticker.asked[-1]) == 2)
        watched.linked()
        assert not watched.feed.connected
        watched.later(SILENCE_MS + 1)
        assert watched.feed.problems() == ["feed silent for 5 s: connection dropped"]
        waited_ms.append(watched.feed._attempt_ms - watched.clock.now_ms())
        watched.later(waited_ms[-1])
    assert waited_ms == [RETRY_MS, 2 * RETRY_MS, 4 * RETRY_MS]
    assert (watched.feed.heard_ms, watched.feed.counters.connects) == (0, 0)
    ticker.wait(lambda: len(ticker.links) == 4 and len(ticker.asked[-1]) == 2)
    ticker.link.send(b"\x00")
    watched.wait(lambda: watched.feed.connected)
    assert ticker.subscribed(3) == set(OPTIONS[:3])


def test_a_refused_token_is_said_without_the_token_and_retried_slowly(ticker: Ticker, watched: Watched) -> None:
    ticker.refuses = True
    watched.feed.watch(NOW_MS)
    problems: list[str] = []
    watched.wait(lambda: bool(problems.extend(watched.feed.problems()) or problems))
    assert problems == [
        "feed not connected: the broker answered 403; the access token is not valid (any more): log in again"
    ]
    assert watched.feed.take_refusal()
    assert not watched.feed.take_refusal()
    ticker.refuses = False
    watched.later(REFUSED_RETRY_MS - 1)
    assert not watched.feed.connected
    watched.later(1)
    watched.wait(lambda: watched.feed.connected)


def test_an_unreachable_broker_is_asked_less_and_less_often() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        watched = Watched(f"ws://127.0.0.1:{closed.getsockname()[1]}/")
        waited = []
        for _ in range(7):
            start_ms = watched.clock.now_ms()
            watched.feed.watch(start_ms)
            watched.wait(lambda: bool(watched.feed.problems()))
            while watched.feed._attempt_ms > watched.clock.now_ms():
                watched.clock.sleep_until(watched.clock.now_ms() + RETRY_MS)
            waited.append((watched.clock.now_ms() - start_ms) // RETRY_MS)
        watched.feed.close()
    assert waited == [1, 2, 4, 8, 16, 30, 30]


GARBAGE = st.lists(
    st.one_of(
        st.binary(max_size=600),
        st.text(max_size=60),
        st.sampled_from(["{}", "[]", "null", '{"type": 1}', '{"type": "order", "data": 5}', '{"type": "message"}']),
    ),
    max_size=30,
)


def test_no_garbage_ends_the_feed(ticker: Ticker, watched: Watched) -> None:
    watched.connect()
    ticker.wait(lambda: bool(ticker.links))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(GARBAGE)
    def poured(messages: list[str | bytes]) -> None:
        for message in messages:
            ticker.link.send(message)

    poured()
    ticker.link.send(frame(INDEX, 24_500_00))
    while not any(int(one["token"]) == INDEX and int(one["ltp_paise"]) == 24_500_00 for one in watched.polled(1)):
        pass
    assert watched.feed.connected
    assert len(ticker.links) == 1
    assert watched.feed.counters.garbage > 0


@pytest.mark.parametrize("raw", [b"\x81\x02\xff\xfe", b"\x83\x00", b"\xc1\x01a"], ids=["not text", "opcode", "bits"])
def test_a_broken_websocket_is_a_loss_like_any_other(ticker: Ticker, watched: Watched, raw: bytes) -> None:
    watched.connect()
    ticker.wait(lambda: bool(ticker.links))
    ticker.link.socket.sendall(raw)
    watched.wait(lambda: not watched.feed.connected)
    watched.later(RETRY_MS)
    ticker.wait(lambda: len(ticker.links) == 2)
    watched.wait(lambda: watched.feed.connected)
    assert watched.feed.connected


def test_in_lockstep_the_newest_tick_of_each_token_counts_and_markers_are_awaited(ticker: Ticker) -> None:
    clock = VirtualClock(NOW_MS)
    feed = LockstepFeed(lambda: ticker.url, clock)
    feed.watch(NOW_MS)
    ticker.wait(lambda: bool(ticker.links))
    for message in (
        frame(OPTIONS[1], 50_00),
        frame(OPTIONS[0], 100_00),
        frame(OPTIONS[1], 51_00),
        json.dumps({"type": "message", "data": f"now {NOW_MS + 60_000}"}),
    ):
        ticker.link.send(message)
    clock.sleep_until(NOW_MS + 60_000)
    feed.await_second(NOW_MS + 60_000)
    feed.watch(NOW_MS + 60_000)
    assert feed.connected, "a minute that passed at once is no silence"
    ticks = feed.poll()
    assert ticks.dtype == TICK
    assert [(int(one["token"]), int(one["ltp_paise"])) for one in ticks] == [(OPTIONS[0], 100_00), (OPTIONS[1], 51_00)]
    feed.close()


def test_a_connection_that_brings_heartbeats_and_no_data_is_told_and_made_anew(ticker: Ticker) -> None:
    watched = Watched(ticker.url, Liveness(lambda _: Hours("NIFTY 50", NOW_MS - 60_000, NOW_MS + 3_600_000)))
    watched.feed.subscribe((INDEX,))
    watched.connect()
    ticker.wait(lambda: bool(ticker.links))
    while watched.feed.connected:
        watched.beat(ticker.link)
        watched.later(1_000)
        for token in watched.feed.suspects(watched.clock.now_ms()):
            watched.feed.answered((token,), {token: watched.clock.now_ms()}, watched.clock.now_ms())
    assert 5_000 <= watched.clock.now_ms() - NOW_MS <= 10_000
    assert watched.feed.link() == (False, tuple(watched.feed.problems()))
    assert "no tick of NIFTY 50" in watched.feed.sickness
    watched.later(RETRY_MS)
    ticker.wait(lambda: len(ticker.links) == 2)
    watched.beat(ticker.link)
    assert not watched.feed.connected, "a heartbeat is no proof of data"
    ticker.link.send(frame(INDEX, 24_500_00))
    watched.polled(1)
    watched.later(1_000)
    assert (watched.feed.link(), watched.feed.sickness) == ((True, ()), "")
    watched.feed.close()
