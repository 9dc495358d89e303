"""The clocks of separate processes: the machine's, or the simulated exchange's over one WebSocket."""

import json
import time
from collections.abc import Generator
from contextlib import closing
from typing import TypeVar
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from g6_core.adapters.hints import serve_command
from g6_core.adapters.loopback import LoopbackSocket
from g6_core.domain.errors import G6Error, UserError
from g6_core.ports import Clock

SLICE_S = 0.1
CONNECT_TIMEOUT_S = 5.0
RETRY_S_MAX = 1.0

Result = TypeVar("Result")


class SleepInterrupted(G6Error):
    """A sleep was ended by `interrupt`: somebody wants this process to stop."""

    exit_code = 130


class RealClock:
    """The machine's clock. Sleeps in slices, so that `interrupt` (from any thread, or a signal) ends them soon."""

    speed = 1.0

    def __init__(self) -> None:
        self._interrupted = False

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def pause_until(self, time_ms: int) -> None:
        """Wait in a call of the broker; an interrupt takes effect after it."""
        time.sleep(max(0, time_ms - self.now_ms()) / 1000)

    def sleep_until(self, time_ms: int) -> None:
        """Return at `time_ms` or at once if that has passed. Raises SleepInterrupted."""
        while True:
            if self._interrupted:
                raise SleepInterrupted("interrupted")
            left_s = (time_ms - self.now_ms()) / 1000
            if left_s <= 0:
                return
            time.sleep(min(left_s, SLICE_S))

    def interrupt(self) -> None:
        """End the running sleep and every later one. Safe in a signal handler."""
        self._interrupted = True

    def close(self) -> None:
        """Nothing is held open."""


class SimClock:
    """A participant of the simulated exchange's time (`g6_core.sim.server.lockstep`).

    In lockstep time stands still from the end of `sleep_until` to its next call, so every participant must keep
    sleeping or `close`. Otherwise time flows on between answers and is counted on here. It never goes back: an
    exchange that was started again is brought to where this process was. One thread sleeps; any may ask the time.
    """

    def __init__(self, url: str, name: str, *, patience_s: float = 60.0) -> None:
        """Register with the exchange at `url` (``http://host:port``).

        Once connected, a lost exchange is waited for during `patience_s`. Raises UserError when nobody answers or the
        name is taken.
        """
        self._url = url
        self._address = f"ws{url.removeprefix('http')}/sim/clock?name={quote(name)}"
        self._patience_s = patience_s
        self._interrupted = False
        # (time of the exchange, the machine's seconds when it was told, virtual ms a second; 0 in lockstep)
        self._told: tuple[int, float, float] = (0, 0.0, 0.0)
        # What was shown before the last answer: time stands here when the exchange is behind it.
        self._floor_ms = 0
        self._socket = self._connect()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC, of the exchange."""
        now_ms, told_s, ms_per_s = self._told
        counted_ms = now_ms + int((time.monotonic() - told_s) * ms_per_s) if ms_per_s else now_ms
        return max(counted_ms, self._floor_ms)

    @property
    def speed(self) -> float:
        """How many times as fast as real time; 0 in lockstep."""
        return self._told[2] / 1000

    def pause_until(self, time_ms: int) -> None:
        """Wait while time flows, without telling the exchange; any thread may."""
        time.sleep(max(0, time_ms - self.now_ms()) / 1000 / self.speed)

    def sleep_until(self, time_ms: int) -> None:
        """Say that nothing is left to do before `time_ms` and return when time has come there.

        A time that has passed still lets others who wait for an earlier one go first. Raises SleepInterrupted, and
        UserError when the exchange went away and did not come back.
        """
        while True:
            try:
                self._socket.send(json.dumps({"done_until": max(time_ms, self.now_ms())}))
                self._hear()
                return
            except ConnectionClosed:
                self._reconnect()

    def interrupt(self) -> None:
        """End the running sleep and every later one. Safe in a signal handler."""
        self._interrupted = True

    def close(self) -> None:
        """Leave: time goes on without this participant."""
        self._socket.close()

    def _connect(self) -> LoopbackSocket:
        try:
            self._socket = LoopbackSocket(f"{self._address}&now={self.now_ms()}", timeout_s=CONNECT_TIMEOUT_S)
            self._hear()
        except (OSError, InvalidHandshake) as error:
            fix = f"start one (`{serve_command(self._url)}`) or set G6_SIM_URL"
            raise UserError(f"no simulated exchange at {self._url} ({error}); {fix}") from error
        except ConnectionClosed as error:
            reason = error.rcvd.reason if error.rcvd else "connection lost"
            raise UserError(f"the simulated exchange at {self._url} refused its clock: {reason}") from error
        return self._socket

    def _reconnect(self) -> None:
        give_up_s = time.monotonic() + self._patience_s
        pause_s = SLICE_S
        while True:
            if self._interrupted:
                raise SleepInterrupted("interrupted")
            try:
                self._connect()
                return
            except UserError as error:
                if time.monotonic() + pause_s > give_up_s:
                    raise UserError(
                        f"no simulated exchange at {self._url} for {self._patience_s:g} s; start it again "
                        f"(`{serve_command(self._url)}` as before), and then this: it continues where it was"
                    ) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)

    def _hear(self) -> None:
        """Wait for the exchange to tell the time."""
        while True:
            if self._interrupted:
                raise SleepInterrupted("interrupted")
            try:
                message = json.loads(self._socket.receive(SLICE_S))
            except TimeoutError:
                continue
            self._floor_ms = self.now_ms()
            self._told = (int(message["now"]), time.monotonic(), float(message.get("speed", 0)) * 1000)
            return


class OnlookerClock:
    """Flowing time of a simulated exchange as it was told once, for a client that takes no part in it."""

    def __init__(self, now_ms: int, speed: float) -> None:
        self.speed = speed
        self._now_ms = now_ms
        self._told_s = time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC, of the exchange."""
        return self._now_ms + int((time.monotonic() - self._told_s) * 1000 * self.speed)

    def sleep_until(self, time_ms: int) -> None:
        """Return at `time_ms` or at once if that has passed."""
        self.pause_until(time_ms)

    def pause_until(self, time_ms: int) -> None:
        """The same."""
        time.sleep(max(0, time_ms - self.now_ms()) / 1000 / self.speed)


def drive(clock: Clock, stage: Generator[int, None, Result]) -> Result:
    """Run a stage to its end: sleep until each wake time it yields; returns what it returns."""
    with closing(stage):
        while True:
            try:
                wake_ms = next(stage)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            clock.sleep_until(wake_ms)
