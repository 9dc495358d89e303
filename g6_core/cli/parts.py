"""The parts that a whole system is made of, known by their commands only, and how to ask whether they answer."""

import json
import shutil
import socket
import sys
import urllib.request
from datetime import date
from http.client import HTTPException
from pathlib import Path
from typing import Any

from g6_core.domain.errors import DataError, UserError
from g6_core.schema.paths import DataPaths

HOST = "127.0.0.1"
DEFINITIONS = "g6_pipelines.definitions"
# Part of every run and schedule, as in workspace.yaml.
LOCATION = "g6"
ANSWER_S = 5.0
# A proxy of the machine is for the world outside of it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def g6(*args: str) -> list[str]:
    """A command line of our own."""
    return [sys.executable, "-m", "g6_core.cli.main", *args]


def job(name: str, day: date, index: str) -> list[str]:
    """Return the command that runs one phase of a day as a Dagster job, in its own process."""
    return [sys.executable, "-m", "g6_pipelines.execute", name, f"{day}|{index}"]


def jobs(day: date, index: str) -> list[str]:
    """Return the command of a process that runs the phases whose names it hears, one a line, and repeats each at its
    good end: what all of them load is loaded once."""
    return job("-", day, index)


def code_server(port: int) -> list[str]:
    """Our definitions behind Dagster's gRPC. One process; runs that the web UI starts are its children."""
    return [
        *(sys.executable, "-m", "dagster", "api", "grpc", "--host", HOST, "--port", str(port)),
        *("--module-name", DEFINITIONS, "--location-name", LOCATION),
    ]


def web_ui(port: int, workspace: Path) -> list[str]:
    """Dagster's web UI."""
    return [sys.executable, "-m", "dagster_webserver", "-h", HOST, "-p", str(port), "-w", str(workspace)]


def daemon(workspace: Path) -> list[str]:
    """Dagster's daemon: schedules and the queue of runs."""
    return [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]


# A made day stays in its data directory, whatever databases an installation on this machine has.
OWN_STORES = {"G6_LEDGER_URL": "", "G6_POSTGRES_URL": ""}


def make_dagster_home(paths: DataPaths) -> Path:
    """The folder of Dagster's own storage, with the project's settings in it. Raises DataError."""
    home = (paths.root / "dagster").resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{home}: {error.strerror or error}; choose a --data-dir you can write to") from error
    try:
        shutil.copyfile("dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise DataError(f"dagster.yaml: {error.strerror or error}; start this in the project's folder") from error
    return home


def make_workspace(home: Path, port: int) -> Path:
    """The file that tells web UI and daemon where the code server is."""
    path = home / "workspace.yaml"
    path.write_text(
        f"load_from:\n  - grpc_server:\n      host: {HOST}\n      port: {port}\n      location_name: {LOCATION}\n"
    )
    return path


def answer(url: str) -> dict[str, Any] | None:
    """The JSON that a GET gives; None when nobody answers, or not well."""
    try:
        with _direct.open(url, timeout=ANSWER_S) as reply:
            return dict(json.load(reply))
    except (OSError, HTTPException, ValueError):
        return None


def exchange_status(url: str) -> dict[str, Any] | None:
    """What the simulated exchange says about itself."""
    return answer(f"{url}/sim/status")


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_S)
        return probe.connect_ex((HOST, port)) == 0


def require_port(text: str, what: str, option: str) -> None:
    """Raise UserError when this is no port, or one that cannot be had."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise UserError(f"{option}={text}: not a port; write a number from 1 to 65535")
    require_free(int(text), what, option)


def require_free(port: int, what: str, option: str) -> None:
    """Raises UserError when the port cannot be had."""
    with socket.socket() as probe:
        # As the servers do: connections that have just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} ({what}) cannot be had: {error.strerror}; choose another {option}") from error
