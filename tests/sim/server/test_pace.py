"""How served time moves: who is woken when, and what stands still meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.sim.server.pace import Flow, Lockstep, Participant
from g6_core.sim.server.world import World
from tests.sim.kit import NOON, bench

Woken = list[tuple[str, int]]


def world_of(rules: MarketRules) -> World:
    desk = bench(rules)
    return World(desk.exchange, desk.clock)


async def stepping(pace: Lockstep | Flow, play: Callable[[], Awaitable[None]]) -> None:
    """Let time pass while a test plays."""
    passing = asyncio.create_task(pace.run())
    try:
        await asyncio.wait_for(play(), 5)
    finally:
        passing.cancel()


async def turns() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Players:
    """Participants that note when they are told the time."""

    def __init__(self, pace: Lockstep | Flow) -> None:
        self.told: Woken = []
        self._pace = pace

    async def join(self, name: str) -> Participant:
        async def send(text: str) -> None:
            self.told.append((name, json.loads(text)["now"] - NOON))

        return await self._pace.join(name, send)


def lockstep(rules: MarketRules, expected: Sequence[str] = ()) -> Lockstep:
    return Lockstep(world_of(rules), expected, lambda: 0.0)


def test_time_moves_to_the_smallest_asked_time_and_wakes_that_one_alone(rules: MarketRules) -> None:
    async def play() -> None:
        first, second = await players.join("first"), await players.join("second")
        pace.wait(first, NOON + 5_000)
        await turns()
        pace.wait(second, NOON + 2_000)
        await turns()
        assert players.told[2:] == [("second", 2_000)]
        pace.wait(second, NOON + 9_000)
        await turns()
        assert players.told[3:] == [("first", 5_000)]

    pace = lockstep(rules)
    players = Players(pace)
    asyncio.run(stepping(pace, play))


def test_on_a_tie_the_order_of_the_names_counts_and_the_next_waits_for_the_one_before(rules: MarketRules) -> None:
    async def play() -> None:
        sidecar, collector = await players.join("sidecar"), await players.join("collector")
        pace.wait(sidecar, NOON + 1_000)
        pace.wait(collector, NOON + 1_000)
        await turns()
        assert players.told[2:] == [("collector", 1_000)]
        # Asking for the same moment again keeps the turn, as a stage does that yields the time it has.
        pace.wait(collector, NOON + 1_000)
        await turns()
        assert players.told[3:] == [("collector", 1_000)]
        pace.wait(collector, NOON + 60_000)
        await turns()
        assert players.told[4:] == [("sidecar", 1_000)]

    pace = lockstep(rules, ("collector", "sidecar"))
    players = Players(pace)
    asyncio.run(stepping(pace, play))


def test_time_stands_until_everybody_expected_has_come_and_goes_on_without_who_has_left(rules: MarketRules) -> None:
    async def play() -> None:
        early = await players.join("early")
        pace.wait(early, NOON + 1_000)
        await turns()
        assert players.told == [("early", 0)]
        late = await players.join("late")
        await turns()
        assert players.told == [("early", 0), ("late", 0)]
        pace.leave(late)
        await turns()
        assert players.told[2:] == [("early", 1_000)]
        again = await players.join("late")
        pace.wait(early, NOON + 3_000)
        await turns()
        assert players.told[3:] == [("late", 1_000)]
        pace.wait(again, NOON + 2_000)
        await turns()
        assert players.told[4:] == [("late", 2_000)]

    pace = lockstep(rules, ("early", "late"))
    players = Players(pace)
    asyncio.run(stepping(pace, play))


def test_a_name_is_taken_once_and_needed(rules: MarketRules) -> None:
    async def play() -> None:
        await players.join("collector")
        with pytest.raises(ValueError, match="'collector' is registered already"):
            await players.join("collector")
        with pytest.raises(ValueError, match="needs a name"):
            await players.join("")

    pace = lockstep(rules)
    players = Players(pace)
    asyncio.run(stepping(pace, play))


def test_limits_count_real_time_only_while_time_is_held(rules: MarketRules) -> None:
    async def play() -> None:
        real["s"] = 3.0
        assert pace.limits_ms() == NOON + 3_000
        player = await players.join("only")
        assert pace.limits_ms() == NOON + 3_000, "what was called before is not ahead of time"
        real["s"] = 10.0
        assert pace.limits_ms() == NOON + 3_000
        pace.leave(player)
        assert pace.limits_ms() == NOON + 10_000, "a second that has been counted in does not come again"
        real["s"] = 11.0
        assert pace.limits_ms() == NOON + 11_000

    real = {"s": 0.0}
    pace = Lockstep(world_of(rules), ("only",), lambda: real["s"])
    players = Players(pace)
    asyncio.run(stepping(pace, play))


def test_flowing_time_follows_the_real_one_at_its_speed(rules: MarketRules) -> None:
    async def play() -> None:
        await turns()
        player = await players.join("only")
        pace.wait(player, NOON + 50_000)
        await turns()
        assert players.told == [("only", 0)]
        real["s"] = 5.0
        pace.refresh()
        assert world.now_ms() == NOON + 50_000
        pace.wait(player, NOON + 50_000)
        await turns()
        assert players.told[1:] == [("only", 50_000)]

    real = {"s": 0.0}
    world = world_of(rules)
    pace = Flow(world, 10.0, lambda: real["s"])
    players = Players(pace)
    asyncio.run(stepping(pace, play))
