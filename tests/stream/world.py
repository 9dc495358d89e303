"""A small world for tests of the trading session: a trending scripted market whose bought contract can be steered."""

import copy
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g6_core.adapters.kite.transport import connect
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import Alert
from g6_core.domain.ist import at
from g6_core.domain.market import ticks_of
from g6_core.engine.params import EngineParams
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.feed import SimFeed
from g6_core.sim.scripted import ScriptedSource
from g6_core.site import Site
from g6_pipelines.stages.prepare import prepare
from g6_stream.kept import TradeReport
from g6_stream.session import trade

DAY = date(2025, 8, 29)
SPOT = 24_500_00
Steering = Callable[[int], tuple[int, int]]


def quick(params: EngineParams) -> EngineParams:
    """The same rules with indicators short enough to signal after ten minutes, and few contracts to look at."""
    signal = replace(params.signal, supertrend_period=1, adx_period=1, adx_min_primary=10.0, adx_min_confirmation=10.0)
    return replace(params, signal=signal, strikes=replace(params.strikes, window_steps=2, steps_otm_max=1))


@dataclass
class SteeredSource:
    """A scripted source in which one contract's touch can be taken over from some moment on."""

    inner: ScriptedSource
    token: int = 0
    steering: Steering | None = None
    from_ms: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def quotes(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """The script's quotes, with the steered contract's prices replaced."""
        rows = self.inner.quotes(tokens, time_ms)
        if self.steering is not None and time_ms >= self.from_ms:
            for row in rows:
                if row["token"] != self.token:
                    continue
                bid, ask = self.steering(time_ms)
                for level in range(5):
                    row["bid_paise"][level] = max(bid - 5 * level, 5)
                    row["ask_paise"][level] = ask + 5 * level
                row["ltp_paise"] = bid
        return rows

    def ticks(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """What the feed makes of them."""
        return ticks_of(self.quotes(tokens, time_ms))


def trend(day: date, minutes: int, points_per_minute: int) -> list[tuple[int, int]]:
    """A spot path with ever the same drift from the open: (time_ms, paise) of its two ends."""
    start = at(day, time(9, 15))
    return [(start, SPOT), (start + minutes * 60_000, SPOT + minutes * points_per_minute * 100)]


class World:
    """One day of a scripted exchange with the trading session on it, advanced second by second."""

    def __init__(
        self,
        tmp_path: Path,
        rules: MarketRules,
        settings: Settings,
        *,
        points_per_minute: int = 3,
        change: Callable[[EngineParams], EngineParams] = lambda params: params,
    ) -> None:
        script = ScriptedSource.of("NIFTY", DAY, rules, spot_path=trend(DAY, 375, points_per_minute), linear=True)
        self.source = SteeredSource(script)
        self.rules = rules
        self.params = change(quick(settings.engine_params()))
        self.paths = DataPaths(tmp_path)
        self.clock = VirtualClock(self.source.session.open_ms - 600_000)
        self.exchange = Exchange(
            self.source,
            rules,
            self.clock,
            seed=1,
            cash_paise=settings.capital_paise,
            order_latency_ms=80,
            latency_jitter_ms=40,
        )
        self.kite = connect(self.exchange)
        prepare(self.kite, Site(settings, rules, self.paths), DAY, ("NIFTY",), source_label="scripted", seed=1)
        self.ledger = Ledger.open(self.paths.ledger)
        self.report: TradeReport | None = None
        self.alerts: list[Alert] = []
        self.run = self.start()

    def start(self) -> Generator[int, None, TradeReport]:
        """A (new) process: the session from what is on disk, with its own feed."""
        self.feed = SimFeed(self.exchange)
        known = (self.kite, self.feed, self.clock, self.params, self.rules, self.paths, self.ledger, DAY)
        return trade(*known, on_alert=self.alerts.append)

    def crash(self) -> None:
        """End the session as a dead process would leave it, except for what had not reached the disk."""
        self.run.close()

    def advance(self, until_ms: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Run until the time is reached (False) or `stop` says so (True)."""
        while self.clock.now_ms() < until_ms:
            try:
                self.clock.sleep_until(next(self.run))
            except StopIteration as done:
                self.report = done.value
                return False
            if stop():
                return True
        return False

    def enter(self) -> dict[str, Any]:
        """Run until a position is held; returns its row in Kite's shape."""
        assert self.advance(self.source.session.open_ms + 5_400_000, lambda: bool(self.positions())), "no entry came"
        row: dict[str, Any] = self.positions()[0]
        return row

    def positions(self) -> list[dict[str, Any]]:
        """Open positions as the broker has them."""
        return [row for row in self.exchange.positions()["net"] if row["quantity"]]

    def steer(self, row: dict[str, Any], path: Steering) -> None:
        """From now on this contract's touch follows `path(time_ms) -> (bid, ask)` in paise."""
        self.source.token = row["instrument_token"]
        self.source.steering = path
        self.source.from_ms = self.clock.now_ms()

    def photograph(self) -> "Photograph":
        """Everything outside the session's process as it is now."""
        shared = {id(one): one for one in (self.source, self.rules)}
        exchange = copy.deepcopy(self.exchange, shared)
        with closing(sqlite3.connect(self.paths.ledger)) as ledger:
            return Photograph(self, exchange, self.paths.journal(DAY).read_bytes(), "\n".join(ledger.iterdump()))


@dataclass(frozen=True)
class Photograph:
    """The exchange, the journal's bytes on disk and the ledger (as SQL) at the moment a process might have died."""

    world: World
    exchange: Exchange
    journal: bytes
    ledger: str

    def restart(self, root: Path) -> World:
        """Another world that goes on from here with a new process; the photograph can be used again."""
        world = copy.copy(self.world)
        shared = {id(one): one for one in (world.source, world.rules)}
        world.exchange = copy.deepcopy(self.exchange, shared)
        assert isinstance(world.exchange.clock, VirtualClock)
        world.clock = world.exchange.clock
        world.kite = connect(world.exchange)
        world.paths = DataPaths(root)
        pack, journal = world.paths.day_pack(DAY), world.paths.journal(DAY)
        for path in (pack, journal, world.paths.ledger):
            path.parent.mkdir(parents=True, exist_ok=True)
        pack.write_bytes(self.world.paths.day_pack(DAY).read_bytes())
        journal.write_bytes(self.journal)
        with closing(sqlite3.connect(world.paths.ledger)) as ledger:
            ledger.executescript(self.ledger)
        world.ledger = Ledger.open(world.paths.ledger)
        world.alerts = []
        world.run = world.start()
        return world
