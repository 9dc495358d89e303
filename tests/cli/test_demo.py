"""`g6 demo` as a newcomer runs it: a whole day on the wire that decides as the day in one process does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import g6

PROJECT = Path(__file__).resolve().parents[2]
DECIDED = ("signals", "decisions", "refusals", "no_signal", "trades", "net_pnl_paise", "state_sha256", "coverage")


# A made day leaves them alone.
NOBODYS_DATABASES = dict.fromkeys(("G6_POSTGRES_URL", "G6_LEDGER_URL"), "postgresql://nobody@127.0.0.1:9/none")


def _running(data_dir: Path) -> list[str]:
    """Command lines of processes that still work on this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(data_dir) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a demo that ended well."""
    data_dir = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "g6_core.cli.main", "demo", "--data-dir", str(data_dir), "--json"]
    environment = os.environ | NOBODYS_DATABASES
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == json.loads((data_dir / "day_summary.json").read_text())
    return data_dir


def test_the_demo_trades_by_rule_and_leaves_nothing_running(demo: Path) -> None:
    summary = json.loads((demo / "day_summary.json").read_text())
    assert summary["trades"]
    assert all(trade["exit_reason"] for trade in summary["trades"])
    assert all(check["passed"] for check in summary["checks"])
    assert summary["coverage_pct"] == 100.0
    assert "NIFTY" in (demo / "day_report.html").read_text()
    assert _running(demo) == []


def test_the_timeline_of_the_web_ui_has_the_three_runs_of_the_demo(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dagster as dg

    monkeypatch.setenv("DAGSTER_HOME", str(demo / "dagster"))
    with dg.DagsterInstance.from_config(str(demo / "dagster")) as instance:
        runs = instance.get_runs()
    # The timeline omits runs that name no code location.
    where = {run.job_name: run.remote_job_origin and run.remote_job_origin.location_name for run in runs}
    assert where == dict.fromkeys(("pre_open", "session", "evening"), "g6")


def test_the_wire_decides_as_the_day_in_one_process(demo: Path, tmp_path: Path) -> None:
    wire = json.loads((demo / "day_summary.json").read_text())
    run = g6(
        *("day", "--source", "modelled", "--index", "NIFTY", "--date", wire["date"], "--seed", wire["seed"]),
        *("--data-dir", tmp_path, "--config-dir", PROJECT / "config", "--json"),
        environment=NOBODYS_DATABASES,
    )
    assert run.returncode == 0, run.stderr
    alone = json.loads(run.stdout)
    assert {key: alone[key] for key in DECIDED} == {key: wire[key] for key in DECIDED}
