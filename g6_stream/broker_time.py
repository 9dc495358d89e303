"""Is this machine's clock right? Compared with the `Date` of the broker's own answers, which every one carries.

The simulated exchange stamps its answers with its own time, so the question means the same under simulated time.
"""

from typing import Any

from requests import Response

from g6_core.adapters.kite.client import KiteConnect
from g6_core.domain.ist import SECOND_MS, from_http_date
from g6_core.ports import Clock

# More than whole seconds and the way of an answer can explain, less than the age that a quote may have.
CLOCK_OFF_MAX_MS = 2_000


class BrokerTime:
    """Hears every answer to a client and knows by how much this clock was off at the newest one."""

    def __init__(self, kite: KiteConnect, clock: Clock, speed: float) -> None:
        """`speed` is how many times as fast as real time the clock goes; 0 where it stands."""
        self._clock = clock
        self._speed = speed
        # (the broker's stamp, this clock when the answer was there, how long it was asked for), in ms.
        self._heard: tuple[int, int, int] | None = None
        kite.reqsession.hooks["response"].append(self._hear)

    def _hear(self, response: Response, *_: Any, **__: Any) -> None:
        try:
            broker_ms = from_http_date(response.headers.get("Date", ""))
        except ValueError:
            return
        way_ms = int(response.elapsed.total_seconds() * SECOND_MS * self._speed)
        self._heard = (broker_ms, self._clock.now_ms(), way_ms)

    def forget(self) -> None:
        """Only an answer from now on counts."""
        self._heard = None

    def problem(self) -> str:
        """Why this clock cannot be traded by, with the fix; "" when it is right."""
        if self._heard is None:
            return "this machine's clock cannot be checked: the broker's answers have no Date; take the proxy away"
        broker_ms, now_ms, way_ms = self._heard
        # The stamp is cut to whole seconds and was made somewhere between our question and its answer.
        ahead_ms = now_ms - way_ms - (broker_ms + SECOND_MS)
        behind_ms = broker_ms - now_ms
        if max(ahead_ms, behind_ms) <= CLOCK_OFF_MAX_MS * max(self._speed, 1):
            return ""
        about_s = round(abs(now_ms - way_ms / 2 - broker_ms - SECOND_MS / 2) / SECOND_MS)
        return (
            f"this machine's clock is about {about_s} s {'ahead of' if ahead_ms > 0 else 'behind'} the broker's: "
            "set it (timedatectl set-ntp true), then resume the sidecar"
        )
