"""`g6 day` on other markets: a modelled special session of each index, and a whole day of snapshots taken from Kite."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_day import RULE_EXITS
from tests.command_line import g6

DAY = date(2026, 11, 19)
SEEDS = {"NIFTY": 11, "BANKNIFTY": 12, "FINNIFTY": 13, "MIDCPNIFTY": 14, "SENSEX": 15}
MORNING = {
    "g6.yaml": {"exits": {"time_exit": "11:05", "flat_by": "11:15"}},
    "strategies/supertrend_adx.yaml": {
        "validation_modes": {mode: {"theta_cutoff": "10:50"} for mode in ("conservative", "balanced", "aggressive")}
    },
    "market/overrides.yaml": {
        "special_days": {
            DAY: {
                "name": "Morning session", "open": "09:15", "close": "11:30", "mis_cutoff": "11:20",
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


@pytest.fixture(scope="module")
def morning(config_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configuration with a special session of two and a quarter hours on `DAY`."""
    target = tmp_path_factory.mktemp("morning") / "config"
    shutil.copytree(config_dir, target)
    for name, change in MORNING.items():
        file = target / name
        file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), change), sort_keys=False))
    return target


# The whole modelled day is the demo's.
@pytest.mark.parametrize(("index", "seed"), SEEDS.items())
def test_a_modelled_session_of_every_index_trades_or_says_why_not(
    index: str, seed: int, morning: Path, tmp_path: Path
) -> None:
    options = ("--date", DAY, "--config-dir", morning, "--data-dir", tmp_path, "--json")
    run = g6("day", "--source", "modelled", "--index", index, "--seed", seed, *options)
    assert (run.returncode, run.stderr) == (0, "")
    summary = json.loads(run.stdout)
    assert summary["cycles"] == 135
    assert summary["coverage_pct"] == 100.0
    assert all(check["passed"] for check in summary["checks"])
    assert {trade["exit_reason"] for trade in summary["trades"]} <= RULE_EXITS
    assert summary["trades"] or summary["refusals"] or summary["no_signal"]


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
