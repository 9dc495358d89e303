"""Is this machine's clock right? Compared with the time in the broker's answers, before anything is armed."""

from pathlib import Path
from typing import Any

import pytest
import requests

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import InstrumentBook
from g6_core.sim.clock import VirtualClock
from g6_core.sim.transport import SimTransport
from g6_stream.gateway import KiteGateway
from tests.stream.wire import moment, said, wire
from tests.stream.world import World

SECOND_MS = 1_000
FIX = "the broker's: set it (timedatectl set-ntp true), then g6 stream resume"


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
    tmp_path: Path, rules: MarketRules, settings: Settings, off_ms: int, problem: str
) -> None:
    world = World(tmp_path, rules, settings)
    clock = VirtualClock(world.clock.now_ms() + off_ms)
    gateway = KiteGateway(world.kite, clock, InstrumentBook.of(()))
    assert gateway.clock_problem() == (f"this machine's clock is {problem} {FIX}" if problem else "")
    world.ledger.close()


def test_at_twenty_times_the_speed_the_way_of_a_message_is_twenty_times_as_long(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world = World(tmp_path, rules, settings)
    for off_ms, ahead in ((30_000, False), (600_000, True)):
        clock = VirtualClock(world.clock.now_ms() + off_ms)
        found = KiteGateway(world.kite, clock, InstrumentBook.of(()), speed=20.0).clock_problem()
        assert ("ahead of" in found) == ahead
    world.ledger.close()


@pytest.mark.parametrize("stamp", [None, "", "noon", "2026-11-19"])
def test_answers_without_a_date_are_no_confirmation(
    tmp_path: Path, rules: MarketRules, settings: Settings, stamp: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, rules, settings)
    gateway = KiteGateway(world.kite, world.clock, InstrumentBook.of(()))
    assert gateway.clock_problem() == ""
    send = SimTransport.send

    def stripped(*args: Any, **known: Any) -> requests.Response:
        response = send(*args, **known)
        response.headers.pop("Date")
        if stamp is not None:
            response.headers["Date"] = stamp
        return response

    monkeypatch.setattr(SimTransport, "send", stripped)
    assert "cannot be checked: the broker's answers have no Date" in gateway.clock_problem()
    world.ledger.close()


def test_a_wrong_clock_keeps_the_sidecar_from_arming_until_it_is_right(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, seed=7) as world:
        world.prepare()
        clock = world.clock()
        world.fault(kind="clock_off", off_ms=-90 * SECOND_MS, for_ms=moment(9, 15, 30) - world.told()["now_ms"])
        sidecar = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 15, 20))
        assert "not armed" in world.get("/readyz").json()["reasons"]
        assert world.get("/status").json()["mode"] == "paused"
        clock.sleep_until(moment(9, 15, 40))
        assert world.get("/readyz").json() == {"ready": True, "reasons": []}
        sidecar.terminate()
        clock.close()
        text = said(sidecar)
        assert sidecar.returncode == 0, text
        assert text.count("not armed: ") == 1
        assert f"not armed: this machine's clock is about 90 s ahead of {FIX}" in text
