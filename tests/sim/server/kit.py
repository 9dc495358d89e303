"""Serves an exchange to tests, in a process of its own as users do or in a thread of the test's, and talks to it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import Any

import requests
from kiteconnect import KiteConnect

from g6_core.adapters.broker import BrokerSettings
from g6_core.adapters.clock import SimClock
from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import load_settings
from g6_core.domain.ist import at
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.server.serve import Serving, serve
from g6_core.sim.source import MarketSource

PROJECT = Path(__file__).resolve().parents[3]
DAY = date(2026, 11, 18)
INDEX_TOKEN = 256265
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where an exchange answers."""

    url: str

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return int(self.url.rpartition(":")[2])

    @property
    def settings(self) -> BrokerSettings:
        """What a client's environment would say."""
        return BrokerSettings(sim_url=self.url)

    def status(self) -> dict[str, Any]:
        """What the exchange says of itself."""
        return dict(self.call("GET", "/sim/status").json())

    def order(self, *faults: dict[str, Any]) -> None:
        """Order faults."""
        assert self.call("POST", "/sim/faults", json=list(faults)).status_code == 200

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """A plain HTTP request."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, timeout=PATIENCE_S, allow_redirects=False, **more)


@dataclass(frozen=True, slots=True)
class Server(Address):
    """An exchange in a process of its own."""

    process: subprocess.Popen[str]


def command(*options: str) -> list[str]:
    """The command line of a server of the day of these tests, of NIFTY alone where no index is named."""
    if not {"--index", "--source", "--config-dir"} & set(options):
        options = ("--index", "NIFTY", *options)
    fixed = ["--date", str(DAY), "--seed", "7", "--config-dir", str(PROJECT / "config")]
    return [sys.executable, "-W", "error", "-m", "g6_core.cli.main", "sim", "serve", *fixed, *options]


@contextmanager
def serving(*options: str, port: int = 0) -> Iterator[Server]:
    """A server that must end clean."""
    process = subprocess.Popen(
        command("--port", str(port), *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        line = process.stdout.readline()
        assert " at http" in line, process.stderr.read()
        yield Server(line.split()[-1], process)
        if process.poll() is None:
            process.terminate()
        _, complaints = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, complaints) == (0, ""), complaints
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@contextmanager
def serving_here(
    source: MarketSource | None = None,
    *,
    start: time = time(10),
    speed: float | None = None,
    port: int = 0,
    seed: int = 7,
    participants: tuple[str, ...] = (),
    config_dir: Path = PROJECT / "config",
) -> Iterator[Address]:
    """The same server without a process of its own: its sockets are real, and it costs no start. In lockstep without a
    `speed`; of the day and the index of `command` without a `source`."""
    settings, rules = load_settings(config_dir), load_market_rules(config_dir)
    market = source or ModelledSource(("NIFTY",), DAY, rules, seed)
    clock = VirtualClock(at(market.trade_date, start))
    exchange = Exchange(
        market,
        rules,
        clock,
        seed=seed,
        cash_paise=settings.capital_paise,
        order_latency_ms=settings.simulation.order_latency_ms,
        latency_jitter_ms=settings.simulation.latency_jitter_ms,
    )
    terms = Serving(port, speed, participants, "http://127.0.0.1:8766/", monotonic)
    ready: SimpleQueue[str] = SimpleQueue()
    thread = Thread(target=serve, args=(exchange, clock, terms, ready.put))
    thread.start()
    server = Address(ready.get(timeout=PATIENCE_S))
    try:
        yield server
    finally:
        with suppress(requests.ConnectionError):  # a test may have ended it
            server.call("POST", "/sim/stop")
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "it does not end"


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something another process does; real time only bounds it."""
    give_up_s = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < give_up_s, f"waited in vain until {what}"
        sleep(0.01)


@dataclass(slots=True)
class Desk:
    """A client of a lockstep server that is also its only participant: time moves when it waits."""

    server: Address
    clock: SimClock
    kite: KiteConnect
    contract: dict[str, Any]

    @property
    def key(self) -> str:
        """The contract in a quote call."""
        return f"NFO:{self.contract['tradingsymbol']}"

    @property
    def token(self) -> int:
        """The contract's token."""
        return int(self.contract["instrument_token"])

    @property
    def lot(self) -> int:
        """Units of a lot."""
        return int(self.contract["lot_size"])

    def wait(self, duration_ms: int = 1_000) -> None:
        """Let virtual time pass."""
        self.clock.sleep_until(self.clock.now_ms() + duration_ms)

    def quote(self) -> dict[str, Any]:
        """The contract's quote, in a second of its own."""
        self.wait()
        quoted = dict(self.kite.quote(self.key)[self.key])
        self.wait()
        return quoted

    def place(self, quantity: int, price: float, side: str = "BUY") -> str:
        """A limit order in the contract."""
        symbol = self.contract["tradingsymbol"]
        placed = self.kite.place_order("regular", "NFO", symbol, side, quantity, "MIS", "LIMIT", price=price)
        return str(placed)

    def statuses(self, order_id: str) -> list[str]:
        """Statuses of an order's history."""
        return [row["status"] for row in self.kite.order_history(order_id)]


def money_contract(kite: KiteConnect) -> dict[str, Any]:
    """The nearest call at the money, as the dump has it."""
    spot = kite.ltp("NSE:NIFTY 50")["NSE:NIFTY 50"]["last_price"]
    rows = [row for row in kite.instruments("NFO") if row["instrument_type"] == "CE"]
    nearest = min(row["expiry"] for row in rows)
    return min((row for row in rows if row["expiry"] == nearest), key=lambda row: abs(row["strike"] - spot))


def ticks(price: float) -> float:
    """A price on the tick of 5 paise."""
    return round(round(price * 20) / 20, 2)


def on(day: date, clock: str) -> str:
    """A moment as Kite's historical call takes it."""
    return f"{day} {clock}"


def yesterday() -> date:
    """The day before the served one."""
    return DAY - timedelta(days=1)


def frame(**content: Any) -> str:
    """A request of a ticker client."""
    return json.dumps(content)
