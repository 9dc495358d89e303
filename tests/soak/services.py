"""A campaign against Dagster's services: its worker killed again and again, code server and PostgreSQL once each.

Whatever dies, the supervisor has another run collect, and after the repair every minute is accounted for.
"""

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import Phase
from g6_pipelines.session.known import read_heartbeat
from tests.pipelines.dagster.services import Services, installed
from tests.postgres import Postgres, serving_postgres
from tests.sim.server.kit import serving
from tests.soak.kit import Figures, accounts, indices_of, lake_problems, repair_problems, repaired, working_with

# Collecting again, after the services are back. It is waited for longer, to be able to say how long it took.
PROMISED_S = 30.0
PATIENCE_S = 180.0
FIRST_S, DAY_S = 180.0, 5_400.0
WORKER, CODE, DATABASE = "worker", "worker and code server", "worker and database"


@dataclass(frozen=True, slots=True)
class Campaign:
    """How often, by which dice, after how long at most (s), and how the exchange's time flows."""

    count: int
    seed: int
    longest_s: float
    speed: float
    start: str


def campaign(settings: Settings, rules: MarketRules, root: Path, config: Path, wanted: Campaign) -> Figures:
    """The kills, the rest of the day and its repair; `good` says whether every promise held."""
    dice = random.Random(wanted.seed)
    victims = [CODE, DATABASE] + [WORKER] * (wanted.count - 2)
    dice.shuffle(victims)
    folder = root / "installed"
    folder.mkdir()
    took: dict[str, list[float]] = {WORKER: [], CODE: [], DATABASE: []}
    limits = str(root / "limits")
    with (
        serving_postgres() as database,
        serving("--speed", str(wanted.speed), "--start", wanted.start, *indices_of(settings)) as server,
        installed(
            server, config, folder, G6_POSTGRES_URL=database.new_database(), G6_LIMITS_DIR=limits
        ) as (services, paths),
    ):  # fmt: skip
        pid = services.await_session(paths, 0, FIRST_S)
        for victim in victims:
            time.sleep(dice.uniform(0.2, wanted.longest_s))
            if is_finished(paths):
                break
            _kill(victim, services, database, pid, dice)
            began_s = time.monotonic()
            pid = services.await_session(paths, pid, PATIENCE_S)
            took[victim].append(time.monotonic() - began_s)
        services.wait_until(lambda: is_finished(paths), DAY_S, "the day is over")
        problems = lake_problems(paths, settings, rules)
        with working_with(server, paths.root, G6_LIMITS_DIR=limits, G6_CONFIG_DIR=str(config)):
            asked = repaired(settings, rules, paths)
    problems += repair_problems(settings, paths)
    account = accounts(settings, rules, paths)
    every = [one for times in took.values() for one in times]
    deaths = {victim: len(times) for victim, times in took.items()}
    late = sum(one > PROMISED_S for one in every)
    good = (
        not problems and not account["unverified"] and not late and len(every) == wanted.count and all(deaths.values())
    )
    return {
        "killed": deaths,
        "collecting_again_s_median": round(float(np.median(every)), 1),
        "collecting_again_s_max": {victim: round(max(times, default=0.0), 1) for victim, times in took.items()},
        "collecting_again_after_30_s": late,
        "repair": asked,
        "account": account,
        "problems": problems,
        "good": good,
    }


def is_finished(paths: DataPaths) -> bool:
    beat = read_heartbeat(paths)
    return beat is not None and beat.phase is Phase.FINISHED


def _kill(victim: str, services: Services, database: Postgres, pid: int, dice: random.Random) -> None:
    """kill -9 of the worker, and of what else dies with it; that is back when this returns."""
    if victim == DATABASE:
        database.kill()
    elif victim == CODE:
        services.kill_code_server()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if victim == DATABASE:
        time.sleep(dice.uniform(1, 10))
        database.start()
    elif victim == CODE:
        services.code_server()
