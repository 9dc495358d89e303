"""The Influx sink: follows the lakes of a day; an outage is said once, waited out, and caught up from the lakes."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

from g6_core.adapters.influx import Influx
from g6_core.domain.errors import ConfigError, DataError, StoreDown
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, ist_clock
from g6_core.ports import Clock
from g6_core.site import Day
from g6_pipelines.sinks.influx_copy import InfluxCopy

FIRST_PAUSE_MS: Final = 5 * SECOND_MS
PAUSE_MS_MAX: Final = MINUTE_MS
# Somebody has to mend it first.
REFUSED_PAUSE_MS: Final = 5 * MINUTE_MS


class InfluxSink:
    """The copies of several indices of one day. Pauses between tries grow, on the injected clock."""

    name = "influx"

    def __init__(self, influx: Influx, clock: Clock, days: Sequence[Day]) -> None:
        self._influx, self._clock = influx, clock
        self._waiting = list(days)
        self._copies: list[InfluxCopy] = []
        self._said: set[str] = set()
        self._failures = 0
        self._next_try_ms = 0

    def follow(self, budget_s: float) -> tuple[str, ...]:
        """Bring all copies further, the one that is furthest behind first."""
        now_ms = self._clock.now_ms()
        if now_ms < self._next_try_ms:
            return ()
        until_s = monotonic() + budget_s
        said = self._open()
        try:
            for copy in sorted(self._copies, key=lambda one: one.position.time_ms):
                for _ in copy.requests():
                    if monotonic() >= until_s:
                        return (*said, *self._too_old())
        except StoreDown as error:
            self._failures += 1
            self._next_try_ms = now_ms + min(FIRST_PAUSE_MS * 2 ** (self._failures - 1), PAUSE_MS_MAX)
            return (*said, *self._once(f"{error}; what it misses is sent later, from the lake"))
        except (ConfigError, DataError) as error:
            self._failures += 1
            self._next_try_ms = now_ms + REFUSED_PAUSE_MS
            return (*said, *self._once(f"influx: {error}"))
        return (*said, *self._too_old(), *self._level())

    def close(self) -> None:
        """Drop connections and locks."""
        for copy in self._copies:
            copy.close()
        self._influx.close()

    def _open(self) -> tuple[str, ...]:
        """Take the copies that nobody else is making."""
        said: list[str] = []
        for day in tuple(self._waiting):
            try:
                self._copies.append(InfluxCopy(self._influx, day))
                self._waiting.remove(day)
            except DataError as error:
                said += self._once(f"influx: {error}")
        return tuple(said)

    def _too_old(self) -> tuple[str, ...]:
        """What the bucket does not keep any more: the lake has it, and nothing is to be done but to know."""
        lines = (
            f"influx: {copy.day}: points are older than what {self._influx.target.label} keeps: "
            "skipped and counted, the lake has them"
            for copy in self._copies
            if copy.position.skipped
        )
        return tuple(line for one in lines for line in self._once(one))

    def _level(self) -> tuple[str, ...]:
        """Everything is there; said when it was not."""
        failures, self._failures, self._next_try_ms = self._failures, 0, 0
        if not failures:
            return ()
        self._said.clear()
        newest_ms = max((copy.position.time_ms for copy in self._copies), default=0)
        return (f"influx: answers again and has everything up to {ist_clock(newest_ms)}",)

    def _once(self, line: str) -> tuple[str, ...]:
        if line in self._said:
            return ()
        self._said.add(line)
        return (line,)
