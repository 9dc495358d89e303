"""The streamed feed where time stands: the exchange says when all of a second was sent, and the loop itself reads it.

Two threads and their hand-overs would be half of the time of a virtual second. Requests are confirmed before time moves
on, and a lost connection is dealt with while it stands.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from g6_core.adapters.loopback import LoopbackSocket
from g6_stream.feed import LINK_ERRORS, KiteFeed
from g6_stream.ticker_link import HANDSHAKE_S, text_frame, why_ended

# In real seconds: for what a silent exchange is waited for.
WAIT_S = 5.0


class LockstepFeed(KiteFeed):
    """A `KiteFeed` without a thread, read when a second is awaited."""

    def _start(self) -> None:
        self._link: LoopbackSocket | None = None
        self._marker_ms = self._confirmed = 0
        # Something came since the last marker; the exchange was waited for in vain.
        self._heard_some = self._missed = False

    def subscribe(self, tokens: tuple[int, ...]) -> None:
        """As `KiteFeed.subscribe`; the exchange knows of it afterwards."""
        super().subscribe(tokens)
        self._await_confirmation()

    def unsubscribe(self, tokens: tuple[int, ...]) -> None:
        """As `KiteFeed.unsubscribe`; the exchange knows of it afterwards."""
        super().unsubscribe(tokens)
        self._await_confirmation()

    def poll(self) -> NDArray[np.void]:
        """TICK rows that arrived since the last call: the newest of each token."""
        ticks = super().poll()
        newest = {token: place for place, token in enumerate(ticks["token"].tolist())}
        return ticks[[newest[token] for token in sorted(newest)]]

    def await_second(self, now_ms: int) -> None:
        """Return when everything of this second has arrived, or is not going to."""
        if not self._missed:
            # A silent connection is waited for once; the watchdog ends it when it is late in virtual time.
            self._missed = not self._read_until(lambda: self._marker_ms >= now_ms)

    def close(self) -> None:
        """End the connection."""
        if self._link is not None:
            self._link.close()

    def _attempt(self) -> None:
        self._confirmed, self._missed, self._heard_some = 0, False, False
        self._link = self._opened(partial(LoopbackSocket, timeout_s=HANDSHAKE_S))
        if self._link is not None:
            self._greet(self._link)
            self._await_confirmation()

    def _await_confirmation(self) -> None:
        if not self._read_until(lambda: self._confirmed >= self._asked):
            self._asked = self._confirmed

    def _read_until(self, is_there: Callable[[], bool]) -> bool:
        """Take messages until it is there; False when it does not come, True as well when the connection has ended."""
        until_s = time.monotonic() + WAIT_S
        while self._linked and self._link is not None and not is_there():
            try:
                self._take(self._link.receive(until_s - time.monotonic()))
            except TimeoutError:
                return False
            except LINK_ERRORS as error:
                self._ended(self._link, why_ended(error))
        return True

    def _take_text(self, message: str, now_ms: int) -> None:
        kind, data = text_frame(message)
        if kind == "message":
            self._take_marker(str(data))
        else:
            super()._take_text(message, now_ms)

    def _heard(self, now_ms: int) -> bool:
        self._heard_some = True
        return super()._heard(now_ms)

    def _take_marker(self, data: str) -> None:
        """What the exchange says in lockstep: ``now <ms>`` (all of that second was sent) or ``ok <requests>``."""
        word, _, text = data.partition(" ")
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            return
        if word == "ok":
            self._confirmed = int(text)
        elif word == "now":
            self._marker_ms = max(self._marker_ms, int(text))
            if self._heard_some:
                self._heard_ms = self._alive_ms = max(self._alive_ms, self._marker_ms)
            self._heard_some = self._missed = False
