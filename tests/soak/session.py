"""The session run at length, over real sockets: prints figures as JSON, ends with 1 when a promise is broken.

python -m tests.soak.session day                       a whole day in lockstep, every index, code and offset
python -m tests.soak.session faults                    the same day with everything going wrong at its time, repaired
python -m tests.soak.session kill --count 50           `g6 collect` killed at random moments, started again each time
python -m tests.soak.session services --count 50       Dagster's worker killed, code server and PostgreSQL once each
python -m tests.soak.session real --minutes 10         real time, two processes with one key, cycles every 15 s

`services` needs a PostgreSQL, `faults` an influxd and a redis-server on this machine.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from g6_core.adapters.broker import open_kite
from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import Settings, load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.schema.paths import DataPaths
from tests.sim.server.kit import DAY, PROJECT, serving
from tests.soak.faults import faulty_day
from tests.soak.kit import (
    Figures,
    accounts,
    collected,
    collector,
    figures_of,
    indices_of,
    killed,
    lake_problems,
    repair_problems,
    repaired,
    working_with,
)
from tests.soak.services import Campaign, campaign

# In real time a cycle begins every so many seconds.
INTERVAL_S = 15
LATE_MS_MAX = 100


def day(settings: Settings, rules: MarketRules, root: Path, _: argparse.Namespace) -> Figures:
    """Nothing goes wrong."""
    paths = DataPaths(root)
    with serving("--lockstep", *indices_of(settings)) as server:
        began_s = time.monotonic()
        report, cycles = collected(server, settings, rules, paths)
        took_s = round(time.monotonic() - began_s, 1)
    figures = figures_of(report, cycles) | {"real_s": took_s, "problems": lake_problems(paths, settings, rules)}
    closing = report.closing
    figures["closing"] = closing.line() if closing is not None else ""
    good = figures["coverage_pct"] == 100.0 and not figures["calls_failed"] and not figures["cycles_over_the_bound"]
    whole = closing is not None and 0 < closing.contracts == closing.quoted
    return figures | {"good": good and whole and not figures["problems"]}


def faults(settings: Settings, rules: MarketRules, root: Path, _: argparse.Namespace) -> Figures:
    """Everything goes wrong."""
    return faulty_day(settings, rules, root)


def kill(settings: Settings, rules: MarketRules, root: Path, options: argparse.Namespace) -> Figures:
    """A collector without Dagster."""
    paths = DataPaths(root)
    with serving("--speed", str(options.speed), "--start", options.start, *indices_of(settings)) as server:
        lives = killed(server, root, options.count, options.seed, options.longest_s)
        last = collector(server, root)
        said, complaints = last.communicate(timeout=3_600)
        problems = lake_problems(paths, settings, rules)
        with working_with(server, root):
            asked = repaired(settings, rules, paths)
    problems += repair_problems(settings, paths)
    account = accounts(settings, rules, paths)
    return {
        "killed": len(lives),
        "rc": last.returncode,
        "last": json.loads(said) if said else complaints,
        "repair": asked,
        "account": account,
        "problems": problems,
        "good": not problems and not account["unverified"] and last.returncode == 0 and len(lives) == options.count,
    }


def services(settings: Settings, rules: MarketRules, root: Path, options: argparse.Namespace) -> Figures:
    """A session that Dagster's services keep alive."""
    wanted = Campaign(options.count, options.seed, options.longest_s, options.speed, options.start)
    return campaign(settings, rules, root, PROJECT / "config", wanted)


def real(settings: Settings, rules: MarketRules, root: Path, options: argparse.Namespace) -> Figures:
    """A collector and a client that quotes as often as it may, in real time with one key."""
    with serving("--start", "10:00", *indices_of(settings)) as server:
        # What was before ten o'clock is written first, so that it delays no cycle that is measured.
        first = collector(server, root, "--once", "--interval", str(INTERVAL_S))
        first.communicate()
        # Who starts at the end of a cycle cannot fetch it any more: this one starts with a cycle before it.
        time.sleep(INTERVAL_S - server.status()["now_ms"] / 1_000 % INTERVAL_S)
        process = collector(server, root, "--interval", str(INTERVAL_S))
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
    whole = figures["live"] == figures["expected"] > 0 and not figures["keys_missing"]
    good = process.returncode == 0 and whole and not figures["calls_failed"] and not refused
    return {
        "collector": figures,
        "other_calls": asked,
        "other_refused": refused,
        "good": good and figures["late_ms_p99"] < LATE_MS_MAX,
        "said": complaints.splitlines(),
    }


def main() -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["day", "faults", "kill", "services", "real"])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=10)
    parser.add_argument("--start", default="", help="default: 14:40 (kill), 09:20 (services)")
    parser.add_argument("--longest-s", type=float, default=12)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    options.start = options.start or {"kill": "14:40"}.get(options.what, "09:20")
    settings, rules = load_settings(PROJECT / "config"), load_market_rules(PROJECT / "config")
    rules.require_trading_day(DAY)
    with TemporaryDirectory() as folder:
        figures = globals()[options.what](settings, rules, Path(folder), options)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
