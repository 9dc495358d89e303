"""A command that a message prints works where it is read: quoted, with its variables, and found by the shell."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from g6_core.adapters.hints import command, serve_command


def test_without_an_activated_environment_the_way_to_the_program_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    printed = command("--version")
    program = Path(shlex.split(printed)[0])
    assert program.samefile(Path(sys.executable).with_name("g6"))
    done = subprocess.run(printed, shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("g6 ")


def test_where_the_shell_finds_it_the_bare_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert command("stream", "run", "--data-dir", Path("my data")) == "g6 stream run --data-dir 'my data'"
    assert command("dev", program="dagster", environment={"G6_DATA_DIR": "a b"}) == "G6_DATA_DIR='a b' dagster dev"


def test_an_exchange_is_started_on_the_port_that_is_asked() -> None:
    assert serve_command("http://127.0.0.1:9001").endswith("sim serve --port 9001")
