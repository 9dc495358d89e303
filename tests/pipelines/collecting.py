"""A small collection world: a simulated exchange behind the real client, its collector, and faults on the way."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from pathlib import Path
from typing import Any

import requests
from kiteconnect import KiteConnect
from requests.adapters import BaseAdapter

from g6_core.adapters.kite.transport import KITE_ROOT, SimTransport, connect
from g6_core.adapters.kite_market import Market, Turns
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import at
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.scripted import ScriptedSource
from g6_core.sim.source import MarketSource
from g6_core.site import Day, Site
from g6_pipelines.stages.collect import CollectReport, CycleReport, collect

DAY = date(2025, 8, 29)
EXPIRY = date(2025, 9, 2)
OPEN = at(DAY, time(9, 15))
CLOSE = at(DAY, time(15, 30))

Fault = Callable[[requests.PreparedRequest, int], requests.Response | None]
"""Called with each quote request and its number (from 0); an answer replaces the exchange's."""


class FaultyTransport(BaseAdapter):
    """The simulated transport with something in the way of quote calls; counts them and notes their times."""

    def __init__(self, exchange: Exchange, clock: VirtualClock, fault: Fault) -> None:
        super().__init__()
        self._inner, self._clock, self._fault = SimTransport(exchange), clock, fault
        self.times_ms: list[int] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if "/quote" in str(request.url):
            self.times_ms.append(self._clock.now_ms())
            answer = self._fault(request, len(self.times_ms) - 1)
            if answer is not None:
                return answer
        return self._inner.send(request)

    def close(self) -> None:
        """Nothing is held open."""


def refusal(request: requests.PreparedRequest, status: int, error_type: str, message: str) -> requests.Response:
    """An error body as Kite writes it."""
    response = requests.Response()
    response.status_code = status
    response.headers["Content-Type"] = "application/json"
    body = f'{{"status":"error","message":"{message}","error_type":"{error_type}","data":null}}'
    response._content = body.encode()
    response.request = request
    return response


def no_fault(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    return None


@dataclass
class Collecting:
    """One day of collecting; `run` may be called again, as after a restart."""

    rules: MarketRules
    settings: Settings
    source: MarketSource
    paths: DataPaths
    clock: VirtualClock
    kite: KiteConnect
    transport: FaultyTransport
    index_kind: str = "index"
    cycles: list[CycleReport] = field(default_factory=list)
    turns: Turns | None = None

    @property
    def site(self) -> Site:
        return Site(self.settings, self.rules, self.paths)

    @property
    def index_day(self) -> Day:
        return Day(self.site, self.source.trade_date, self.source.underlyings[0])

    @property
    def book(self) -> InstrumentBook:
        return self.source.instruments

    def stage(self, once: bool = False) -> Generator[int, None, CollectReport]:
        market = Market(self.kite, self.clock, self.turns, None, self.index_kind, getattr(self.source, "final_ms", 0))
        names = self.source.underlyings
        return collect(market, self.site, self.source.trade_date, self.book, names, self.cycles.append, once=once)

    def run(self, until_ms: int | None = None, once: bool = False) -> CollectReport | None:
        """Drive the stage as the day does; None when it was stopped at `until_ms`, as by a crash."""
        stage = self.stage(once)
        while True:
            try:
                wake_ms = next(stage)
            except StopIteration as end:
                report: CollectReport = end.value
                return report
            if until_ms is not None and wake_ms >= until_ms:
                stage.close()
                return None
            self.clock.sleep_until(wake_ms)

    def finish(self) -> CollectReport:
        report = self.run()
        assert report is not None
        return report

    def csv(self, code: str = "this_week", offset: int = 0, underlying: str = "NIFTY") -> list[dict[str, str]]:
        """Rows of an options file by column."""
        return read_csv(self.paths.csv_options(underlying, code, offset, self.source.trade_date))

    def overview(self, code: str = "this_week") -> list[dict[str, str]]:
        return read_csv(self.paths.csv_overview("NIFTY", code, self.source.trade_date))


def read_csv(path: Path) -> list[dict[str, str]]:
    header, *lines = path.read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def narrowed(
    settings: Settings,
    *,
    codes: Sequence[str] = ("this_week", "next_week"),
    offsets: tuple[int, int] = (-2, 2),
    interval_s: int = 900,
) -> Settings:
    """The shipped settings with a smaller universe and fewer cycles, so that a day takes little time."""
    indices = {
        name: index.model_copy(
            update={
                "expiry_codes": tuple(codes),
                "offset_range": index.offset_range.model_copy(update={"min": offsets[0], "max": offsets[1]}),
            }
        )
        for name, index in settings.indices.items()
    }
    collection = settings.collection.model_copy(update={"interval_s": interval_s})
    return replace(settings, file=settings.file.model_copy(update={"indices": indices, "collection": collection}))


def collecting(
    rules: MarketRules,
    settings: Settings,
    root: Path,
    source: MarketSource | None = None,
    *,
    fault: Fault = no_fault,
    start_ms: int = OPEN - 60_000,
    spot_path: Sequence[tuple[int, int]] = ((OPEN, 24_512_35),),
    silences: Sequence[tuple[int, int]] = (),
    index_kind: str = "index",
) -> Collecting:
    """A world over `source`, or over a scripted NIFTY session."""
    world = source or ScriptedSource.of("NIFTY", DAY, rules, spot_path=spot_path, silences=silences)
    clock = VirtualClock(start_ms)
    exchange = Exchange(world, rules, clock, seed=0, cash_paise=300_000_00, order_latency_ms=80, latency_jitter_ms=40)
    kite = connect(exchange)
    transport = FaultyTransport(exchange, clock, fault)
    kite.reqsession.mount(KITE_ROOT, transport)
    return Collecting(rules, settings, world, DataPaths(root), clock, kite, transport, index_kind)
