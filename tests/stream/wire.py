"""The served exchange in lockstep and the sidecar as a process, for tests that hold the time in their hand."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import requests
from kiteconnect import KiteConnect

from g6_core.adapters.broker import BrokerSettings, open_kite
from g6_core.adapters.clock import SimClock
from g6_core.adapters.journal import read_journal
from g6_core.adapters.market_rules import load_market_rules
from g6_core.adapters.site import open_site
from g6_core.domain.events import Event
from g6_core.domain.ist import at
from g6_core.schema.journal import Kind, decode_event
from g6_core.schema.paths import DataPaths
from g6_core.sim.modelled import ModelledSource
from g6_pipelines.stages.prepare import prepare
from tests.sim.server.kit import serving_here

DAY = date(2026, 11, 19)
TOKEN = "wire-test"
PATIENCE_S = 60
# Indicators short enough to signal twenty minutes after the open.
QUICK = {
    "supertrend_period: 10": "supertrend_period: 2",
    "supertrend_multiplier: 3": "supertrend_multiplier: 1",
    "adx_period: 14": "adx_period: 2",
    "adx_min_primary: 18": "adx_min_primary: 5",
    "adx_min_confirmation: 20": "adx_min_confirmation: 5",
    "validation_mode: balanced": "validation_mode: aggressive",
    "window_steps: 5": "window_steps: 3",
    "steps_otm_max: 3": "steps_otm_max: 2",
}


def moment(hour: int, minute: int, second: int = 0) -> int:
    """A time of the tested day."""
    return at(DAY, time(hour, minute, second))


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def g6(*args: str) -> list[str]:
    """A command line of ours."""
    return [sys.executable, "-m", "g6_core.cli.main", *args]


def quick_config(shipped: Path, place: Path) -> Path:
    """A copy of the shipped configuration with a strategy in a hurry."""
    shutil.copytree(shipped, place)
    for path in (place / "g6.yaml", place / "strategies" / "supertrend_adx.yaml"):
        text = path.read_text()
        for old, new in QUICK.items():
            text = text.replace(old, new)
        path.write_text(text)
    return place


@dataclass
class Wire:
    """The exchange on `url`, the sidecar's control on `control_port`.

    The sidecar is a child of the test, and so is an exchange that is to be killed; others are served in a thread.
    """

    root: Path
    config_dir: Path
    seed: int
    participants: str = "sidecar,test"
    port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)
    children: list[subprocess.Popen[str]] = field(default_factory=list)
    exchanges: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> DataPaths:
        return DataPaths(self.root / "data")

    @property
    def environment(self) -> dict[str, str]:
        ours = {"G6_SIM_URL": self.url, "G6_CONTROL_PORT": str(self.control_port), "G6_CONTROL_TOKEN": TOKEN}
        return {name: value for name, value in os.environ.items() if not name.startswith(("G6_", "KITE_"))} | ours

    def start(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        """Start a process that knows where everything is."""
        child = subprocess.Popen(
            command,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.children.append(child)
        return child

    @property
    def exchange(self) -> subprocess.Popen[str]:
        """The newest exchange."""
        return self.exchanges[-1]

    def kill_exchange(self) -> None:
        """End the exchange with -9."""
        self.exchange.send_signal(signal.SIGKILL)
        self.exchange.wait(10)

    def serve(self, start: str = "", state: Path | None = None) -> str:
        """Start the exchange, wait until it listens, and return what it says."""
        options = [
            "--date",
            str(DAY),
            "--index",
            "NIFTY",
            "--seed",
            str(self.seed),
            "--port",
            str(self.port),
            "--lockstep",
        ]
        options += ["--participants", self.participants, "--config-dir", str(self.config_dir)]
        options += ["--start", start] if start else []
        child = self.start(g6("sim", "serve", *options, *(["--state", str(state)] if state else [])))
        self.exchanges.append(child)
        assert child.stdout is not None
        line = child.stdout.readline()
        assert self.url in line, line + child.stdout.read()
        return line

    def prepare(self) -> KiteConnect:
        """Make the day pack over the wire; returns the test's own client."""
        kite = open_kite(BrokerSettings(sim_url=self.url))
        site = open_site(self.paths.root, self.config_dir)
        prepare(kite, site, DAY, ("NIFTY",), source_label="modelled", seed=self.seed)
        return kite

    def sidecar(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start the sidecar."""
        where = ["--data-dir", str(self.paths.root), "--config-dir", str(self.config_dir)]
        return self.start(g6("stream", "run", *where, *options), **environment)

    def await_sidecar(self, name: str = "sidecar") -> None:
        """Return once the sidecar (or another) takes part in time; from then on time waits for it."""
        give_up_s = monotonic() + PATIENCE_S
        while monotonic() < give_up_s:
            known = self.told()["participants"]
            if any(one["name"] == name and one["done_until"] is not None for one in known):
                return
            sleep(0.05)
        raise AssertionError(f"the {name} did not come")

    def told(self) -> dict[str, Any]:
        """What the exchange says of itself."""
        with requests.Session() as session:
            session.trust_env = False
            found: dict[str, Any] = session.get(f"{self.url}/sim/status", timeout=10).json()
        return found

    def clock(self) -> SimClock:
        """The test as a participant: time goes where its `sleep_until` says."""
        return SimClock(self.url, "test")

    def get(self, path: str) -> requests.Response:
        """Ask the control port."""
        return self._call("GET", path, {})

    def post(self, path: str, token: str = TOKEN) -> requests.Response:
        """Order something through the control port."""
        return self._call("POST", path, {"Authorization": f"Bearer {token}"} if token else {})

    def _call(self, method: str, path: str, headers: dict[str, str]) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"http://127.0.0.1:{self.control_port}{path}", headers=headers, timeout=10)

    def fault(self, **fault: Any) -> None:
        """Order a fault of the exchange."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(f"{self.url}/sim/faults", json=[fault], timeout=10)
        assert answer.ok, answer.text

    def events(self) -> list[Event]:
        """Everything that the sidecar's journal says came in."""
        return [decode_event(one) for one in read_journal(self.paths.journal(DAY)) if one.kind < Kind.COMMAND]


@contextmanager
def wire(
    root: Path,
    config_dir: Path,
    seed: int,
    state: Path | None = None,
    *,
    config: Callable[[Path, Path], Path] = quick_config,
    participants: str = "sidecar,test",
    mortal: bool = False,
) -> Iterator[Wire]:
    """A served exchange, `mortal` in a process that can be killed; whatever still runs at the end is ended."""
    with ExitStack() as stack:
        found = Wire(root, config(config_dir, root / "config"), seed, participants)
        if mortal:
            stack.callback(_end, found.children)
            found.serve(state=state)
        else:
            source = ModelledSource(("NIFTY",), DAY, load_market_rules(found.config_dir), seed)
            names = tuple(found.participants.split(","))
            terms: dict[str, Any] = {"seed": seed, "participants": names, "config_dir": found.config_dir}
            found.port = stack.enter_context(serving_here(source, start=time(8, 45), **terms)).port
            stack.callback(_end, found.children)
        yield found


def said(child: subprocess.Popen[str]) -> str:
    """Everything a child wrote until its end, which must come soon."""
    text, _ = child.communicate(timeout=PATIENCE_S)
    return text


def _end(children: list[subprocess.Popen[str]]) -> None:
    for child in reversed(children):
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate(timeout=PATIENCE_S)
