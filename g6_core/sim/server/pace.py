"""How served time moves: in lockstep with its participants, or flowing with the real time.

A participant says until when it has nothing to do, and hears when that time has come. In lockstep time only moves
while all of them wait, to the smallest of their times; then exactly one is told: the one with that time, on a tie the
earlier in the order of the expected names, so that one process has spoken again before the next one acts. This is the
order in which `g6 day` resumes its stages.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from g6_core.sim.server.world import World

Send = Callable[[str], Awaitable[None]]
# Turns of the event loop in which requests that lie in other sockets are handled before time moves.
SETTLING_TURNS = 3
STEP_MS = 200


@dataclass(slots=True, eq=False)
class Participant:
    """`wake_ms` is None while it is awake: from the moment it was told the time until it speaks."""

    name: str
    place: int
    send: Send
    wake_ms: int | None = None


class Pace(Protocol):
    """What the sockets need of a way of passing time."""

    label: str
    lockstep: bool

    @property
    def participants(self) -> Sequence[Participant]:
        """Who is registered."""
        ...

    def refresh(self) -> None:
        """Bring the clock to now, before a request is answered."""
        ...

    def limits_ms(self) -> int:
        """The time in which rate limits are counted."""
        ...

    async def join(self, name: str, send: Send, known_ms: int = 0) -> Participant:
        """Register and tell the time; `known_ms` is the time that a returning participant has seen already.

        Raises ValueError when the name is taken.
        """
        ...

    def wait(self, participant: Participant, wake_ms: int) -> None:
        """A participant has nothing to do before `wake_ms`."""
        ...

    def leave(self, participant: Participant) -> None:
        """A participant has gone."""
        ...

    async def run(self) -> None:
        """Let time pass until cancelled."""
        ...


class _Registry:
    """The participants, and the bell that rings when anything about them changes."""

    def __init__(self, world: World, expected: Sequence[str], speed: float) -> None:
        self.participants: list[Participant] = []
        self._world = world
        self._expected = tuple(expected)
        self._missing = set(expected)
        self._speed = speed
        self._joined = 0
        self._bell = asyncio.Event()
        # Held while time moves: who registers is told a time that stands.
        self._moving = asyncio.Lock()

    async def join(self, name: str, send: Send, known_ms: int = 0) -> Participant:
        async with self._moving:
            if not name or any(one.name == name for one in self.participants):
                taken = f"'{name}' is registered already, end the other one first"
                raise ValueError(taken if name else "a participant needs a name")
            await self._catch_up(known_ms)
            self._joined += 1
            place = self._expected.index(name) if name in self._expected else len(self._expected) + self._joined
            participant = Participant(name, place, send)
            self.participants.append(participant)
            self._missing.discard(name)
            await self._tell(participant)
            self._bell.set()
        return participant

    def wait(self, participant: Participant, wake_ms: int) -> None:
        participant.wake_ms = wake_ms
        self._bell.set()

    def leave(self, participant: Participant) -> None:
        if participant in self.participants:
            self.participants.remove(participant)
            self._bell.set()

    async def _tell(self, participant: Participant) -> None:
        participant.wake_ms = None
        await participant.send(json.dumps({"now": self._world.now_ms(), "speed": self._speed}))

    async def _catch_up(self, known_ms: int) -> None:
        """In lockstep a participant that is ahead waits at its own time, and time comes there by itself."""

    def _earliest(self) -> Participant | None:
        waiting = [(one.wake_ms, one.place, one) for one in self.participants if one.wake_ms is not None]
        return min(waiting, key=lambda entry: entry[:2])[2] if waiting else None


class Lockstep(_Registry):
    """Time moves with the participants only; `seconds` (real) is for rate limits while it is held."""

    lockstep = True

    def __init__(self, world: World, expected: Sequence[str], seconds: Callable[[], float]) -> None:
        super().__init__(world, expected, 0.0)
        self.label = "lockstep"
        self._seconds = seconds
        self._start_s = seconds()
        self._held_ms = 0

    def refresh(self) -> None:
        """Time stands while a request is answered."""

    def limits_ms(self) -> int:
        """Virtual time. While nobody can move it, windows pass with real time: nobody could wait for the next one.

        What passed so is kept afterwards: the calls of before are not ahead of time then.
        """
        if self._is_held():
            self._held_ms = int((self._seconds() - self._start_s) * 1000)
        return self._world.now_ms() + self._held_ms

    def _is_held(self) -> bool:
        return bool(self._missing) or not self.participants

    async def run(self) -> None:
        """Move time whenever everybody waits, until cancelled."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            await self._settle()
            async with self._moving:
                chosen = self._next()
                if chosen is not None and chosen.wake_ms is not None:
                    await self._world.pass_to(chosen.wake_ms)
                    await self._tell(chosen)

    def _next(self) -> Participant | None:
        """Who acts next; None while somebody is awake or an expected one has not come yet."""
        if self._is_held() or any(one.wake_ms is None for one in self.participants):
            return None
        return self._earliest()

    async def _settle(self) -> None:
        if self._world.tickers:
            for _ in range(SETTLING_TURNS):
                await asyncio.sleep(0)


class Flow(_Registry):
    """Time flows `speed` times as fast as the real `seconds`, from the moment `run` starts."""

    lockstep = False

    def __init__(self, world: World, speed: float, seconds: Callable[[], float]) -> None:
        super().__init__(world, (), speed)
        self.label = f"speed {speed:g}"
        self._seconds = seconds
        self._start_ms = world.now_ms()
        self._start_s = seconds()

    def _flowed_ms(self) -> int:
        return self._start_ms + int((self._seconds() - self._start_s) * 1000 * self._speed)

    async def _catch_up(self, known_ms: int) -> None:
        """Time never goes back: an exchange that was started again goes on where its participants are."""
        ahead_ms = known_ms - self._flowed_ms()
        if ahead_ms > 0:
            self._start_ms += ahead_ms
            await self._world.pass_to(known_ms)

    def refresh(self) -> None:
        """Move the clock to now and send the order updates that this brought up."""
        self._world.move(self._flowed_ms())
        self._world.apply_faults()

    def limits_ms(self) -> int:
        """Virtual time."""
        return self._world.now_ms()

    async def run(self) -> None:
        """Let time flow until cancelled."""
        self._start_s = self._seconds()
        while True:
            async with self._moving:
                now_ms = self._flowed_ms()
                await self._world.pass_to(now_ms)
                self._world.push_updates()
                while (due := self._earliest()) is not None and due.wake_ms is not None and due.wake_ms <= now_ms:
                    await self._tell(due)
            await self._rest()

    async def _rest(self) -> None:
        """Sleep to the next step of time or wake of a participant, or until somebody asks for an earlier one."""
        self._bell.clear()
        now_ms = self._world.now_ms()
        next_ms = (now_ms // STEP_MS + 1) * STEP_MS
        due = self._earliest()
        if due is not None and due.wake_ms is not None:
            next_ms = min(next_ms, due.wake_ms)
        # Not `wait_for`: on 3.11 it loses a cancellation that comes together with the bell.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0, next_ms - self._flowed_ms()) / 1000 / self._speed):
                await self._bell.wait()
