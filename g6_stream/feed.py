"""The streamed feed: one WebSocket to Kite's ticker, kept alive and subscribed by a thread of its own.

The thread receives and decodes; everything else is called from the thread of the trading loop. (Where time stands there
is no thread: `g6_stream.lockstep_feed`.) Silence, retries and
back-off count in the time of the clock, so that they mean the same under real and under virtual time. A connection that
is up and brings no data is made anew, too: `g6_stream.liveness` says which that is.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR
from threading import Condition, Thread
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from g6_core.domain.errors import Bug
from g6_core.domain.market import TICK, ticks_of
from g6_core.domain.packets import INDEX_SEGMENT, decode_frame
from g6_core.ports import Clock
from g6_stream.liveness import Liveness
from g6_stream.ticker_link import HANDSHAKE_S, Link, open_ticker, requests_of, text_frame, why_ended

# Kite sends a heartbeat every second when nothing else comes.
SILENCE_MS = 5_000
RETRY_MS, RETRY_MS_MAX = 1_000, 30_000
# A refused token gets no better by asking often.
REFUSED_RETRY_MS = 60_000
FRAMES_MAX = 1_000
ORDERS_MAX = 10_000
PROBLEMS_MAX = 100
# What ends a connection; text that is none ends it like any loss.
LINK_ERRORS = (OSError, ConnectionClosed, UnicodeDecodeError)
Opened = TypeVar("Opened", bound=Link)


@dataclass(slots=True)
class FeedCounters:
    """What has come in since the start, for the metrics."""

    frames: int = 0
    ticks: int = 0
    garbage: int = 0
    connects: int = 0
    losses: int = 0


class KiteFeed:
    """A `Feed` over one connection; every reconnect subscribes everything again.

    `url` is asked before each attempt, because a new login makes a new one.
    """

    def __init__(
        self,
        url: Callable[[], str],
        clock: Clock,
        *,
        on_arrival: Callable[[], None] = lambda: None,
        liveness: Liveness | None = None,
    ) -> None:
        self.counters = FeedCounters()
        self._liveness = liveness or Liveness()
        self._url = url
        self._clock = clock
        self._on_arrival = on_arrival
        self._changed = Condition()
        self._ticks: deque[NDArray[np.void]] = deque(maxlen=FRAMES_MAX)
        self._orders: deque[dict[str, Any]] = deque(maxlen=ORDERS_MAX)
        self._problems: deque[str] = deque(maxlen=PROBLEMS_MAX)
        self._losses: deque[str] = deque(maxlen=PROBLEMS_MAX)
        self._wanted: set[int] = set()
        self._socket: Link | None = None
        self._connected = self._refused = self._closing = False
        # The handshake went well; connected is only who has heard something since.
        self._linked = self._attempting = False
        # Requests of this connection that were sent.
        self._asked = 0
        self._attempt_ms = self._heard_ms = self._alive_ms = 0
        self._retry_ms = RETRY_MS
        self._start()

    # the loop's side

    @property
    def connected(self) -> bool:
        """True from the first message after the handshake and the subscriptions, until the link is lost or silent.

        False as well while the link is up and does not bring the data that it should.
        """
        return self._connected and not self._liveness.reason

    @property
    def sickness(self) -> str:
        """Return what the connection does not bring, in words; "" when nothing is known to be missing."""
        return self._liveness.reason

    def link(self) -> tuple[bool, tuple[str, ...]]:
        """Return whether the stream is up, and why it was lost, once for each loss since the last call."""
        with self._changed:
            losses, self._losses = tuple(self._losses), deque(maxlen=PROBLEMS_MAX)
            return self.connected, losses

    @property
    def heard_ms(self) -> int:
        """When the last message came, heartbeats included; 0 before the first."""
        return self._heard_ms

    @property
    def wanted(self) -> frozenset[int]:
        """Every token that is or will be subscribed."""
        return frozenset(self._wanted)

    def subscribe(self, tokens: tuple[int, ...]) -> None:
        """Stream these tokens in full mode, now or when the connection is back."""
        with self._changed:
            self._wanted.update(tokens)
            self._liveness.asked(tokens, self._clock.now_ms())
            link = self._socket
        self._say(link, "subscribe", tokens)

    def unsubscribe(self, tokens: tuple[int, ...]) -> None:
        """Stop streaming these tokens."""
        with self._changed:
            self._wanted.difference_update(tokens)
            self._liveness.dropped(tokens)
            link = self._socket
        self._say(link, "unsubscribe", tokens)

    def poll(self) -> NDArray[np.void]:
        """TICK rows that arrived since the last call, in their order."""
        with self._changed:
            frames, self._ticks = list(self._ticks), deque(maxlen=FRAMES_MAX)
        return np.concatenate(frames) if frames else np.zeros(0, TICK)

    def order_updates(self) -> list[dict[str, Any]]:
        """Order rows pushed since the last call, in Kite's postback shape."""
        with self._changed:
            rows, self._orders = list(self._orders), deque(maxlen=ORDERS_MAX)
        return rows

    def problems(self) -> list[str]:
        """What went wrong since the last call, in words for people."""
        with self._changed:
            texts, self._problems = list(self._problems), deque(maxlen=PROBLEMS_MAX)
        return texts

    def take_refusal(self) -> bool:
        """Whether the token was refused since the last call: a new login may help."""
        with self._changed:
            refused, self._refused = self._refused, False
        return refused

    def watch(self, now_ms: int) -> None:
        """Drop a connection without a word or without data, and have a lost one made again when its time has come.

        Called every second.
        """
        with self._changed:
            if self._linked and now_ms - self._alive_ms > max(SILENCE_MS, self._liveness.suspect_ms):
                self._lost(f"feed silent for {(now_ms - self._alive_ms) / 1000:.0f} s: connection dropped")
            if self._linked:
                self._judge_data(now_ms)
            if not self._linked and not self._attempting and now_ms >= self._attempt_ms:
                self._attempting = True
                self._attempt()

    def suspects(self, now_ms: int, held: Collection[int] = ()) -> tuple[int, ...]:
        """Return the tokens of which too little comes; somebody should ask the broker for their quotes.

        None while nothing comes at all: then the connection is silent, and quotes are for what is held.
        """
        with self._changed:
            is_silent = now_ms - self._alive_ms >= self._liveness.suspect_ms // 2
            return self._liveness.suspects(now_ms, held) if self._linked and not is_silent else ()

    def answered(self, tokens: tuple[int, ...], stamps_ms: Mapping[int, int] | None, now_ms: int) -> None:
        """Take the stamps of these quotes at the broker; None when they could not be had."""
        with self._changed:
            self._liveness.answered(tokens, stamps_ms, now_ms)

    def _judge_data(self, now_ms: int) -> None:
        """Tell of a connection without data once, and make it anew when it is time; with the lock held."""
        was_well = not self._liveness.reason
        again = self._liveness.judge(now_ms)
        if was_well and self._liveness.reason:
            self._note_loss(f"feed without data: {self._liveness.reason}; the connection is made anew")
        if again:
            self._lost("")

    def await_second(self, now_ms: int) -> None:
        """Return when all of this second has arrived; at once here, where time flows and nobody knows when that is."""

    def close(self) -> None:
        """End the connection and the thread."""
        with self._changed:
            self._closing = True
            self._hang_up()
            self._changed.notify_all()
        self._thread.join(2 * HANDSHAKE_S)

    # the thread's side

    def _start(self) -> None:
        self._thread = Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def _attempt(self) -> None:
        """Have the connection made; with the lock held."""
        if not self._thread.is_alive():
            raise Bug("the feed's thread has ended")
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._attempting or self._closing)
                if self._closing:
                    return
            link = self._opened(open_ticker)
            if link is None:
                continue
            try:
                with link:
                    self._greet(link)
                    while True:
                        self._take(link.recv())
            except LINK_ERRORS as error:
                self._ended(link, why_ended(error))

    def _opened(self, how: Callable[[str], Opened]) -> Opened | None:
        """A connection after its handshake; None, and the reason noted, when there is none."""
        try:
            return how(self._url())
        except InvalidStatus as error:
            self._not_connected(f"the broker answered {error.response.status_code}", error.response.status_code)
        except (OSError, InvalidHandshake, ConnectionClosed) as error:
            self._not_connected(why_ended(error))
        return None

    def _greet(self, link: Link) -> None:
        """Subscribe everything on a new connection."""
        with self._changed:
            self._socket = link
            self._liveness.linked(self._clock.now_ms())
            self._asked = 0
            wanted = tuple(self._wanted)
        self._say(link, "subscribe", wanted)
        with self._changed:
            self._linked, self._attempting = True, False
            self._alive_ms = self._clock.now_ms()
            self._changed.notify_all()

    def _say(self, link: Link | None, action: str, tokens: Collection[int]) -> None:
        """(Un)subscribe in batches. A connection that is lost meanwhile subscribes everything when it is back."""
        if link is None:
            return
        with suppress(ConnectionClosed):
            for request in requests_of(action, tokens):
                with self._changed:
                    self._asked += 1
                link.send(json.dumps(request))

    def _take(self, message: str | bytes) -> None:
        now_ms = self._clock.now_ms()
        if isinstance(message, str):
            self._take_text(message, now_ms)
            return
        rows = decode_frame(message, now_ms)
        is_index = rows["token"] & 0xFF == INDEX_SEGMENT
        # Before its mode takes effect a contract is sent without depth and open interest: nothing to judge by.
        ticks = ticks_of(rows[is_index | (rows["last_trade_ms"] > 0)])
        # A contract may not have traded yet; one that is sent in full still has a book or open interest.
        is_full = (rows["oi"] > 0) | (rows["bid_paise"][:, 0] > 0) | (rows["ask_paise"][:, 0] > 0)
        has_stamp = is_index | (rows["last_trade_ms"] > 0) | is_full
        stamps_ms = np.where(has_stamp, rows["exchange_ms"], 0)
        with self._changed:
            self._liveness.took(rows["token"].tolist(), stamps_ms.tolist(), now_ms)
            is_back = self._heard(now_ms)
            self.counters.ticks += len(ticks)
            self.counters.garbage += len(message) > 1 and not len(rows)
            if len(ticks):
                self._ticks.append(ticks)
        if len(ticks) or is_back:
            self._on_arrival()

    def _take_text(self, message: str, now_ms: int) -> None:
        kind, data = text_frame(message)
        with self._changed:
            is_back = self._heard(now_ms)
            if kind == "order" and isinstance(data, dict):
                self._orders.append(data)
            elif kind == "error":
                self._problems.append(f"feed: {str(data)[:200]}")
            elif kind != "message":
                self.counters.garbage += 1
        if is_back or kind in ("order", "error"):
            self._on_arrival()

    def _heard(self, now_ms: int) -> bool:
        """Note a message; True for the first of a connection, which only then counts: a link may be up and mute."""
        self._heard_ms = self._alive_ms = max(self._alive_ms, now_ms)
        self.counters.frames += 1
        if self._connected or not self._linked:
            return False
        self._connected = True
        self._retry_ms = RETRY_MS
        self.counters.connects += 1
        self._changed.notify_all()
        return True

    def _not_connected(self, why: str, status: int = 0) -> None:
        refused = status == 403
        token = "; the access token is not valid (any more): log in again" if refused else ""
        with self._changed:
            self._problems.append(f"feed not connected: {why}{token}")
            self._refused = self._refused or refused
            self._attempt_ms = self._clock.now_ms() + (REFUSED_RETRY_MS if refused else self._retry_ms)
            self._retry_ms = min(2 * self._retry_ms, RETRY_MS_MAX)
            self._attempting = False
            self._changed.notify_all()
        self._on_arrival()

    def _ended(self, link: Link, why: str) -> None:
        with self._changed:
            if self._closing or self._socket is not link:
                return  # the watchdog dropped it
            self._lost(f"feed lost: {why}")
            self._changed.notify_all()
        self._on_arrival()

    def _note_loss(self, text: str) -> None:
        """Keep why the feed is no longer up, for people; with the lock held."""
        self._problems.append(text)
        self._losses.append(text)
        self.counters.losses += 1

    def _lost(self, text: str) -> None:
        """End the connection; `text` says why, "" if that was told. Called with the lock held."""
        self._attempt_ms = self._clock.now_ms() + self._retry_ms
        if not self._connected:
            self._retry_ms = min(2 * self._retry_ms, RETRY_MS_MAX)
        if self.connected:
            self._note_loss(text)
        elif text:
            self._problems.append(text)
        self._connected = self._linked = self._attempting = False
        self._hang_up()

    def _hang_up(self) -> None:
        """End the socket without a word: a silent peer would not answer a closing handshake."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.socket.shutdown(SHUT_RDWR)
            self._socket = None
