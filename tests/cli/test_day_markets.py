"""`g6 day` on other markets: a modelled special session of each index, and a whole day of snapshots taken from Kite."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.kit import RULE_EXITS
from tests.command_line import g6
from tests.conftest import Baked
from tests.stream.wire import quick_config

DAY = date(2026, 11, 19)
SEEDS = {"NIFTY": 11, "BANKNIFTY": 12, "FINNIFTY": 13, "MIDCPNIFTY": 14, "SENSEX": 15}
MORNING = {
    "g6.yaml": {"exits": {"time_exit": "10:05", "flat_by": "10:10"}},
    "strategies/supertrend_adx.yaml": {
        "validation_modes": {mode: {"theta_cutoff": "09:55"} for mode in ("conservative", "balanced", "aggressive")}
    },
    "market/overrides.yaml": {
        "special_days": {
            DAY: {
                "name": "Morning session", "open": "09:15", "close": "10:15", "mis_cutoff": "10:12",
                "expiry_day": True, "source": "made for this test", "certainty": "unverified",
            }
        }
    },
}  # fmt: skip


def merged(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`document` with the leaves of `change` in it."""
    for name, value in change.items():
        document[name] = merged(document[name], value) if isinstance(document.get(name), dict) else value
    return document


@pytest.fixture(scope="session")
def morning(config_dir: Path, baked: Baked) -> Path:
    """The shipped configuration with a special session of one hour on `DAY`, and a strategy in a hurry."""

    def bake(folder: Path) -> None:
        quick_config(config_dir, folder / "config")
        for name, change in MORNING.items():
            file = folder / "config" / name
            file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), change), sort_keys=False))

    return baked("morning", bake) / "config"


@pytest.fixture(scope="session")
def day_of(morning: Path, baked: Baked) -> Callable[[str], Path]:
    """The data directory of that session of an index, lived once in a run."""

    def day(index: str) -> Path:
        def bake(folder: Path) -> None:
            run = g6("day", *options(index, morning), "--data-dir", folder)
            assert (run.returncode, run.stderr) == (0, "")
            assert json.loads(run.stdout) == json.loads((folder / "day_summary.json").read_text())

        return baked(f"morning-{index}", bake)

    return day


def options(index: str, morning: Path) -> list[str]:
    """What makes the day of an index."""
    market = ["--source", "modelled", "--index", index, "--seed", str(SEEDS[index]), "--date", str(DAY)]
    return [*market, "--config-dir", str(morning), "--json"]


# The whole modelled day is the demo's.
@pytest.mark.parametrize(
    "index", [index if index == "NIFTY" else pytest.param(index, marks=pytest.mark.slow) for index in SEEDS]
)
def test_a_modelled_session_of_every_index_trades_or_says_why_not(index: str, day_of: Callable[[str], Path]) -> None:
    summary = json.loads((day_of(index) / "day_summary.json").read_text())
    assert summary["cycles"] == 60
    assert summary["coverage_pct"] == 100.0
    assert all(check["passed"] for check in summary["checks"])
    assert {trade["exit_reason"] for trade in summary["trades"]} <= RULE_EXITS
    assert summary["trades"] or summary["refusals"] or summary["no_signal"]


@pytest.mark.slow
def test_another_process_makes_the_same_day_in_every_file_and_in_the_ledger(
    morning: Path, day_of: Callable[[str], Path], tmp_path: Path
) -> None:
    first, second = day_of("NIFTY"), tmp_path / "second"
    command = [sys.executable, "-m", "g6_core.cli.main", "day", *options("NIFTY", morning), "--data-dir", str(second)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "11"})
    names = sorted(file.relative_to(first) for file in first.rglob("*") if file.is_file())
    assert names == sorted(file.relative_to(second) for file in second.rglob("*") if file.is_file())
    assert len([name for name in names if name.suffix == ".csv"]) > 10
    different = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert [name for name in different if not name.startswith("ledger.sqlite")] == []
    tables = [ledger_rows(folder / "ledger.sqlite") for folder in (first, second)]
    assert tables[0] == tables[1]
    assert len(tables[0]["decisions"]) > 20


def ledger_rows(path: Path) -> dict[str, list[str]]:
    """The rows of every table, in no order."""
    with closing(sqlite3.connect(path)) as ledger:
        names = [row[0] for row in ledger.execute("select name from sqlite_master where type='table'")]
        return {name: sorted(map(repr, ledger.execute(f"select * from {name}"))) for name in names}


def test_a_day_pack_of_another_market_is_refused(morning: Path, day_of: Callable[[str], Path], tmp_path: Path) -> None:
    pack = day_of("NIFTY") / "state" / "day_pack" / f"{DAY}.json"
    run = g6("day", *options("NIFTY", morning), "--seed", 5, "--day-pack", pack, "--data-dir", tmp_path)
    assert run.returncode == 4
    assert "another market (seed 11, this one has 5)" in run.stderr


@pytest.mark.slow
def test_kite_snapshots_are_a_day_to_trade_on_and_their_touch_is_marked_as_modelled(
    shared_data: Path, config_dir: Path, tmp_path: Path
) -> None:
    snapshots = shared_data / "kite-chain-2026q1" / "snapshots.parquet"
    options = ("--source", snapshots, "--index", "BANKNIFTY", "--config-dir", config_dir, "--data-dir", tmp_path)
    sunday = g6("day", "--date", "2026-02-01", "--json", *options)
    assert (sunday.returncode, sunday.stderr) == (0, "")
    summary = json.loads(sunday.stdout)
    assert (summary["date"], summary["source"], summary["indices"]) == (
        "2026-02-01",
        "recorded, touch modelled",
        ["BANKNIFTY"],
    )
    # 65 snapshots, about one in five minutes: each is fresh for a minute.
    assert summary["cycles"] == 375
    assert 10 < summary["coverage_pct"] < 25
    assert "recorded prices with a modelled bid and ask" in (tmp_path / "day_report.html").read_text(encoding="utf-8")
    empty = g6("day", "--date", "2026-01-14", *options[:-1], tmp_path / "none")
    assert empty.returncode == 4
    assert "BANKNIFTY holds no snapshot within the session 09:15-15:30 of 2026-01-14" in empty.stderr
    assert empty.stderr.count("g6: ") == 1
