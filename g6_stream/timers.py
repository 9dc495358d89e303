"""What wakes the trading loop, and the thread that sleeps for it: everything reaches the loop through one queue."""

from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread
from typing import Protocol

from g6_core.adapters.clock import SleepInterrupted
from g6_core.domain.errors import G6Error
from g6_core.domain.events import OperatorAction
from g6_core.ports import Clock


@dataclass(frozen=True, slots=True)
class Due:
    """The time that was asked for has come."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The feed has something: ticks, an order row, or a change of its state."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A person's order through the control port; `done` is set when it was carried out."""

    action: OperatorAction
    reason: str
    done: Event = field(default_factory=Event)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Somebody wants the process to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Time cannot be told any more."""

    error: G6Error


Wake = Due | Arrived | Asked | Stopped | Failed
# SimpleQueue: its `put` is safe in a signal handler.
Inbox = SimpleQueue[Wake]


class InterruptibleClock(Clock, Protocol):
    """A clock whose sleep can be ended from outside."""

    def interrupt(self) -> None:
        """End the running sleep and every later one."""
        ...


class Timer:
    """Sleeps on the clock in a thread, so that the loop can be woken by other things meanwhile.

    `inline` sleeps in the caller's thread instead: in lockstep a second takes a millisecond, and there are 22,500.
    """

    def __init__(self, clock: InterruptibleClock, inbox: Inbox, *, inline: bool = False) -> None:
        self._clock = clock
        self._inbox = inbox
        self._inline = inline
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="timer", daemon=True)
        self._thread.start()

    def wake_at(self, time_ms: int) -> None:
        """Put a `Due` into the inbox at this time; asked again only after it came."""
        if self._inline:
            self._sleep(time_ms)
        else:
            self._wanted.put(time_ms)

    def interrupt(self) -> None:
        """End the running sleep and every later one. Safe in a signal handler."""
        self._clock.interrupt()

    def close(self) -> None:
        """End the sleep and the thread."""
        self._clock.interrupt()
        self._wanted.put(None)
        self._thread.join(5)

    def _run(self) -> None:
        while (time_ms := self._wanted.get()) is not None:
            self._sleep(time_ms)

    def _sleep(self, time_ms: int) -> None:
        try:
            self._clock.sleep_until(time_ms)
            self._inbox.put(Due())
        except SleepInterrupted:
            return  # whoever interrupts has put the reason into the inbox
        except G6Error as error:
            self._inbox.put(Failed(error))
