"""Keeps the services of a stack running: tells what happens to them in one line each, restarts them within bounds.

ends well             it was meant to (sidecar and collector after the close): said
                      it was not (a server): as if it had ended badly
ends badly            before it first answered: it cannot start, the stack ends with its last words and its code
                      with 2, 3 or 4: a person has to mend something first, likewise
                      else: started again after 1, 2, 4, 8, 16 s; a sixth time in a row ends the stack
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from g6_core.cli.processes import Child, Processes
from g6_core.domain.errors import ConfigError, DataError, G6Error, UserError

POLL_S = 0.1
# Asking whether it answers costs the other side more than looking whether the process lives.
PROBE_EVERY_S = 0.5
PATIENCE_S = 120.0
RESTARTS_MAX = 5
# Whoever lived as long has recovered: its next restart counts as the first.
CALM_S = 120.0
# Longer than the sidecar needs for checkpoint, ledger and report, and a run of Dagster's for its last word.
GRACE_S = 20.0
MENDED_BY_PEOPLE = {2: UserError, 3: ConfigError, 4: DataError}
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Somebody wants the stack to end."""


@dataclass(slots=True)
class Service:
    """One part of the stack. `ready` says whether it answers; `may_end` whether a good end of its own is one."""

    name: str
    command: Callable[[], Sequence[str]]
    ready: Callable[[], bool] = lambda: True
    may_end: bool = False
    child: Child | None = None
    was_ready: bool = False
    has_ended: bool = False
    restarts: int = 0
    # By the machine's monotonic clock: of its start, or of the restart while it does not run.
    started_s: float = 0.0
    due_s: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Watches services from one thread. `say` gets a line for each event."""

    group: Processes
    say: Callable[[str], None]
    services: list[Service] = field(default_factory=list)
    # Called at every look at the services.
    each_time: Callable[[], None] = lambda: None
    first_pause_s: float = 1.0
    _signals: list[int] = field(default_factory=list)
    _probed_s: float = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl+C, SIGTERM and a closed terminal become `Stopped`; Ctrl+C after that kills whatever runs."""
        previous = {number: signal.getsignal(number) for number in ENDING}

        def note(number: int, _frame: FrameType | None) -> None:
            # A closed terminal may say so twice (the kernel and the shell); only a person who insists means it.
            if self._signals and number == signal.SIGINT:
                self.group.kill()
            self._signals.append(number)

        for number, handler in previous.items():
            # Ignored by whoever started us (nohup): stays ignored. Ctrl+C at a terminal is never.
            if handler is not signal.SIG_IGN:
                signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @property
    def stopped_by(self) -> str:
        """What asked for the end, for people; empty when nothing did."""
        return signal.Signals(self._signals[0]).name if self._signals else ""

    def start(self, service: Service) -> None:
        """Start a service and watch it from now on."""
        self.services.append(service)
        self._launch(service)

    def await_ready(self, *services: Service) -> None:
        """Return when all of these have answered once, or have ended well."""
        give_up_s = time.monotonic() + PATIENCE_S
        while waiting := [one for one in services if not (one.was_ready or one.has_ended)]:
            self.pause()
            if time.monotonic() > give_up_s:
                words = waiting[0].child.last_words() if waiting[0].child is not None else ""
                raise DataError(f"{waiting[0].name} did not answer in {PATIENCE_S:.0f} s: {words}")

    def run(self, name: str, command: Sequence[str]) -> str:
        """Run something to its end; returns how it ended badly, empty for well."""
        child = self.group.start(name, command)
        try:
            while child.running:
                self.pause()
        finally:
            # Before the services that it needs.
            self.group.end(child, grace_s=GRACE_S)
        return "" if child.process.returncode == 0 else how_it_ended(child)

    def pause(self) -> None:
        """A moment of watching. Raises Stopped, and what ends the stack."""
        if self._signals:
            raise Stopped
        time.sleep(POLL_S)
        self.each_time()
        now_s = time.monotonic()
        probe = now_s - self._probed_s >= PROBE_EVERY_S
        if probe:
            self._probed_s = now_s
        for service in self.services:
            if service.child is None:
                if not service.has_ended and now_s >= service.due_s:
                    self._launch(service)
            elif not service.child.running:
                self._ended(service, service.child)
            elif probe and not service.was_ready:
                service.was_ready = service.ready()

    def stop(self, *names: str) -> None:
        """End these services together, and say so."""
        running = [one for one in self.services if one.name in names and one.child is not None]
        self.group.end(*(one.child for one in running if one.child is not None), grace_s=GRACE_S)
        for service in running:
            if service.child is not None:
                # Asked to end, some of them say so with a code of their own.
                killed = service.child.process.returncode == -signal.SIGKILL
                self.say(f"{service.name} {'had to be killed' if killed else 'ended'}")
            service.child = None
            service.has_ended = True

    def _launch(self, service: Service) -> None:
        service.child = self.group.start(service.name, service.command())
        service.started_s = time.monotonic()
        again = " again" if service.restarts else ""
        self.say(f"{service.name} started{again} (process {service.child.process.pid}, {service.child.log})")

    def _ended(self, service: Service, child: Child) -> None:
        """Judge an end that nobody here asked for."""
        code, now_s = child.process.returncode, time.monotonic()
        service.child = None
        # Its own children must not live on beside the ones of the next start.
        self.group.end(child)
        if code == 0 and service.may_end:
            service.has_ended = True
            self.say(f"{service.name} ended")
            return
        if code in MENDED_BY_PEOPLE:
            # Its one line says all there is to say.
            raise MENDED_BY_PEOPLE[code](f"{child.name} {_manner(code)}: {child.last_words().removeprefix('g6: ')}")
        if not service.was_ready:
            raise G6Error(how_it_ended(child))
        service.restarts = 1 if now_s - service.started_s > CALM_S else service.restarts + 1
        if service.restarts > RESTARTS_MAX:
            raise G6Error(f"{how_it_ended(child)}; given up after {RESTARTS_MAX} restarts")
        pause_s = self.first_pause_s * 2 ** (service.restarts - 1)
        service.due_s = now_s + pause_s
        self.say(f"{how_it_ended(child)}; started again in {pause_s:g} s")


def how_it_ended(child: Child) -> str:
    """Name, exit code and last words, in one line."""
    words = child.last_words()
    said = f": {words}" if words else ""
    return f"{child.name} {_manner(child.process.returncode)}{said} (all of it in {child.log})"


def _manner(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return "ended" if code == 0 else f"ended with {code}"
