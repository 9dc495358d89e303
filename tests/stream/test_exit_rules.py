"""Every exit rule closes a live position in a scripted market, for its own reason and at the broker."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.domain.money import paise
from g6_core.domain.records import ExitReason, TradeRecord
from g6_core.engine.params import EngineParams
from tests.stream.world import DAY, World

MINUTE = 60_000


@pytest.fixture
def world(tmp_path: Path, rules: MarketRules, settings: Settings) -> Iterator[World]:
    made = World(tmp_path, rules, settings)
    yield made
    made.crash()
    made.ledger.close()


def _closed(world: World) -> TradeRecord:
    trades = [trade for trade in world.ledger.day(DAY).trades if trade.exit_ms]
    assert len(trades) == 1
    return trades[0]


def _ramp(start_ms: int, entry: int, *legs: tuple[int, float]) -> Callable[[int], tuple[int, int]]:
    """A touch that moves in lines from 100 % of the entry price: legs are (minutes, percent reached)."""

    def path(time_ms: int) -> tuple[int, int]:
        level, begin = 100.0, start_ms
        for minutes, percent in legs:
            span = minutes * MINUTE
            share = min(max((time_ms - begin) / span, 0.0), 1.0)
            if time_ms < begin + span:
                level += (percent - level) * share
                break
            level, begin = percent, begin + span
        bid = max(int(entry * level / 100) // 5 * 5, 5)
        return bid, bid + 10

    return path


@pytest.mark.parametrize(
    ("legs", "reason", "low_pct", "high_pct"),
    [
        pytest.param([(10, 50.0)], ExitReason.STOP_LOSS, -36, -28, id="stop"),
        pytest.param([(10, 170.0)], ExitReason.TAKE_PROFIT, 55, 66, id="target"),
        pytest.param([(5, 130.0), (5, 100.0)], ExitReason.TRAILING_STOP, 22, 30, id="trail"),
        pytest.param([(3, 110.5), (5, 90.0)], ExitReason.TRAILING_STOP, 3, 8, id="break-even lock"),
    ],
)
def test_a_price_rule_closes_the_position(
    world: World, legs: list[tuple[int, float]], reason: ExitReason, low_pct: float, high_pct: float
) -> None:
    row = world.enter()
    entry = paise(row["average_price"])
    world.steer(row, _ramp(world.clock.now_ms(), entry, *legs))
    assert world.advance(world.clock.now_ms() + 12 * MINUTE, lambda: not world.positions())
    world.advance(world.clock.now_ms() + 10_000)
    trade = _closed(world)
    assert trade.exit_reason == reason
    gain_pct = 100 * (trade.exit_paise - trade.entry_paise) / trade.entry_paise
    assert low_pct <= gain_pct <= high_pct
    assert trade.net_pnl_paise == trade.gross_pnl_paise - trade.charges_paise


def test_a_stop_that_is_jumped_is_chased_until_it_fills(world: World) -> None:
    row = world.enter()
    entry = paise(row["average_price"])
    jump_ms = world.clock.now_ms() + MINUTE
    world.steer(
        row,
        lambda now: (entry // 5 * 5, entry // 5 * 5 + 10) if now < jump_ms else (entry // 20 * 5, entry // 20 * 5 + 10),
    )
    assert world.advance(jump_ms + 30_000, lambda: not world.positions())
    world.advance(world.clock.now_ms() + 10_000)
    trade = _closed(world)
    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert trade.exit_paise < entry * 0.3


def _early(params: EngineParams) -> EngineParams:
    """The day ends at 09:35 instead of 15:20."""
    of_day = (9 * 60 + 35) * MINUTE
    exits = replace(params.exits, time_exit_of_day_ms=of_day, flat_by_of_day_ms=of_day + 5 * MINUTE)
    return replace(params, exits=exits)


def test_the_time_exit_leaves_nothing_open_five_minutes_later(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world = World(tmp_path, rules, settings, change=_early)
    row = world.enter()
    entry = paise(row["average_price"]) // 5 * 5
    world.steer(row, lambda now: (entry, entry + 10))
    world.advance(at(DAY, time(9, 34, 59)))
    assert world.positions()
    world.advance(at(DAY, time(9, 40)))
    trade = _closed(world)
    open_orders = [order for order in world.exchange.orders() if order["status"] in ("OPEN", "TRIGGER PENDING")]
    world.crash()
    world.ledger.close()
    assert not world.positions()
    assert not open_orders
    assert trade.exit_reason == ExitReason.TIME_EXIT


def _heavy(params: EngineParams) -> EngineParams:
    """Stakes so high that a fall of a fifth is the day's loss limit, before the stop is reached."""
    bands = tuple(replace(band, allocation_pct=90.0, risk_pct=90.0) for band in params.sizing.bands)
    return replace(params, sizing=replace(params.sizing, bands=bands, heat_max_pct=100.0))


def test_the_circuit_flattens_and_still_blocks_after_a_restart(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world = World(tmp_path, rules, settings, change=_heavy)
    row = world.enter()
    entry = paise(row["average_price"])
    world.steer(row, _ramp(world.clock.now_ms(), entry, (5, 75.0)))
    assert world.advance(world.clock.now_ms() + 8 * MINUTE, lambda: not world.positions())
    world.advance(world.clock.now_ms() + 10_000)
    assert _closed(world).exit_reason == ExitReason.CIRCUIT_BREAKER
    world.crash()

    world.run = world.start()
    world.advance(world.clock.now_ms() + 12 * MINUTE)
    world.crash()
    ledger = world.ledger.day(DAY)
    world.ledger.close()
    assert len(ledger.trades) == 1
    later = [one for one in ledger.decisions if one.signal_id and one.time_ms > ledger.trades[0].exit_ms]
    assert later
    assert all(any(verdict.rule == "circuit_breaker" and verdict.blocks for verdict in one.verdicts) for one in later)
