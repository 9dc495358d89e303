"""Starting and ending `g6 sim serve`: wrong usage in one line, a clean end however it comes."""

import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from g6_core.adapters.broker import open_kite
from g6_core.adapters.clock import SimClock
from g6_core.cli.main import main
from g6_core.config import load_settings
from g6_core.sim.exchange import Exchange
from g6_core.sim.server import serve as serve_module
from tests.sim.server.kit import PATIENCE_S, serving


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_clean_and_soon_with_everybody_connected(number: signal.Signals) -> None:
    with serving("--speed", "10") as server:
        kite = open_kite(server.settings)
        assert kite.ltp("NSE:NIFTY 50") == {}
        with closing(SimClock(server.url, "tests", patience_s=0)):
            server.process.send_signal(number)
            assert server.process.wait(PATIENCE_S) == 0, "it does not wait for whoever is connected"


def test_without_a_named_index_every_configured_one_is_served(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Exchange] = []
    monkeypatch.setattr(serve_module, "serve", lambda exchange, *_: served.append(exchange))
    assert main(["sim", "serve", "--config-dir", str(config_dir), "--date", "2026-11-18", "--lockstep"]) == 0
    assert [one.source.underlyings for one in served] == [tuple(load_settings(config_dir).indices)]


def test_a_port_in_use_is_one_line(config_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert main(["sim", "serve", "--config-dir", str(config_dir), "--date", "2026-11-18", "--port", port]) == 2
    assert capsys.readouterr() == ("", f"g6: port {port} is in use; choose another with --port\n")


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--lockstep", "--speed", "2"], 2, "--lockstep and --speed exclude each other; choose one"),
        (["--participants", "a"], 2, "--participants only means something with --lockstep; add it"),
        (["--lockstep", "--participants", "a,a"], 2, "--participants: a name comes twice; name everybody once"),
        (["--speed", "0"], 2, "--speed 0: choose more than 0 and at most 100; --lockstep is faster still"),
        (["--date", "tomorrow"], 2, "--date tomorrow: not a date; write it like 2025-08-29"),
        (["--start", "ten"], 2, "--start ten: not a time of day; write it like 09:14"),
        (["--lead", "601"], 2, "--lead 601: choose 0 to 600 seconds"),
        (["--lead", "30", "--start", "09:14"], 2, "--start and --lead exclude each other; choose one"),
        (["--lead", "30", "--lockstep"], 2, "--lead means nothing with --lockstep, where no real time passes"),
        (["--redirect-url", "here"], 2, "--redirect-url here: not an address; write it like http://127.0.0.1:8766/"),
        (["--source", "x.parquet", "--index", "NIFTY", "--index", "SENSEX"], 2, "--index NIFTY SENSEX: a recorded"),
        (["--index", "DAX"], 2, "DAX"),
        (["--date", "2026-11-15"], 4, "2026-11-15"),
    ],
)
def test_wrong_usage_is_one_line(
    config_dir: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, line: str
) -> None:
    fixed = ["sim", "serve", "--config-dir", str(config_dir), "--port", "0"]
    fixed += [] if "--index" in options else ["--index", "NIFTY"]
    assert main([*fixed, *(["--date", "2026-11-18"] if "--date" not in options else []), *options]) == code
    said = capsys.readouterr().err
    assert said.startswith("g6: ") and line in said and said.count("\n") == 1


def test_a_state_file_that_is_none_is_one_line(
    config_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n")
    command = ["sim", "serve", "--config-dir", str(config_dir), "--port", "0", "--date", "2026-11-18"]
    assert main([*command, "--state", str(notes)]) == 4
    said = capsys.readouterr().err
    assert "notes.md: not the log of an exchange, or damaged" in said
    assert said.count("\n") == 1
    assert notes.read_text() == "# Notes\n"
