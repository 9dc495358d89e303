"""What stops the sidecar before it trades: one clear line each, and the documented exit code."""

import socket
from collections.abc import Callable
from contextlib import closing
from datetime import time
from pathlib import Path

import pytest

from g6_core.adapters.clock import SimClock
from g6_core.adapters.in_process import open_world
from g6_core.adapters.market_rules import load_market_rules
from g6_core.cli.main import main
from g6_core.config import load_settings
from g6_core.schema.paths import DataPaths
from g6_core.sim.modelled import ModelledSource
from g6_core.site import Site
from g6_pipelines.stages.prepare import prepare
from g6_stream.lease import sidecar_lease
from tests.sim.server import kit

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, config_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name in ("G6_BROKER", "G6_SIM_URL", "G6_LIVE", "KITE_API_KEY", "KITE_ACCESS_TOKEN", "G6_CONTROL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("G6_CONTROL_PORT", str(_closed_port()))

    def started(*options: str, command: str = "run", **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        where = ["--data-dir", str(tmp_path)] + (["--config-dir", str(config_dir)] if command == "run" else [])
        code = main(["stream", command, *where, *options])
        return code, capsys.readouterr().err

    return started


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_exchange(run: Run) -> None:
    code, said = run(G6_SIM_URL=f"http://127.0.0.1:{_closed_port()}")
    assert code == 2
    assert "no simulated exchange at" in said and "g6 sim serve" in said
    assert said.count("\n") == 1


def test_real_money_needs_the_typed_confirmation(run: Run) -> None:
    secrets = {"G6_BROKER": "kite", "KITE_API_KEY": "key", "KITE_ACCESS_TOKEN": "canary"}
    for typed in ("", "yes", "YES-WITH-REAL-MONEY"):
        code, said = run("--mode", "broker", G6_LIVE=typed, **secrets)
        assert code == 3
        assert "real money; set it to yes-with-real-money or use --mode paper" in said
        assert "canary" not in said


def test_kite_without_its_secrets_and_a_foreign_mode(run: Run) -> None:
    code, said = run("--mode", "broker", G6_BROKER="kite")
    assert (code, "KITE_API_KEY: not set" in said) == (3, True)
    code, said = run("--mode", "money")
    assert (code, "--mode money: unknown; write broker or paper" in said) == (2, True)


def test_a_second_sidecar_is_refused_and_a_dead_one_leaves_no_lock(run: Run, tmp_path: Path) -> None:
    lock = tmp_path / "state" / "sidecar.lock"
    with sidecar_lease(lock):
        code, said = run()
        assert code == 2
        assert "another sidecar already trades here" in said
    # Never taken away: a lock on a file that is gone would keep nobody out.
    assert lock.exists()
    assert "another sidecar" not in run(G6_SIM_URL=f"http://127.0.0.1:{_closed_port()}")[1]


def test_a_control_port_in_use(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = run(G6_CONTROL_PORT=str(taken.getsockname()[1]))
    assert code == 2
    assert "Address already in use" in said and "G6_CONTROL_PORT" in said


def test_a_day_pack_of_yesterday_and_a_second_sidecar_on_the_same_exchange(
    run: Run, tmp_path: Path, config_dir: Path
) -> None:
    settings, rules, paths = load_settings(config_dir), load_market_rules(config_dir), DataPaths(tmp_path)
    yesterday = open_world(ModelledSource(("NIFTY",), kit.yesterday(), rules, 7), rules, settings, 7)
    site = Site(settings, rules, paths)
    prepare(yesterday.kite, site, kit.yesterday(), ("NIFTY",), source_label="modelled", seed=7)
    with kit.serving_here(start=time(8, 45)) as server:
        code, said = run(G6_SIM_URL=server.url)
        assert (code, said.count("\n")) == (4, 1)
        assert "no day pack; make it, for each index: G6_DATA_DIR=" in said and "dagster asset materialize" in said
        paths.day_pack(kit.yesterday()).rename(paths.day_pack(kit.DAY))
        code, said = run(G6_SIM_URL=server.url)
        assert (code, said.count("\n")) == (4, 1)
        assert f"the day pack is for {kit.yesterday()}, not for {kit.DAY}; make it, for each " in said
        with closing(SimClock(server.url, "sidecar")):
            code, said = run("--data-dir", str(tmp_path / "other"))
        assert (code, said.count("\n")) == (2, 1)
        assert "'sidecar' is registered already, end the other one first" in said


def test_orders_to_no_sidecar_say_what_is_missing(run: Run) -> None:
    code, said = run(command="pause")
    assert code == 4
    assert "control.token" in said and "G6_CONTROL_TOKEN" in said
    for command in ("status", "pause", "resume", "flatten"):
        code, said = run(command=command, G6_CONTROL_TOKEN="x")
        assert code == 2
        assert "no sidecar answers at" in said and "g6 stream run" in said
