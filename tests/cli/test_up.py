"""`g6 up` as its user meets it: everything answers, Ctrl+C leaves nothing, and what is wrong is one line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import pytest

from g6_core.cli import up as up_module
from g6_core.cli.main import main
from g6_core.cli.processes import die_with_parent, free_port
from g6_core.domain.ist import at

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
PORTS = ("--ui-port", "--sim-port", "--control-port")
LOCATIONS = "{workspaceOrError{... on Workspace{locationEntries{name loadStatus}}}}"
# A simulated stack leaves them alone.
NOBODYS_DATABASES = dict.fromkeys(("G6_POSTGRES_URL", "G6_LEDGER_URL"), "postgresql://nobody@127.0.0.1:9/none")


def _without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("G6_", "KITE_"))}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine says about brokers, ports and the date is not about these tests."""
    for name in os.environ.keys() - _without_ours().keys():
        monkeypatch.delenv(name)


def until(condition: Callable[[], bool], what: str) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s, what
        time.sleep(0.1)


def _fetch(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        text = answer.read().decode()
    return json.loads(text) if text.startswith("{") else text


@dataclass
class Stack:
    """A running `g6 up` and where its parts listen."""

    data_dir: Path
    output: Path
    process: "subprocess.Popen[bytes]"
    ui: int
    exchange: int
    control: int

    @property
    def said(self) -> str:
        return self.output.read_text()

    def running(self) -> list[str]:
        """Processes that work for this stack: they all inherit its data directory, their children too."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environment = (entry / "environ").read_bytes()
                if f"G6_DATA_DIR={self.data_dir}\0".encode() in environment:
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found


def _command(data_dir: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "g6_core.cli.main", "up", "--data-dir", str(data_dir), *options]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack on a data directory of its own."""
    folder = tmp_path_factory.mktemp("up")
    data_dir, output = folder / "data", folder / "output"
    ui, exchange, control = free_port(), free_port(), free_port()
    ports = ("--ui-port", str(ui), "--sim-port", str(exchange), "--control-port", str(control))
    with output.open("wb") as file:
        process = subprocess.Popen(
            _command(data_dir, *ports),
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=PROJECT,
            env=_without_ours() | NOBODYS_DATABASES,
            preexec_fn=die_with_parent,
        )
    running = Stack(data_dir, output, process, ui, exchange, control)
    try:
        until(lambda: " is up (" in running.said or process.poll() is not None, "the stack did not come up")
        assert process.poll() is None, running.said
        yield running
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_everything_answers_and_ctrl_c_leaves_nothing(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    status = _fetch(f"http://127.0.0.1:{stack.exchange}/sim/status")
    assert {one["name"] for one in status["participants"]} == {"collector", "sidecar"}
    assert (status["mode"], status["date"], status["seed"]) == ("speed 20", "2026-11-19", 7)
    sidecar = f"http://127.0.0.1:{stack.control}"
    until(lambda: bool(_fetch(f"{sidecar}/status")["feed_connected"]), "the sidecar's feed did not come")
    assert "g6_" in _fetch(f"{sidecar}/metrics")
    (location,) = _fetch(f"http://127.0.0.1:{stack.ui}/graphql", {"query": LOCATIONS})["data"]["workspaceOrError"][
        "locationEntries"
    ]
    assert location == {"name": "g6", "loadStatus": "LOADED"}

    assert main(["up", "--data-dir", str(stack.data_dir), "--ui-port", str(stack.ui)]) == 4
    again = capsys.readouterr()
    assert again.out == ""
    assert again.err == f"g6: {stack.data_dir}: another run is at work here; let it end or choose another --data-dir\n"

    parts = stack.running()
    for part in (
        "sim serve",
        "stream run",
        "g6_pipelines.execute session",
        "dagster_webserver",
        "dagster._daemon",
        "api grpc",
    ):
        assert sum(part in line for line in parts) == 1, (part, parts)
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(PATIENCE_S) == 0, stack.said
    assert stack.running() == []
    for port in (stack.ui, stack.exchange, stack.control):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    ended = re.findall(r"(\S+) ended$", stack.said.partition("ending everything (SIGINT)")[2], re.MULTILINE)
    assert ended[:2] == ["sidecar", "collector"]
    assert set(ended[2:5]) == {"web-ui", "daemon", "code-server"}
    assert ended[5] == "exchange"
    assert stack.said.endswith("everything has ended\n")
    assert (stack.data_dir / "state" / "trade_report" / "2026-11-19.json").exists(), "the sidecar's clean end"


@pytest.mark.slow
def test_a_part_that_cannot_start_ends_the_stack_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = [part for name in PORTS for part in (name, str(free_port()))]
    assert main(["up", "--data-dir", str(tmp_path / "data"), "--source", "nothing.parquet", *ports]) == 4
    said = capsys.readouterr().err
    assert said.startswith("g6: exchange ended with 4: nothing.parquet: no such file")
    assert said.count("\n") == 1
    assert not (tmp_path / "data").exists(), "what is refused leaves nothing"


WRONG: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "speed": (["--speed", "0"], {}, 2, "--speed 0: choose more than 0 and at most 100"),
    "no date": (["--date", "19.11."], {}, 2, "--date 19.11.: not a date"),
    "weekend": (["--date", "2026-11-14"], {}, 4, "2026-11-14 is a Saturday; nearest trading days are"),
    "future": (["--date", "2026-11-23"], {}, 4, "2026-11-23 has not come yet"),
    "start": (["--start", "ten"], {}, 2, "--start ten: not a time of day"),
    "index": (["--index", "DAX"], {}, 2, "DAX"),
    "config": (["--config-dir", "nowhere"], {}, 3, "nowhere"),
    "broker": ([], {"G6_BROKER": "paper"}, 3, "G6_BROKER=paper: unknown"),
    "no key": ([], {"G6_BROKER": "kite"}, 3, "KITE_API_KEY: not set"),
    "same port": (["--ui-port", "9990", "--sim-port", "9990"], {}, 2, "--sim-port 9990 is also the one of --ui-port"),
}
KITE = {"G6_BROKER": "kite", "KITE_API_KEY": "key", "KITE_ACCESS_TOKEN": "token"}


@pytest.mark.parametrize(("options", "environment", "code", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_input_is_one_line(
    options: list[str],
    environment: dict[str, str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Whatever day it is: what has not come yet must stay so.
    monkeypatch.setattr(up_module, "machine_ms", lambda: at(FRIDAY, clock_time(8)))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["up", "--data-dir", str(tmp_path / "data"), *options]) == code
    said = capsys.readouterr().err
    assert said.startswith("g6: ")
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "what is refused leaves nothing"


@pytest.mark.parametrize("option", PORTS)
def test_a_port_in_use_is_one_line_naming_the_option(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {name: str(free_port()) for name in PORTS}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = options[option] = str(taken.getsockname()[1])
        assert (
            main(["up", "--data-dir", str(tmp_path / "data"), *(part for pair in options.items() for part in pair)])
            == 2
        )
    said = capsys.readouterr().err
    assert said.startswith(f"g6: port {port} (")
    assert said.endswith(f"Address already in use; choose another {option}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "now", "code", "words"),
    [
        (["--seed", "3"], (FRIDAY, 8), 2, "--seed is about the simulated exchange; leave it away, or unset G6_BROKER"),
        ([], (FRIDAY, 16), 4, "the session of 2026-11-20 ended at 15:40"),
        ([], (SATURDAY, 9), 4, "2026-11-21 is a Saturday"),
    ],
    ids=["a simulated option", "after the close", "on a Saturday"],
)
def test_kite_has_today_only(
    options: list[str],
    now: tuple[date, int],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(up_module, "machine_ms", lambda: at(now[0], clock_time(now[1])))
    for name, value in KITE.items():
        monkeypatch.setenv(name, value)
    assert main(["up", "--data-dir", str(tmp_path), *options]) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["up", "--data-dir", str(tmp_path / "file" / "data")]) == 4
    assert "choose a --data-dir you can write to" in capsys.readouterr().err


def test_a_demo_of_a_closed_day_is_refused_before_an_earlier_one_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "day_report.html").write_text("the demo of yesterday")
    assert main(["demo", "--data-dir", str(tmp_path), "--date", str(SATURDAY - timedelta(7))]) == 4
    assert "2026-11-14 is a Saturday" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["day_report.html"]
