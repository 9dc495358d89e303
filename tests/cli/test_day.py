"""`g6 day` as a user runs it: whole days in processes of their own, and clear words for wrong input."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from g6_core.cli.main import main
from tests.command_line import g6

RECORDED_DAY = date(2025, 8, 29)
KEYS = {
    *("cycles", "rows", "coverage_pct", "signals", "refusals", "trades"),
    *("charges_paise", "net_pnl_paise", "picks", "journal_sha256"),
}
RULE_EXITS = {"stop_loss_30pct", "take_profit_60pct", "trailing_stop_3pct", "time_exit_1520", "circuit_breaker_6pct"}


@pytest.fixture(scope="module")
def chain(shared_data: Path) -> Path:
    """The recorded NIFTY session."""
    return shared_data / "nse-chain-20250829" / "NIFTY.parquet"


def resident_mb(process: subprocess.Popen[str]) -> float:
    """Resident memory of a running process in MB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


@pytest.fixture(scope="module")
def recorded_runs(
    chain: Path, config_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[Path, Path], list[str], list[tuple[float, bool]]]:
    """Two runs of the recorded day side by side: their folders, what they printed, and of the first its memory
    over time, with whether the session was under way."""
    folders = (tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second"))
    outputs = [folder.with_suffix(".out") for folder in folders]
    command = [sys.executable, "-m", "g6_core.cli.main", "day", "--source", chain, "--config-dir", config_dir, "--json"]
    runs = []
    for folder, output in zip(folders, outputs, strict=True):
        with output.open("w") as file:
            runs.append(subprocess.Popen([*command, "--data-dir", folder], stdout=file, stderr=file, text=True))
    memory_mb = []
    lake, closing = folders[0] / "lake", folders[0] / "lake" / "closing"
    while runs[0].poll() is None:
        memory_mb.append((resident_mb(runs[0]), lake.exists() and not closing.exists()))
        with suppress(subprocess.TimeoutExpired):
            runs[0].wait(0.25)
    assert [run.wait(300) for run in runs] == [0, 0], outputs[0].read_text()
    return folders, [output.read_text() for output in outputs], memory_mb


@pytest.fixture(scope="module")
def days(
    recorded_runs: tuple[tuple[Path, Path], list[str], list[tuple[float, bool]]],
) -> tuple[Path, Path, dict[str, Any]]:
    """Two runs of the recorded day: their data directories and the summary both printed."""
    folders, printed, _ = recorded_runs
    lines = [text.strip().splitlines()[-1] for text in printed]
    assert lines[0] == lines[1]
    return *folders, json.loads(lines[0])


def test_memory_stays_under_350_mb_and_flat(
    recorded_runs: tuple[tuple[Path, Path], list[str], list[tuple[float, bool]]],
) -> None:
    memory_mb = recorded_runs[2]
    assert 100 < max(resident for resident, _ in memory_mb) < 350
    session = [resident for resident, in_session in memory_mb if in_session]
    # Without its first rows and the closing state: what the session piles up would show over the rest.
    steady = session[len(session) // 6 : -len(session) // 6]
    assert len(steady) > 10
    assert max(steady) - min(steady) < 10


def test_the_summary_has_every_promised_key_and_stands_on_disk_too(days: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, _, summary = days
    assert summary.keys() >= KEYS
    assert json.loads((folder / "day_summary.json").read_text()) == summary
    assert summary["date"] == "2025-08-29"
    assert summary["picks"]


def test_two_runs_agree_in_every_file_and_in_the_ledger(days: tuple[Path, Path, dict[str, Any]]) -> None:
    first, second, _ = days
    names = sorted(file.relative_to(first) for file in first.rglob("*") if file.is_file())
    assert names == sorted(file.relative_to(second) for file in second.rglob("*") if file.is_file())
    assert len([name for name in names if name.suffix == ".csv"]) == 88
    different = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert [name for name in different if not name.startswith("ledger.sqlite")] == []
    dumps = []
    for folder in (first, second):
        with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
            tables = [row[0] for row in ledger.execute("select name from sqlite_master where type='table' order by 1")]
            dumps.append({table: sorted(map(repr, ledger.execute(f"select * from {table}"))) for table in tables})
    assert dumps[0] == dumps[1]
    assert len(dumps[0]["decisions"]) > 300


def test_every_minute_of_the_session_is_in_every_file(days: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, _, summary = days
    live: Counter[str] = Counter()
    for file in (folder / "csv" / "options").rglob("*.csv"):
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert len({row["timestamp"] for row in rows}) == len(rows) == 375
        assert (rows[0]["timestamp"], rows[-1]["timestamp"]) == ("2025-08-29T03:45:00Z", "2025-08-29T09:59:00Z")
        live.update(row["timestamp"] for row in rows if "live" in (row["call_status"], row["put_status"]))
    assert 375 - len(live) == len(summary["coverage"]["minutes_missing"])
    assert not set(live) & set(summary["coverage"]["minutes_missing"])
    assert 85 < summary["coverage_pct"] < 100


def test_every_minute_of_every_contract_is_accounted_for(
    days: tuple[Path, Path, dict[str, Any]], config_dir: Path
) -> None:
    folder, _, summary = days
    found = summary["account"]["NIFTY"]
    assert found["complete"] and found["open"] == 0
    assert found["expected"] == found["live"] + found["repaired"] + found["no_trade"] > 60_000
    assert found["repaired"] > 0 < found["no_trade"], "the record has silences, and the exchange's candles fill some"
    answered = g6("data", "coverage", "--date", RECORDED_DAY, "--data-dir", folder, "--config-dir", config_dir)
    assert (answered.returncode, answered.stdout.strip()) == (0, found["answer"])
    assert found["answer"] in (folder / "day_report.html").read_text()


def test_a_trade_is_entered_and_exited_by_a_rule_and_refusals_say_why(days: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, _, summary = days
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


def test_the_report_is_one_page_without_outside_resources(days: tuple[Path, Path, dict[str, Any]]) -> None:
    page = (days[0] / "day_report.html").read_text()
    assert "NIFTY" in page
    assert page.count("<img") + page.count("<svg") >= 5
    assert 'src="http' not in page
    assert "<link" not in page
    assert all(trade["tradingsymbol"] in page for trade in days[2]["trades"])


def test_the_journal_verifies_and_replays_to_the_same_state(
    days: tuple[Path, Path, dict[str, Any]], config_dir: Path, tmp_path: Path
) -> None:
    folder, _, summary = days
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


WRONG = [
    pytest.param(["--source", "no/such.parquet"], 4, "no/such.parquet", id="missing file"),
    pytest.param(["--source", "{corrupt}"], 4, "corrupt.parquet", id="corrupt file"),
    pytest.param(["--source", "{foreign}"], 4, "Strike_Price", id="foreign schema"),
    pytest.param(["--source", "{chain}", "--date", "2025-08-27"], 4, "holiday", id="holiday"),
    pytest.param(["--source", "{chain}", "--date", "yesterday"], 2, "2025-08-29", id="not a date"),
    pytest.param(["--source", "modelled", "--index", "DOWJONES"], 2, "MIDCPNIFTY", id="unknown index"),
    pytest.param(["--source", "modelled", "--date", "2026-11-24"], 4, "2026-11-24", id="modelled holiday"),
    pytest.param(["--source", "modelled", "--data-dir", "{file}"], 4, "--data-dir", id="data dir is a file"),
    pytest.param(["--source", "modelled", "--config-dir", "{broken}"], 3, "g6.yaml", id="broken YAML"),
    pytest.param(["--source", "modelled", "--config-dir", "nowhere"], 3, "nowhere", id="no config"),
    pytest.param(["--source", "modelled", "--day-pack", "{corrupt}"], 4, "day pack", id="bad day pack"),
    pytest.param(["--source", "modelled", "--day-pack", "nowhere.json"], 4, "nowhere.json", id="no day pack"),
]


@pytest.mark.parametrize(("args", "code", "word"), WRONG)
def test_wrong_input_is_answered_in_one_clear_line(
    args: list[str],
    code: int,
    word: str,
    chain: Path,
    config_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {
        "{chain}": chain,
        "{corrupt}": tmp_path / "corrupt.parquet",
        "{foreign}": tmp_path / "foreign.parquet",
        "{file}": tmp_path / "a-file",
        "{broken}": tmp_path / "config",
    }
    places["{corrupt}"].write_bytes(b"PAR1 and then nothing")
    places["{file}"].write_text("not a folder")
    if "{foreign}" in args:
        import polars as pl

        pl.DataFrame({"close": [1.0]}).write_parquet(places["{foreign}"])
    shutil.copytree(config_dir, places["{broken}"])
    (places["{broken}"] / "g6.yaml").write_text("capital_inr: [300000\n")
    given = [str(places.get(arg, arg)) for arg in args]
    for option, value in (("--data-dir", tmp_path / "data"), ("--config-dir", config_dir)):
        given += [] if option in given else [option, str(value)]
    assert main(["day", *given]) == code
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith("g6 day: ")]
    assert len(lines) == 1, said.err
    assert word in lines[0]
    assert said.out == ""
    assert "Traceback" not in said.err


def test_a_day_pack_of_another_market_is_refused(
    days: tuple[Path, Path, dict[str, Any]], chain: Path, config_dir: Path, tmp_path: Path
) -> None:
    pack = days[0] / "state" / "day_pack" / f"{RECORDED_DAY}.json"
    run = g6(
        *("day", "--source", chain, "--seed", 5, "--day-pack", pack),
        *("--data-dir", tmp_path, "--config-dir", config_dir),
    )
    assert run.returncode == 4
    assert "another market (seed 0, this one has 5)" in run.stderr


def test_a_second_run_in_the_same_directory_is_kept_out(chain: Path, config_dir: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    kept = tmp_path / "day_summary.json"
    kept.write_text("{}")
    with FileLock(tmp_path / ".run.lock"):
        run = g6("day", "--source", chain, "--data-dir", tmp_path, "--config-dir", config_dir)
    assert run.returncode == 4
    assert "another run is at work here" in run.stderr
    assert kept.exists()


def test_an_interrupted_day_says_so_and_can_be_run_again(config_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "g6_core.cli.main", "day", "--source", "modelled", "--date", "2026-11-19"]
    options = ["--data-dir", str(tmp_path), "--config-dir", str(config_dir)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "session" in line:
                break
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130
    assert "bug of G6" not in rest
    assert not (tmp_path / "day_summary.json").exists()
    report = g6("report", "--data-dir", tmp_path, "--config-dir", config_dir)
    assert (report.returncode, "day_summary.json" in report.stderr) == (4, True)
