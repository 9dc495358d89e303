"""Whole days of `g6 day` on other markets: modelled ones of each index, and snapshots taken from Kite."""

import json
from pathlib import Path

import pytest

from tests.cli.test_day import RULE_EXITS
from tests.command_line import g6

SEEDS = {"NIFTY": 11, "BANKNIFTY": 12, "FINNIFTY": 13, "MIDCPNIFTY": 14, "SENSEX": 15}


@pytest.mark.parametrize(("index", "seed"), SEEDS.items())
def test_a_modelled_day_of_every_index_trades_or_says_why_not(
    index: str, seed: int, config_dir: Path, tmp_path: Path
) -> None:
    options = ("--date", "2026-11-19", "--config-dir", config_dir, "--data-dir", tmp_path, "--json")
    run = g6("day", "--source", "modelled", "--index", index, "--seed", seed, *options)
    assert (run.returncode, run.stderr) == (0, "")
    summary = json.loads(run.stdout)
    assert summary["cycles"] == 385
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
