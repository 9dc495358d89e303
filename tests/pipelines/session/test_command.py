"""`g6 collect` as a person uses it: one cycle, a closed market, wrong words, and sleeping until the next session."""

import json
import signal
import threading
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import pytest
import typer

from g6_core.adapters.clock import RealClock, SleepInterrupted
from g6_core.adapters.kite_market import CallSpacing
from g6_core.adapters.site import open_site
from g6_core.domain.errors import CalendarError, TryLater, UserError
from g6_core.domain.ist import at
from g6_core.schema.paths import DataPaths
from g6_core.sim.modelled import ModelledSource
from g6_core.site import Site
from g6_pipelines.cli import collect
from g6_pipelines.places import Now
from g6_pipelines.session.solo import Solo
from tests.command_line import g6
from tests.pipelines.collecting import OPEN, collecting, narrowed
from tests.pipelines.dagster.kit import narrow_config
from tests.sim.server.kit import DAY, Address, serving_here

HOLIDAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def server(settings, rules) -> Iterator[Address]:
    market = ModelledSource(tuple(settings.indices), DAY, rules, 7)
    with serving_here(market, start=time(10, 2), speed=1) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(config_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return narrow_config(config_dir, tmp_path_factory.mktemp("narrow") / "config")


def ended(server: Address, root: Path, config: Path, *options: str) -> tuple[int, str, str]:
    where = {"G6_SIM_URL": server.url, "G6_DATA_DIR": str(root), "G6_CONFIG_DIR": str(config)}
    done = g6("collect", "--json", *options, environment=where)
    return done.returncode, done.stdout, done.stderr


def test_once_collects_the_cycle_of_now_and_accounts_for_those_before(server, narrow, tmp_path) -> None:
    code, said, complaints = ended(server, tmp_path, narrow, "--once", "--validate-auth")
    assert code == 0, complaints
    figures = json.loads(said)
    assert figures["day"] == str(DAY)
    # 09:15 to 10:00 every five minutes: nine had passed.
    assert (figures["cycles"], figures["reasons"]) == (10, {"the collector was not running": 9})
    assert figures["live"] * 10 == figures["expected"] > 0
    assert "the broker answers: NIFTY " in complaints and "contracts live" in complaints
    status = json.loads(DataPaths(tmp_path).runtime_status.read_text())
    assert set(status["indices_info"]) == {"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX"}
    assert all(info["ltp"] > 1_000 and info["options"] > 30 for info in status["indices_info"].values())
    again = json.loads(ended(server, tmp_path, narrow, "run", "--once")[1])
    assert again["cycles"] == 0, "that cycle is in the lake"
    code, _, complaints = ended(server, tmp_path, narrow, "--interval", "60")
    assert (code, complaints.count("\n")) == (4, 1)
    assert "cannot become 60 s within a day" in complaints


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--interval", "17"], 2, "--interval 17: use 15, 20, 30, 60 or whole minutes up to 300"),
        (["walk"], 2, "collect walk: unknown"),
    ],
)
def test_wrong_words_are_one_line(server, narrow, tmp_path, options, code, says) -> None:
    found, said, complaints = ended(server, tmp_path, narrow, *options)
    assert (found, said, complaints.count("\n")) == (code, "", 1)
    assert says in complaints


@pytest.mark.parametrize(("once", "free", "code"), [(True, False, 5), (True, True, 0), (False, False, 0)])
def test_once_without_a_call_is_a_failed_check(
    rules, settings, tmp_path, monkeypatch, capsys, once, free, code
) -> None:
    world = collecting(rules, narrowed(settings), tmp_path, start_ms=OPEN + 905_000)

    class Locked(CallSpacing):
        def due_ms(self) -> int:
            if free:
                return super().due_ms()
            raise TryLater("not sent: locked")

    def run(solo: Solo, *, forever: bool) -> None:
        world.turns = Locked(world.clock)
        world.run(once=True)
        for cycle in world.cycles:
            solo._heard(cycle)

    monkeypatch.setattr(Solo, "run", run)
    try:
        collect(once=once, data_dir=tmp_path, config_dir=Path("config"))
        found = 0
    except typer.Exit as end:
        found = end.exit_code
    assert found == code
    assert ("nothing was asked for: not sent: locked" in capsys.readouterr().err) is not free


def test_a_signal_before_anything_is_loaded_ends_with_the_usual_word(tmp_path, capsys, monkeypatch) -> None:
    """It comes while the configuration is read: there is no run yet that could be told."""

    def interrupted(*folders: Path) -> Site:
        signal.raise_signal(signal.SIGINT)
        return read(*folders)

    config, read = Path("config").resolve(), open_site
    monkeypatch.setattr("g6_core.adapters.site.open_site", interrupted)
    collect(data_dir=tmp_path, config_dir=config)
    assert "stopped; what was collected is safe" in capsys.readouterr().err


@pytest.fixture
def solo(settings, rules, tmp_path) -> Solo:
    return Solo(Site(settings, rules, DataPaths(tmp_path)), lambda _: None)


@pytest.mark.parametrize(
    ("clock", "once", "says"),
    [
        (time(15, 55), False, "the session of 2026-11-18 ended at 15:40"),
        (time(15, 40), True, "ended at 15:40"),
        (time(9, 14), True, "begins at 09:15"),
    ],
)
def test_a_closed_market_is_said(solo, monkeypatch, clock: time, once: bool, says: str) -> None:
    now = Now(DAY, at(DAY, clock), False)
    monkeypatch.setattr("g6_pipelines.session.solo.market_now", lambda: now)
    solo.once = once
    with pytest.raises(CalendarError, match=says):
        solo.run()
    solo.run(forever=True)
    assert solo.figures.cycles == 0, "an exchange that serves one day has no next session to wait for"


def test_no_market_at_all_is_said(solo, monkeypatch) -> None:
    monkeypatch.setattr("g6_pipelines.session.solo.market_now", lambda: None)
    with pytest.raises(UserError, match=r"start one \(`.*g6 sim serve`\), or set G6_BROKER=kite"):
        solo.run()


def test_at_kite_a_weekend_is_slept_through_and_a_stop_ends_the_sleep(solo, monkeypatch) -> None:
    slept: list[int] = []
    asleep = threading.Event()

    def note(clock: RealClock, until_ms: int) -> None:
        slept.append(until_ms)
        asleep.set()
        solo.stop()
        sleep(clock, until_ms)

    sleep = RealClock.sleep_until
    monkeypatch.setattr(RealClock, "sleep_until", note)
    monkeypatch.setattr(RealClock, "now_ms", lambda _: at(HOLIDAY, time(12)))
    monkeypatch.setattr("g6_pipelines.session.solo.market_now", lambda: Now(HOLIDAY, at(HOLIDAY, time(12)), True))
    with pytest.raises(SleepInterrupted):
        solo.run(forever=True)
    assert slept == [at(date(2026, 11, 23), time(9, 10))]
