"""The evening of a collected day: what was kept of it, and the broker after its close behind the real client."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any

import polars as pl
import requests
from requests.adapters import BaseAdapter

from g6_core.adapters.kite.transport import KITE_ROOT, SimTransport, connect
from g6_core.adapters.kite_market import Market
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.source import MarketSource
from g6_core.site import Day, Site
from g6_pipelines.collection.accounting import DayAccount
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.candles import Asked
from g6_pipelines.stages.collect import collect
from g6_pipelines.stages.prepare import store_dump
from g6_pipelines.stages.repair import repair
from tests.pipelines.collecting import refusal

DAY = date(2025, 8, 29)
NAME = "NIFTY"
DOWN_FROM, DOWN_UNTIL = at(DAY, time(10, 0)), at(DAY, time(10, 50))
ORIGIN = "modelled 7"

Fault = Callable[[requests.PreparedRequest, int], requests.Response | None]


def too_many(request: requests.PreparedRequest, number: int) -> requests.Response:
    """A fault: the broker wants fewer calls."""
    return refusal(request, 429, "NetworkException", "Too many requests")


def no_history(request: requests.PreparedRequest) -> requests.Response:
    """What a broker answers whose history is away: that nothing was traded."""
    answer = refusal(request, 200, "", "")
    answer._content = b'{"status":"success","data":{"candles":[]}}'
    return answer


@dataclass
class Wire(BaseAdapter):
    """The simulated transport with something in the way of historical calls; notes when each was made."""

    inner: SimTransport
    clock: VirtualClock
    fault: Fault = lambda request, number: None
    times_ms: list[int] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if "/historical/" in str(request.url):
            self.times_ms.append(self.clock.now_ms())
            answer = self.fault(request, len(self.times_ms) - 1)
            if answer is not None:
                return answer
        return self.inner.send(request)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Evening:
    """A collected day with holes, and the broker after its close."""

    paths: DataPaths
    settings: Settings
    rules: MarketRules
    source: MarketSource
    clock: VirtualClock
    wire: Wire
    kite: Any

    @property
    def site(self) -> Site:
        return Site(self.settings, self.rules, self.paths)

    @property
    def index_day(self) -> Day:
        return Day(self.site, self.source.trade_date, NAME)

    def account(self) -> DayAccount:
        return account_day(self.index_day).day

    def stage(self, listed: InstrumentBook | None = None) -> Generator[int, None, Asked]:
        book = self.source.instruments if listed is None else listed
        return repair(Market(self.kite, self.clock), [self.index_day], book, ORIGIN)

    def repair(self, listed: InstrumentBook | None = None, *, dies_after: int | None = None) -> Asked | None:
        """Run the stage; None when it was killed before its call of that number."""
        stage = self.stage(listed)
        while True:
            try:
                wake_ms = next(stage)
            except StopIteration as end:
                asked: Asked = end.value
                return asked
            if dies_after is not None and len(self.wire.times_ms) >= dies_after:
                stage.close()
                return None
            self.clock.sleep_until(wake_ms)

    def repaired(self) -> pl.DataFrame:
        return pl.read_parquet(self.paths.repaired(self.source.trade_date, NAME))


def evening(source: MarketSource, rules: MarketRules, settings: Settings, root: Path) -> Evening:
    """The broker of a day, before its open, with a client whose historical calls are seen."""
    clock = VirtualClock(source.session.open_ms - MINUTE_MS)
    exchange = Exchange(source, rules, clock, seed=7, cash_paise=300_000_00, order_latency_ms=80, latency_jitter_ms=40)
    kite, wire = connect(exchange), Wire(SimTransport(exchange), clock)
    kite.reqsession.mount(KITE_ROOT, wire)
    return Evening(DataPaths(root), settings, rules, source, clock, wire, kite)


def live_through(found: Evening, *, down: tuple[int, int] | None = None) -> None:
    """Collect the day; the collector is dead from the first moment of `down` to the second."""
    store_dump(found.kite, found.site, found.source.trade_date, (NAME,))
    market = Market(found.kite, found.clock, spot_kind=getattr(found.source, "spot_kind", "index"))
    for until in (*(down[:1] if down else ()), None):
        stage = collect(market, found.site, found.source.trade_date, found.source.instruments, (NAME,))
        for wake_ms in stage:
            if until is not None and wake_ms >= until:
                stage.close()
                break
            found.clock.sleep_until(wake_ms)
        if until is not None and down is not None:
            found.clock.sleep_until(down[1])
    found.clock.sleep_until(found.source.session.close_ms)


def holed_day(market: MarketSource, rules: MarketRules, settings: Settings, root: Path) -> Path:
    """Data of a day whose collector was dead from `DOWN_FROM` to `DOWN_UNTIL`."""
    live_through(evening(market, rules, settings, root), down=(DOWN_FROM, DOWN_UNTIL))
    return root


def after_close(market: MarketSource, rules: MarketRules, settings: Settings, collected: Path, root: Path) -> Evening:
    """A copy of a collected day, after its close."""
    found = evening(market, rules, settings, root)
    for path in collected.rglob("*"):
        if path.is_file() and "lock" not in path.name:
            target = root / path.relative_to(collected)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    found.clock.sleep_until(market.session.close_ms)
    return found
