"""A whole day in lockstep in which everything goes wrong at its time, and its repair.

The broker refuses, fails, answers nonsense, leaves keys out, is slow and forgets the login; a real influxd and a real
redis-server are killed in the middle and started again later; in the evening the broker's history fails as well.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import redis

from g6_core.adapters.influx import TOKEN_VARIABLE, InfluxTarget
from g6_core.adapters.last_quotes import PREFIX
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.places import find_place
from g6_pipelines.session.run import run_session, session_lease
from g6_pipelines.stages.collect import CycleReport
from g6_pipelines.stages.reconcile_influx import reconcile_influx
from tests.servers import (
    PASSWORD,
    USER,
    InfluxBox,
    InfluxDaemon,
    InfluxProxy,
    Redis,
    ask_influx,
    influx_daemon,
    serving_redis,
)
from tests.sim.server.kit import DAY, Server, serving
from tests.soak.kit import (
    Figures,
    accounts,
    figures_of,
    indices_of,
    lake_problems,
    repair_problems,
    repaired,
    working_with,
)

HOUR, QUOTE, HISTORY = 60 * MINUTE_MS, {"method": "GET", "path": "/quote"}, {"path": "/instruments/historical"}
TOKEN = f"{USER}:{PASSWORD}"
# Minutes after the open.
INFLUX_AWAY, REDIS_AWAY = (130, 190), (200, 230)


def troubles() -> list[Figures]:
    """One of everything of the broker, spread over the day; times are counted from half an hour before the open."""
    return [
        {"kind": "http_429", "in_ms": HOUR, "for_ms": 5 * MINUTE_MS, **QUOTE},
        {"kind": "http_5xx", "in_ms": 2 * HOUR, "for_ms": 90 * SECOND_MS, **QUOTE},
        {"kind": "html_body", "in_ms": 2 * HOUR + 10 * MINUTE_MS, "count": 1, **QUOTE},
        {"kind": "malformed_json", "in_ms": 2 * HOUR + 20 * MINUTE_MS, "count": 1, **QUOTE},
        {"kind": "missing_keys", "in_ms": 3 * HOUR, "for_ms": 3 * MINUTE_MS, "keys": ["NSE:NIFTY 50"], **QUOTE},
        {"kind": "missing_keys", "in_ms": 3 * HOUR + 10 * MINUTE_MS, "for_ms": MINUTE_MS, **QUOTE},
        {"kind": "slow_ms", "in_ms": 4 * HOUR, "delay_ms": 7_500, "count": 2, **QUOTE},
        {"kind": "token_expired", "in_ms": 5 * HOUR},
    ]


# Enough for the repair to give up, then single ones that it lives with.
EVENING: list[Figures] = [
    {"kind": "http_5xx", "count": 33, **HISTORY},
    {"kind": "http_429", "in_ms": 60 * SECOND_MS, "count": 2, **HISTORY},
    {"kind": "html_body", "in_ms": 70 * SECOND_MS, "count": 1, **HISTORY},
]


@dataclass
class Chaos:
    """Kills the stores and starts them again, each at its time; notes what the session says meanwhile."""

    open_ms: int
    deeds: list[tuple[int, Callable[[], None]]]
    cycles: list[CycleReport] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def heard(self, cycle: CycleReport) -> None:
        self.cycles.append(cycle)
        self.said += cycle.said
        while self.deeds and cycle.time_ms >= self.open_ms + self.deeds[0][0] * MINUTE_MS:
            self.deeds.pop(0)[1]()


def with_stores(settings: Settings, influx: InfluxBox, redis_url: str) -> Settings:
    found = influx.settings(settings)
    wanted = found.file.redis.model_copy(update={"url": redis_url})
    return replace(found, file=found.file.model_copy(update={"redis": wanted}))


def faulty_day(settings: Settings, rules: MarketRules, root: Path) -> Figures:
    """The day, its repair (which gives up once) and its comparison; `good` says whether every promise held."""
    for folder in ("influxd", "redis", "data"):
        (root / folder).mkdir(parents=True)
    with (
        influx_daemon(root / "influxd") as influxd,
        serving_redis(root / "redis") as store,
        serving("--lockstep", *indices_of(settings)) as server,
        working_with(server, root / "data", G6_LIMITS_DIR=str(root / "limits"), **{TOKEN_VARIABLE: TOKEN}),
    ):
        ask_influx(influxd.port, "CREATE DATABASE soak")
        proxy = InfluxProxy(influxd.port)
        proxy.start()
        try:
            box = InfluxBox(proxy, InfluxTarget(proxy.url, "g6", "soak", TOKEN))
            return _lived(
                with_stores(settings, box, store.url), rules, DataPaths(root / "data"), server, influxd, store
            )
        finally:
            proxy.stop()


def _lived(
    settings: Settings, rules: MarketRules, paths: DataPaths, server: Server, influxd: InfluxDaemon, store: Redis
) -> Figures:
    began_s = time.monotonic()
    site = Site(settings, rules, paths)
    place, names = find_place(site, DAY), site.indices
    open_ms = rules.joint_session(names, DAY).open_ms
    deeds = zip((*INFLUX_AWAY, *REDIS_AWAY), (influxd.kill, influxd.start, store.kill, store.start), strict=True)
    chaos = Chaos(open_ms, list(deeds))
    server.order(*troubles())
    with session_lease(paths, DAY) as taken:
        assert not taken, taken
        report = run_session(site, place, names, chaos.heard, chaos.said.append)
    fired, session_s = server.status()["faults_fired"], time.monotonic() - began_s
    server.order(*EVENING)
    repairs = [repaired(settings, rules, paths)]
    repairs += [repaired(settings, rules, paths) for _ in range(2)]
    last = {name: paths.repaired(DAY, name).read_bytes() for name in names}
    again = repaired(settings, rules, paths)
    copies = {name: reconcile_influx(Day(site, DAY, name)) for name in names}
    with redis.Redis.from_url(store.url) as reader:
        held = {name: reader.hlen(PREFIX + name) for name in names}
    figures = figures_of(report, chaos.cycles) | {
        "session_s": round(session_s, 1),
        "repair_s": round(time.monotonic() - began_s - session_s, 1),
        "faults_fired": {**fired, "in the evening": server.status()["faults_fired"]},
        "said": chaos.said,
        "closing": report.closing.line() if report.closing is not None else "",
        "repairs": repairs,
        "account": accounts(settings, rules, paths),
        "influx": {name: [f"{one.name}: {one.detail}" for one in checks] for name, checks in copies.items()},
        "redis_contracts": held,
    }
    problems = lake_problems(paths, settings, rules) + repair_problems(settings, paths)
    problems += [f"{one.name}: {one.detail}" for checks in copies.values() for one in failed(checks)]
    if again["calls"] or last != {name: paths.repaired(DAY, name).read_bytes() for name in names}:
        problems.append(f"asked once more, the repair asks or changes something: {again}")
    if figures["account"]["unverified"]:
        problems.append("minutes are unverified after the repair")
    if chaos.deeds or not all(held.values()):
        problems.append("a store was not killed and started, or Redis does not hold the last quotes")
    return figures | {"problems": problems, "good": not problems}
