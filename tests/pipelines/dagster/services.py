"""Dagster's services as the units in `deploy/` run them, for tests that kill them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from g6_core.schema.paths import DataPaths
from g6_pipelines.session.known import read_heartbeat
from tests.sim.server.kit import PROJECT, Server

# `RestartSec` of the unit.
DAEMON_RESTART_S = 5


class Services:
    """Code server and daemon of Dagster, as the units in `deploy/` run them; each in a process group of its own."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._home, self._environment = home, environment
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self._port = free.getsockname()[1]
        self._running: list[subprocess.Popen[bytes]] = []
        (home / "workspace.yaml").write_text(
            f"load_from:\n- grpc_server: {{host: 127.0.0.1, port: {self._port}, location_name: g6}}\n"
        )

    def dagster(self, *command: str) -> list[str]:
        return [sys.executable, "-m", *command]

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        return self._run(name, self.dagster(*command))

    def _run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        log = (self._home / f"{name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=self._environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._running.append(process)
        return process

    def code_server(self) -> subprocess.Popen[bytes]:
        where = ("-h", "127.0.0.1", "-p", str(self._port), "-m", "g6_pipelines.definitions", "--location-name", "g6")
        process = self.start("code", "dagster", "api", "grpc", *where)
        self.wait_until(lambda: self._listens(), 60, "the code server answers")
        return process

    def kill_code_server(self) -> None:
        """kill -9 of the newest one, with everything it has started."""
        code = next(one for one in reversed(self._running) if "grpc" in one.args)  # type: ignore[operator]
        os.killpg(code.pid, signal.SIGKILL)
        code.wait()

    def daemon(self) -> subprocess.Popen[bytes]:
        """Kept running as its unit is: started again, after a while, whenever it ends with an error."""
        command = self.dagster("dagster._daemon", "run", "-w", str(self._home / "workspace.yaml"))
        return self._run("daemon", ["bash", "-c", f'until "$@"; do sleep {DAEMON_RESTART_S}; done', "bash", *command])

    def _listens(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def wait_until(self, condition: Any, seconds: float, what: str) -> None:
        give_up_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up_s, f"waited in vain until {what}: {self.logs()}"
            time.sleep(0.05)

    def await_session(self, paths: DataPaths, not_pid: int, seconds: float) -> int:
        """The process of a session that is not `not_pid`."""

        def found() -> bool:
            beat = read_heartbeat(paths)
            return beat is not None and beat.pid != not_pid

        self.wait_until(found, seconds, "a session collects")
        beat = read_heartbeat(paths)
        assert beat is not None
        return beat.pid

    def logs(self) -> str:
        return "\n".join(file.read_text()[-1500:] for file in self._home.glob("*.log"))

    def close(self) -> None:
        for process in reversed(self._running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def installed(server: Server, narrow: Path, folder: Path, **more: str) -> Iterator[tuple[Services, DataPaths]]:
    """Services with the sensor turned on; `more` goes into their environment."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("G6_", "KITE_", "DAGSTER_"))}
    environment = kept | {
        "DAGSTER_HOME": str(home),
        "G6_DATA_DIR": str(folder / "data"),
        "G6_CONFIG_DIR": str(narrow),
        "G6_SIM_URL": server.url,
        "G6_METRICS_PORT": "0",
        **more,
    }
    services = Services(home, environment)
    try:
        services.code_server()
        started = subprocess.run(
            services.dagster("dagster", "sensor", "start", "session_supervisor", "-w", str(home / "workspace.yaml")),
            cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert started.returncode == 0, started.stderr
        services.daemon()
        yield services, DataPaths(folder / "data")
    finally:
        services.close()
