"""`g6 data` as a user runs it: tables, JSON, exit codes, and one line for what is wrong."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from g6_core.adapters.lake import Lake
from g6_core.cli.errors import ExitCode
from g6_core.domain.errors import DataError
from g6_core.schema.options import OPTION_COLUMNS, OptionRow, SideCells
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.defects import Inspection
from g6_pipelines.collection.part import DayCount, Defect, DefectKind
from g6_pipelines.data_cli import app, inspection_lines

DAY = date(2026, 1, 27)
CLOSE_MS = 1_769_508_000_000


def run(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def bhavcopy(shared_data: Path) -> Path:
    return shared_data / "nse-fo-bhavcopy" / "originals" / "2026-01-27_NIFTY.csv"


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A lake with the published state of one contract that traded, as if collected after the close."""
    side = SideCells("live", "NIFTY", 363.85, 363.0, 364.0, 65, 65, 65, 130)
    gone = SideCells("no_contract")
    row = OptionRow(
        CLOSE_MS, CLOSE_MS + 60_000, "NIFTY", "this_month", date(2026, 3, 2), 0, 25_300.0, 25_300.0, 34, 48_960.0,
        25_175.4, "index", None, gone, side,
    )  # fmt: skip
    with Lake.open(DataPaths(tmp_path).lake(DAY, "NIFTY"), OPTION_COLUMNS) as lake:
        lake.append([row.cells()])
    yield tmp_path


def test_inspect_prints_every_defect_once_and_each_day_with_its_own(shared_data: Path, config_dir: Path) -> None:
    code, said = run("inspect", shared_data / "nse-chain-20250829" / "NIFTY.parquet", "--config-dir", config_dir)
    lines = said.splitlines()
    assert code == 0
    assert lines[0].endswith(
        "NIFTY.parquet: NSE chain, 239131 rows, 313 snapshots, 306 of them in session, 2 days, 1 indices"
    )
    (falls,) = [line for line in lines if line.split()[:1] == ["volume_falls"]]
    assert falls.split()[1] == "12"
    assert "NIFTY 2025-08-29 09:35:13 2025-09-02 24650 call: volume 0 after 236846" in falls
    assert any(line.startswith("2025-08-27 NIFTY: 7 snapshots, 0 in session; ") for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_inspect_cuts_nothing_and_prints_no_empty_table(width: int | None) -> None:
    day, example = date(2025, 8, 29), "2025-08-29 09:35:13 2025-09-02 24650 call: volume 0 after 236846"
    count = DayCount(day, "NIFTY", rows=9, snapshots=3, in_session=2)
    defect = Defect(DefectKind.VOLUME_FALLS, day, "NIFTY", 1, 9, "rows", example)
    said = list(inspection_lines(Path("a.parquet"), Inspection("NSE chain", (count,), (defect,)), width))
    assert any(f"NIFTY {example}" in line for line in said)
    assert any("volume_falls" in line.split() for line in said)
    assert "…" not in "".join(said)
    good = list(inspection_lines(Path("a.parquet"), Inspection("NSE chain", (count,), ()), width))
    assert "no known defect" in good and not any("first example" in line for line in good)
    none = list(inspection_lines(Path("a.parquet"), Inspection("Kite snapshots", (), ()), width))
    assert any(line.startswith("no day: ") for line in none) and "no known defect" not in none


@pytest.mark.slow
def test_inspect_as_json_has_days_defects_and_totals(shared_data: Path, config_dir: Path) -> None:
    path = shared_data / "kite-chain-2026q1" / "snapshots.parquet"
    code, said = run("inspect", path, "--config-dir", config_dir, "--json")
    found = json.loads(said)
    assert code == 0
    assert found["totals"]["duplicate_rows"] == 2_823
    assert found["totals"] == {
        kind: sum(one["count"] for one in found["defects"] if one["kind"] == kind) for kind in found["totals"]
    }
    assert {day["day"] for day in found["days"]} >= {"2025-12-31", "2026-02-01"}


def test_bhavcopy_passes_when_price_and_volume_are_equal_and_tells_the_open_interest(
    bhavcopy: Path, data_dir: Path, config_dir: Path
) -> None:
    code, said = run("bhavcopy", bhavcopy, "--date", str(DAY), "--data-dir", data_dir, "--config-dir", config_dir)
    assert code == 0
    assert said.splitlines() == [
        "passed  bhavcopy_contracts: 1 of 1 contracts hold the state after the close",
        "passed  bhavcopy_last_price: all 1 that can be compared are equal",
        "passed  bhavcopy_volume: all 1 that can be compared are equal",
        (
            "passed  bhavcopy_open_interest: 1 of 1 differ, the sum by +100.00 %: "
            "NIFTY 2026-03-02 25300 PE 130, bhavcopy 65"
        ),
    ]


def test_bhavcopy_ends_with_5_when_a_price_differs(
    bhavcopy: Path, data_dir: Path, config_dir: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.csv"
    price = pl.when(pl.col("FinInstrmNm") == "NIFTY2630225300PE").then(pl.lit("363.90")).otherwise("LastPric")
    pl.read_csv(bhavcopy, infer_schema=False).with_columns(price.alias("LastPric")).write_csv(wrong)
    options = ("--date", str(DAY), "--data-dir", data_dir, "--config-dir", config_dir, "--json")
    code, said = run("bhavcopy", wrong, *options)
    assert code == ExitCode.CHECK_FAILED
    failed = [check for check in json.loads(said) if not check["passed"]]
    assert [check["name"] for check in failed] == ["bhavcopy_last_price"]
    assert failed[0]["detail"] == "1 of 1 differ: NIFTY 2026-03-02 25300 PE 363.85, bhavcopy 363.90"


def test_a_foreign_file_is_refused(tmp_path: Path, config_dir: Path) -> None:
    pl.DataFrame({"open": [1.0]}).write_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="not an NSE chain recording"):
        run("inspect", tmp_path / "foreign.parquet", "--config-dir", config_dir)
