"""A real PostgreSQL for tests: a cluster of its own on a free port, which can be killed like a machine that dies."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic, sleep

import psycopg2
import pytest

from tests.servers import START_S, free_port

USER, PASSWORD = "g6", "kept-on-this-machine"
# The server refuses to run as root; its package brings this user.
SERVICE_USER = "postgres"
# A locale that orders text differently from its bytes: nothing of ours may depend on a database's.
_INITDB = ("--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US", "--auth=scram-sha-256")
# The machine keeps its power, so the disk need not be waited for.
_SERVER = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200")


def program(name: str) -> str:
    """A program of the server, which Debian keeps out of the PATH; the test is skipped, by name, without it."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = str(packaged[-1]) if packaged else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: postgresql cannot be tested with")
    return found


def _as_service() -> dict[str, object]:
    """How its processes are started: as the one who tests, or as the package's user where that is root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(SERVICE_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@dataclass
class Postgres:
    """One server over one folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"g6_{next(self._numbers)}"
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        settings = [word for one in (*_SERVER, f"port={self.port}") for word in ("-c", one)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("postgres"), "-D", str(self.folder / "data"), *settings],
                stdout=log, stderr=log, cwd=self.folder, **_as_service(),  # type: ignore[call-overload]
            )  # fmt: skip
        until_s = monotonic() + START_S
        while not self._answers():
            log_text = (self.folder / "server.log").read_text()
            assert self.process.poll() is None and monotonic() < until_s, f"postgres does not answer: {log_text}"
            sleep(0.05)

    def kill(self) -> None:
        """kill -9: the server and every process of it."""
        process = self.process
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            sleep(0.01)
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=START_S)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


@contextmanager
def serving_postgres() -> Iterator[Postgres]:
    """A running server; its folder goes with it."""
    initdb = program("initdb")
    # Not in pytest's own folder: the server's user cannot look into that of root.
    with tempfile.TemporaryDirectory(prefix="g6-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        service = _as_service()
        if service:
            for path in (folder, folder / "password"):
                shutil.chown(path, SERVICE_USER, SERVICE_USER)
        where = ("-D", str(folder / "data"), "-U", USER, "--pwfile", str(folder / "password"), "--no-sync")
        made = subprocess.run(
            [initdb, *where, *_INITDB], capture_output=True, text=True, check=False, cwd=folder, **service
        )  # type: ignore[call-overload]
        assert made.returncode == 0, made.stderr
        server = Postgres(folder)
        try:
            server.start()
            yield server
        finally:
            server.close()
