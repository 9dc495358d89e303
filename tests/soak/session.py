"""The session run at length, over real sockets: prints figures as JSON, ends with 1 when a promise is broken.

python -m tests.soak.session day                       a whole day in lockstep, every index, code and offset
python -m tests.soak.session faults                    the same day with everything going wrong at its time
python -m tests.soak.session kill --count 50           `g6 collect` killed at random moments, started again each time
python -m tests.soak.session real --minutes 10         real time, two processes with one key, cycles every 15 s
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from g6_core.adapters.broker import open_kite, open_line, renew_login
from g6_core.adapters.clock import drive
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, fetch_instruments, instruments_from_kite
from g6_core.adapters.lake import read_lake
from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import Settings, load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_pipelines.session.run import session_hours
from g6_pipelines.stages.collect import CollectReport, CycleReport, collect
from tests.sim.server.kit import DAY, PROJECT, Server, serving

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
        stage = collect(
            *(line.kite, line.clock, settings, rules, paths, DAY, book, names, cycles.append),
            turns=line.quotes,
            until_ms=until_ms,
        )
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
        "coverage_pct": report.coverage_pct,
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
        session = rules.session(DAY, rules.index(name).option_exchange)
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


def whole_day(settings: Settings, rules: MarketRules, root: Path, faults: Sequence[Figures]) -> Figures:
    """A day in lockstep."""
    with serving("--lockstep", *indices_of(settings)) as server:
        server.order(*faults)
        began_s = time.monotonic()
        report, cycles = collected(server, settings, rules, DataPaths(root))
        took_s = round(time.monotonic() - began_s, 1)
        fired = server.status()["faults_fired"]
    return figures_of(report, cycles) | {
        "real_s": took_s,
        "problems": lake_problems(DataPaths(root), settings, rules),
        "faults_fired": fired,
    }


def day(settings: Settings, rules: MarketRules, root: Path, _: argparse.Namespace) -> Figures:
    figures = whole_day(settings, rules, root, ())
    good = figures["coverage_pct"] == 100.0 and not figures["calls_failed"] and not figures["cycles_over_the_bound"]
    return figures | {"good": good and not figures["problems"]}


def troubles(rules: MarketRules, settings: Settings) -> list[Figures]:
    """One of everything, spread over the day; times are counted from half an hour before the open."""
    hour, quote = 60 * MINUTE_MS, {"method": "GET", "path": "/quote"}
    return [
        {"kind": "http_429", "in_ms": hour, "for_ms": 5 * MINUTE_MS, **quote},
        {"kind": "http_5xx", "in_ms": 2 * hour, "for_ms": 90 * SECOND_MS, **quote},
        {"kind": "html_body", "in_ms": 2 * hour + 10 * MINUTE_MS, "count": 1, **quote},
        {"kind": "malformed_json", "in_ms": 2 * hour + 20 * MINUTE_MS, "count": 1, **quote},
        {"kind": "missing_keys", "in_ms": 3 * hour, "for_ms": 3 * MINUTE_MS, "keys": ["NSE:NIFTY 50"], **quote},
        {"kind": "missing_keys", "in_ms": 3 * hour + 10 * MINUTE_MS, "for_ms": MINUTE_MS, **quote},
        {"kind": "slow_ms", "in_ms": 4 * hour, "delay_ms": 7_500, "count": 2, **quote},
        {"kind": "token_expired", "in_ms": 5 * hour},
    ]


def faults(settings: Settings, rules: MarketRules, root: Path, _: argparse.Namespace) -> Figures:
    figures = whole_day(settings, rules, root, troubles(rules, settings))
    return figures | {"good": not figures["problems"] and figures["coverage_pct"] > 97}


def environment(server: Server, root: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("G6_", "KITE_"))}
    ours = {"G6_SIM_URL": server.url, "G6_DATA_DIR": str(root), "G6_METRICS_PORT": "0", "G6_CONFIG_DIR": "config"}
    return kept | ours | more


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


def kill(settings: Settings, rules: MarketRules, root: Path, options: argparse.Namespace) -> Figures:
    with serving("--speed", str(options.speed), "--start", options.start, *indices_of(settings)) as server:
        lives = killed(server, root, options.count, options.seed, options.longest_s)
        last = collector(server, root)
        said, complaints = last.communicate(timeout=3_600)
    problems = lake_problems(DataPaths(root), settings, rules)
    return {
        "killed": len(lives),
        "rc": last.returncode,
        "last": json.loads(said) if said else complaints,
        "problems": problems,
        "good": not problems and last.returncode == 0 and len(lives) == options.count,
    }


def real(settings: Settings, rules: MarketRules, root: Path, options: argparse.Namespace) -> Figures:
    """A collector and a client that quotes as often as it may, in real time with one key."""
    with serving("--start", "10:00", *indices_of(settings)) as server:
        # What was before ten o'clock is written first, so that it delays no cycle that is measured.
        first = collector(server, root, "--once", "--interval", "15")
        first.communicate()
        process = collector(server, root, "--interval", "15")
        kite, asked, refused = open_kite(server.settings), 0, []
        end_s = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end_s:
            time.sleep(0.9 if asked % 3 else 4.1)
            asked += 1
            try:
                kite.ltp("NSE:NIFTY 50")
            except Exception as error:  # noqa: BLE001 - a figure
                refused.append(str(error))
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=30)
    figures = json.loads(said)
    good = process.returncode == 0 and not figures["calls_failed"] and not refused
    return {
        "collector": figures,
        "other_calls": asked,
        "other_refused": refused,
        "good": good,
        "said": complaints[-300:],
    }


def main() -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["day", "faults", "kill", "real"])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=10)
    parser.add_argument("--start", default="14:40")
    parser.add_argument("--longest-s", type=float, default=12)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    settings, rules = load_settings(PROJECT / "config"), load_market_rules(PROJECT / "config")
    assert session_hours(settings, rules, DAY) is not None
    with TemporaryDirectory() as folder:
        figures = globals()[options.what](settings, rules, Path(folder), options)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
