"""Real servers for tests: started on free ports of this machine with folders of their own, ended with the session."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import SystemRandom
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from g6_core.adapters.influx import InfluxTarget

USER, PASSWORD = "g6", "kept-on-this-machine"
START_S = 30.0

_INFLUX_CONFIG = """
reporting-enabled = false
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = true
  log-enabled = false
[continuous_queries]
  enabled = false
"""


def needs(program: str, search: str | None = None) -> str:
    """The path of a server's program; the test is skipped, by name, where it is missing."""
    found = shutil.which(program, path=search)
    if found is None:
        pytest.skip(f"{program} is not installed: the server it is cannot be tested with")
    return found


def free_port() -> int:
    """A port that nobody listens on just now, below those that the machine gives to connections by itself."""
    for port in SystemRandom().sample(range(20_000, 32_000), 100):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("100 ports in a row are taken")


def wait_for(answers: Any, what: str, process: subprocess.Popen[bytes]) -> None:
    """Poll until a server answers, fail when it has ended or takes too long."""
    until = monotonic() + START_S
    while monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"{what} ended with {process.returncode}")
        try:
            answers()
            return
        except OSError:
            sleep(0.05)
    raise AssertionError(f"{what} did not answer within {START_S} s")


@dataclass
class InfluxDaemon:
    """A real influxd with authentication on, over one folder; it can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        config = self.folder / "influxdb.conf"
        config.write_text(_INFLUX_CONFIG.format(folder=self.folder, port=self.port))
        with (self.folder / "influxd.log").open("ab") as log:
            self.process = subprocess.Popen([needs("influxd"), "run", "-config", str(config)], stdout=log, stderr=log)
        ping = f"http://127.0.0.1:{self.port}/ping"
        wait_for(lambda: urllib.request.urlopen(ping).close(), "influxd", self.process)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=START_S)


@contextmanager
def influx_daemon(folder: Path) -> Iterator[InfluxDaemon]:
    """A running influxd with a user who may do everything."""
    daemon = InfluxDaemon(folder)
    try:
        daemon.start()
        ask_influx(daemon.port, f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES")
        yield daemon
    finally:
        daemon.close()


@dataclass
class Redis:
    """A redis-server that writes nothing but into its folder; it can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder))
        self.process = subprocess.Popen([needs("redis-server"), *options], stdout=subprocess.DEVNULL)
        wait_for(lambda: socket.create_connection(("127.0.0.1", self.port)).close(), "redis-server", self.process)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving_redis(folder: Path) -> Iterator[Redis]:
    """A running server."""
    server = Redis(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def ask_influx(port: int, statement: str) -> None:
    """Run an administrative statement past every proxy; returns once it is done. RuntimeError names what it refused."""
    body = urlencode({"q": statement}).encode()
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/query", body, headers)) as answer:
        results = json.load(answer)["results"]  # influxd says 200 before it has done anything
    if refused := [result["error"] for result in results if "error" in result]:
        raise RuntimeError(f"influxd: {statement}: {'; '.join(refused)}")


class _Handler(BaseHTTPRequestHandler):
    """Gives an influxd of before 1.8 the write interface of 2.x: another path, other names, the token as a login."""

    protocol_version = "HTTP/1.1"
    proxy: "InfluxProxy"

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.requests.append((self.path, dict(self.headers), len(body)))
        late = len(proxy.requests) > proxy.prompt_requests and proxy.delay_s
        if late and proxy.released.wait(late):
            self.close_connection = True
            return
        if proxy.status:
            self._answer(proxy.status, proxy.body)
            return
        with closing(HTTPConnection("127.0.0.1", proxy.port_behind, timeout=60)) as server:
            server.request(self.command, _old_path(self.path), body, self._headers())
            answer: HTTPResponse = server.getresponse()
            self._answer(answer.status, answer.read())

    def _headers(self) -> dict[str, str]:
        kept = {name: self.headers[name] for name in ("Content-Type", "Content-Encoding") if name in self.headers}
        token = self.headers.get("Authorization", "").removeprefix("Token ")
        return {**kept, "Authorization": f"Basic {base64.b64encode(token.encode()).decode()}"} if token else kept

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


def _old_path(path: str) -> str:
    parts = urlsplit(path)
    if parts.path != "/api/v2/write":
        return path
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    database, _, policy = asked["bucket"].partition("/")
    wanted = {"db": database, "precision": asked["precision"], **({"rp": policy} if policy else {})}
    return f"/write?{urlencode(wanted, quote_via=quote)}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def drop_connections(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is what the tests of hanging servers are about."""


@dataclass
class InfluxProxy:
    """The way to influxd, with faults: `stop` closes the port, `delay_s` lets answers wait, `status` and `body` are
    sent in their place.

    The first `prompt_requests` are not made to wait.
    """

    port_behind: int
    port: int = field(default_factory=free_port)
    delay_s: float = 0.0
    prompt_requests: int = 0
    status: int = 0
    body: bytes = b'{"code":"unavailable","message":"made to fail"}'
    requests: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more, and connections that were open are gone."""
        server, self._server = self._server, None
        if server is not None:
            self.released.set()
            server.shutdown()
            server.drop_connections()
            server.server_close()
            self.released.clear()


@dataclass
class InfluxBox:
    """A database of its own in the real influxd, behind a proxy of its own."""

    proxy: InfluxProxy
    target: InfluxTarget

    def settings(self, settings: Any) -> Any:
        """The settings with the Influx sink on, into this database."""
        from g6_core.config_schema import InfluxSettings

        influx = InfluxSettings(enabled=True, url=self.target.url, org=self.target.org, bucket=self.target.bucket)
        return replace(settings, file=settings.file.model_copy(update={"influx": influx}))


S3_KEY, S3_SECRET = "g6-archive", "kept-on-this-machine"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """moto as a server of its own, which speaks S3 over sockets and has no bucket yet; yields its address."""
    # The programs of the environment that runs the tests need not be on the path.
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [needs("moto_server", search), "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/moto-api/").close(), "moto_server", process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def make_bucket(address: str, bucket: str) -> None:
    """Create an empty bucket."""
    urllib.request.urlopen(urllib.request.Request(f"{address}/{bucket}", method="PUT")).close()


def bucket_keys(address: str, bucket: str) -> list[str]:
    """The keys of all objects, in order."""
    with urllib.request.urlopen(f"{address}/{bucket}?list-type=2") as answer:
        return sorted(re.findall(r"<Key>([^<]*)</Key>", answer.read().decode()))
