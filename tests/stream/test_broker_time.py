"""Is this machine's clock right? Compared with the time in the broker's answers, before anything is armed."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from g6_core.adapters.kite.transport import SimTransport
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import InstrumentBook
from g6_core.sim.clock import VirtualClock
from g6_stream.gateway import KiteGateway
from tests.sim.kit import bench
from tests.stream.world import DAY, World

SECOND_MS = 1_000
FIX = "the broker's: set it (timedatectl set-ntp true)"


@pytest.mark.parametrize(
    ("off_ms", "problem"),
    [
        (0, ""),
        (2_900, ""),
        (-2_000, ""),
        (4_000, "about 4 s ahead of"),
        (-3_000, "about 4 s behind"),
        (90_000, "about 90 s ahead of"),
        (-90_000, "about 90 s behind"),
        (19_800_000, "about 19800 s ahead of"),
        (-19_800_000, "about 19800 s behind"),
    ],
)
def test_a_clock_is_wrong_when_whole_seconds_and_the_way_cannot_explain_it(
    rules: MarketRules, off_ms: int, problem: str
) -> None:
    desk = bench(rules)
    clock = VirtualClock(desk.clock.now_ms() + off_ms)
    gateway = KiteGateway(desk.kite, clock, InstrumentBook.of(()))
    said = gateway.clock_problem()
    assert said.startswith(f"this machine's clock is {problem} {FIX}") if problem else said == ""


def test_at_twenty_times_the_speed_the_way_of_a_message_is_twenty_times_as_long(rules: MarketRules) -> None:
    desk = bench(rules)
    for off_ms, ahead in ((30_000, False), (600_000, True)):
        clock = VirtualClock(desk.clock.now_ms() + off_ms)
        found = KiteGateway(desk.kite, clock, InstrumentBook.of(()), speed=20.0).clock_problem()
        assert ("ahead of" in found) == ahead


def dated(monkeypatch: pytest.MonkeyPatch, date_of: Callable[[str], str | None]) -> None:
    """From now on the broker's answers have another date than they had, or none."""
    send = SimTransport.send

    def changed(*args: Any, **known: Any) -> requests.Response:
        response = send(*args, **known)
        stamp = date_of(response.headers.pop("Date"))
        if stamp is not None:
            response.headers["Date"] = stamp
        return response

    monkeypatch.setattr(SimTransport, "send", changed)


@pytest.mark.parametrize("stamp", [None, "", "noon", "2026-11-19"])
def test_answers_without_a_date_are_no_confirmation(
    rules: MarketRules, stamp: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = bench(rules)
    gateway = KiteGateway(desk.kite, desk.clock, InstrumentBook.of(()))
    assert gateway.clock_problem() == ""
    dated(monkeypatch, lambda _: stamp)
    assert "cannot be checked: the broker's answers have no Date" in gateway.clock_problem()


def test_a_wrong_clock_keeps_the_session_from_arming_until_it_is_right(
    tmp_path: Path, rules: MarketRules, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, rules, settings)
    open_ms = world.source.session.open_ms

    def behind(stamp: str) -> str:
        off_s = 90 if world.clock.now_ms() < open_ms + 30_000 else 0
        return format_datetime(parsedate_to_datetime(stamp) - timedelta(seconds=off_s), usegmt=True)

    dated(monkeypatch, behind)
    world.advance(open_ms + 301_000)  # by then risk events are in the ledger
    modes = [one.time_ms for one in world.ledger.day(DAY).risk_events if one.kind == "mode"]
    world.crash()
    world.ledger.close()
    assert len(modes) == 1 and open_ms + 30_000 <= modes[0] < open_ms + 45_000
    (alert,) = [one.text for one in world.alerts]
    assert alert.startswith(f"not armed: this machine's clock is about 90 s ahead of {FIX}")
