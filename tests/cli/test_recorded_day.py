"""`g6 day` on the recorded NIFTY session: every minute accounted for, trades by rule, a journal that replays."""

import csv
import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.cli.kit import KEYS, RULE_EXITS
from tests.command_line import g6

pytestmark = pytest.mark.slow

RECORDED_DAY = date(2025, 8, 29)
Day = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def day(chain: Path, config_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The day's data directory and the summary that was printed."""
    folder = tmp_path_factory.mktemp("recorded")
    run = g6("day", "--source", chain, "--config-dir", config_dir, "--json", "--data-dir", folder)
    assert run.returncode == 0, run.stderr
    return folder, json.loads(run.stdout)


def test_the_summary_has_every_promised_key_and_stands_on_disk_too(day: Day) -> None:
    folder, summary = day
    assert summary.keys() >= KEYS
    assert json.loads((folder / "day_summary.json").read_text()) == summary
    assert summary["date"] == "2025-08-29"
    assert summary["picks"]


def test_every_minute_of_the_session_is_in_every_file(day: Day) -> None:
    folder, summary = day
    live: Counter[str] = Counter()
    for file in (folder / "csv" / "options").rglob("*.csv"):
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert len({row["timestamp"] for row in rows}) == len(rows) == 375
        assert (rows[0]["timestamp"], rows[-1]["timestamp"]) == ("2025-08-29T03:45:00Z", "2025-08-29T09:59:00Z")
        live.update(row["timestamp"] for row in rows if "live" in (row["call_status"], row["put_status"]))
    assert 375 - len(live) == len(summary["coverage"]["minutes_missing"])
    assert not set(live) & set(summary["coverage"]["minutes_missing"])
    assert 85 < summary["coverage_pct"] < 100


def test_every_minute_of_every_contract_is_accounted_for(day: Day, config_dir: Path) -> None:
    folder, summary = day
    found = summary["account"]["NIFTY"]
    assert found["expected"] == sum(found[end] for end in ("live", "repaired", "no_trade", "unverified")) > 60_000
    assert not found["complete"] and found["unverified"] == found["not_recorded"] > 0, "the record has silences"
    assert f"{found['unverified']:,} of {found['expected']:,} unverified" in found["answer"]
    answered = g6("data", "coverage", "--date", RECORDED_DAY, "--data-dir", folder, "--config-dir", config_dir)
    assert (answered.returncode, answered.stdout.strip()) == (5, found["answer"])
    assert found["answer"] in (folder / "day_report.html").read_text()


def test_a_trade_is_entered_and_exited_by_a_rule_and_refusals_say_why(day: Day) -> None:
    folder, summary = day
    assert summary["trades"]
    assert {trade["exit_reason"] for trade in summary["trades"]} <= RULE_EXITS
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        silent = ledger.execute(
            "select count(*) from decisions d where approved = 0 and not exists"
            " (select 1 from verdicts v where v.decision_id = d.decision_id and v.blocks = 1)"
        ).fetchone()
        net = ledger.execute("select sum(net_pnl_paise), sum(charges_paise) from trades").fetchone()
    assert silent == (0,)
    assert net == (summary["net_pnl_paise"], summary["charges_paise"])


def test_the_report_is_one_page_without_outside_resources(day: Day) -> None:
    page = (day[0] / "day_report.html").read_text()
    assert "NIFTY" in page
    assert page.count("<img") + page.count("<svg") >= 5
    assert 'src="http' not in page
    assert "<link" not in page
    assert all(trade["tradingsymbol"] in page for trade in day[1]["trades"])


def test_the_journal_verifies_and_replays_to_the_same_state(day: Day, config_dir: Path, tmp_path: Path) -> None:
    folder, summary = day
    verified = g6("journal", "verify", "--data-dir", folder, "--json")
    assert json.loads(verified.stdout)["sha256"] == summary["journal_sha256"]
    replayed = json.loads(g6("journal", "replay", "--data-dir", folder, "--config-dir", config_dir, "--json").stdout)
    assert replayed["agrees"]
    assert replayed["state_sha256"] == summary["state_sha256"]

    cut = tmp_path / "journal" / f"{RECORDED_DAY}.g6j"
    shutil.copytree(folder / "journal", cut.parent)
    os.truncate(cut, cut.stat().st_size - 17)
    torn = g6("journal", "verify", "--data-dir", tmp_path)
    assert torn.returncode == 5
    assert "torn tail" in torn.stdout
