"""What soaks are made of: a collector over the wire, the repair after its day, and what both are judged by."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl

from g6_core.adapters.broker import open_line, renew_login
from g6_core.adapters.clock import drive
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, Market, fetch_instruments, instruments_from_kite
from g6_core.adapters.lake import read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.places import find_place, open_market
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.collect import CollectReport, CycleReport, collect
from g6_pipelines.stages.prepare import stored_dump
from g6_pipelines.stages.repair import repair
from tests.sim.server.kit import DAY, PROJECT, Server

Figures = dict[str, Any]
DUMP = ("NFO", "BFO", "NSE", "BSE")


def indices_of(settings: Settings) -> list[str]:
    return [word for name in settings.indices for word in ("--index", name)]


def collected(
    server: Server, settings: Settings, rules: MarketRules, paths: DataPaths, until_ms: int | None = None
) -> tuple[CollectReport, list[CycleReport]]:
    """One collector over the wire, as the only participant of lockstep time."""
    cycles: list[CycleReport] = []
    names = list(settings.indices)
    line = open_line(server.settings, "collector")
    renew_login(line.kite, server.settings, lambda _: None)
    with closing(line.clock):
        rows = [row for exchange in DUMP for row in fetch_instruments(line.kite, exchange)]
        book = instruments_from_kite(rows, rules, names)
        market, site = Market(line.kite, line.clock, line.quotes), Site(settings, rules, paths)
        stage = collect(market, site, DAY, book, names, cycles.append, until_ms=until_ms)
        return drive(line.clock, stage), cycles


def figures_of(report: CollectReport, cycles: Sequence[CycleReport]) -> Figures:
    """What a collection is judged by. The bound is 1.2 s for every 500 contracts of the cycle."""
    expected = max(cycle.expected for cycle in cycles)
    bound_ms = 1_200 * -(-expected // QUOTE_KEYS_MAX)
    took = [cycle.ended_ms - cycle.started_ms for cycle in cycles]
    drifts = [cycle.started_ms - cycle.time_ms for cycle in cycles]
    return {
        "cycles": len(cycles),
        "contracts": expected,
        "calls": report.calls,
        "calls_failed": sum(cycle.calls_failed for cycle in cycles),
        "keys_missing": report.keys_missing,
        "coverage_pct": report.coverage.pct,
        "cycle_ms_max": max(took),
        "cycle_ms_bound": bound_ms,
        "cycles_over_the_bound": sum(one > bound_ms for one in took),
        "late_ms_p99": float(np.percentile(drifts, 99)),
        "late_ms_max": max(drifts),
        "reasons": report.reasons,
    }


def lake_problems(paths: DataPaths, settings: Settings, rules: MarketRules, until_ms: int | None = None) -> list[str]:
    """Every cycle of the session (before `until_ms`) exactly once and whole, in lake and CSV; else what is wrong."""
    problems = []
    interval_ms = settings.collection.interval_s * SECOND_MS
    for name, index in settings.indices.items():
        session = rules.index_session(name, DAY)
        wanted = list(range(session.open_ms, until_ms or session.close_ms, interval_ms))
        lake = read_lake(paths.lake(DAY, name), ["timestamp", "expiry_code", "offset"])
        rows = len(index.expiry_codes) * len(index.offsets)
        if lake["timestamp"].dt.timestamp("ms").unique(maintain_order=True).to_list() != wanted:
            problems.append(f"{name}: the cycles of the lake are not those of the session, in order")
        if len(lake) != len(wanted) * rows or lake.is_duplicated().any():
            problems.append(f"{name}: {len(lake)} rows in the lake, {len(wanted) * rows} wanted, each once")
        for code in index.expiry_codes:
            for path in [paths.csv_options(name, code, at, DAY) for at in index.offsets]:
                lines = path.read_text().splitlines()
                if len(lines) != len(wanted) + 1 or len(set(lines)) != len(lines):
                    problems.append(f"{path.name} of {name} {code}: {len(lines) - 1} lines, {len(wanted)} wanted")
    return problems


def environment(server: Server, root: Path, **more: str) -> dict[str, str]:
    """The environment of a process that works with this exchange in this data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("G6_", "KITE_"))}
    ours = {"G6_SIM_URL": server.url, "G6_DATA_DIR": str(root), "G6_METRICS_PORT": "0", "G6_CONFIG_DIR": "config"}
    return kept | ours | more


@contextmanager
def working_with(server: Server, root: Path, **more: str) -> Iterator[None]:
    """That environment for this process."""
    with patch.dict(os.environ, environment(server, root, **more), clear=True):
        yield


def collector(server: Server, root: Path, *options: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "g6_core.cli.main", "collect", "--json", *options]
    return subprocess.Popen(
        command, cwd=PROJECT, env=environment(server, root, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def killed(server: Server, root: Path, count: int, seed: int, longest_s: float, **more: str) -> list[float]:
    """Kill a collector `count` times, each time after another while; returns how long each one lived (s)."""
    dice = random.Random(seed)
    lives = []
    for _ in range(count):
        process = collector(server, root, **more)
        lives.append(dice.uniform(0.2, longest_s))
        try:
            process.wait(lives[-1])
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    return lives


def repaired(settings: Settings, rules: MarketRules, paths: DataPaths) -> Figures:
    """One repair of every index, as the evening does it over the wire: how the asking went, how the day stands."""
    site = Site(settings, rules, paths)
    place = find_place(site, DAY)
    origin = f"{place.label} {place.seed}"
    reasons: Counter[str] = Counter()
    calls = answered = 0
    with open_market(site, place) as market:
        for name in settings.indices:
            book = stored_dump(site, DAY, (name,)).book
            asked = drive(market.clock, repair(market, [Day(site, DAY, name)], book, origin))
            calls, answered = calls + asked.calls, answered + asked.answered
            # One reason of each kind is enough: they name contracts.
            reasons.update({f"{name}: {why.partition(': ')[2] or why}": n for why, n in asked.reasons.items()})
    return {"calls": calls, "answered": answered, "reasons": dict(reasons)}


def accounts(settings: Settings, rules: MarketRules, paths: DataPaths) -> Figures:
    """How every expected contract-minute of the day ended, and of each index in words."""
    site = Site(settings, rules, paths)
    days = [account_day(Day(site, DAY, name)).day for name in site.indices]
    counted = {what: sum(one.counts()[what] for one in days) for what in days[0].counts()}
    return counted | {"answers": [one.line() for one in days]}


def repair_problems(settings: Settings, paths: DataPaths) -> list[str]:
    """A minute that is repaired is there once, and not live in the lake as well; else what is wrong."""
    problems = []
    for name in settings.indices:
        filled = pl.read_parquet(paths.repaired(DAY, name)).with_columns(minute=pl.col("timestamp"))
        key = ("minute", "expiry", "strike", "side")
        if filled.select(key).is_duplicated().any():
            problems.append(f"{name}: a minute is repaired twice")
        lake = read_lake(paths.lake(DAY, name))
        for side, column in (("CE", "call_status"), ("PE", "put_status")):
            live = lake.filter(pl.col(column) == "live").select(
                pl.col("timestamp").dt.truncate("1m").alias("minute"), "expiry", "strike", pl.lit(side).alias("side")
            )
            both = filled.join(live, on=key, how="semi")
            if not both.is_empty():
                problems.append(f"{name}: {both.height} minutes of {side} are live and repaired")
    return problems
