"""`g6 day` as a user runs it: clear words for wrong input, one run at a time, and an end in the middle."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from g6_core.cli.main import main
from tests.command_line import g6

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


def test_a_second_run_in_the_same_directory_is_kept_out(config_dir: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    kept = tmp_path / "day_summary.json"
    kept.write_text("{}")
    with FileLock(tmp_path / ".run.lock"):
        run = g6("day", "--source", "modelled", "--data-dir", tmp_path, "--config-dir", config_dir)
    assert run.returncode == 4
    assert "another run is at work here" in run.stderr
    assert kept.exists()


@pytest.mark.slow
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
