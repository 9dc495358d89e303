"""`g6 ledger` shows, exports and upgrades, and says in one line what is missing."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from g6_core.adapters.ledger import Ledger
from g6_core.cli.ledger import app, day_lines
from g6_core.domain.errors import DataError
from g6_core.domain.records import DecisionRecord, Direction, TradeRecord
from g6_core.schema.paths import DataPaths

NOON_MS = 1_756_449_000_000  # 12:00 IST on 2025-08-29


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    trade = TradeRecord(
        trade_id="T1",
        decision_id="D1",
        underlying="NIFTY",
        tradingsymbol="NIFTY2590224500CE",
        token=1,
        quantity=75,
        entry_ms=NOON_MS,
        entry_paise=100_00,
        exit_ms=NOON_MS + 60_000,
        exit_paise=110_00,
        exit_reason="trailing_stop_3pct",
        gross_pnl_paise=750_00,
        charges_paise=60_00,
        net_pnl_paise=690_00,
        high_water_mark_paise=112_00,
        low_water_mark_paise=99_00,
    )
    decision = DecisionRecord("D1", "", "NIFTY", NOON_MS, Direction.AVOID, False, (), "", 0, 0, "", {}, "cfg")
    with Ledger.open(DataPaths(tmp_path).ledger) as ledger:
        ledger.write([decision, trade])
    return tmp_path


@pytest.fixture
def held(data_dir: Path) -> Path:
    """A second trade, still open after the close; its last price is of 11:30:00."""
    trade = TradeRecord(
        "T2", "D1", "NIFTY", "NIFTY2590224600PE", 2, 150, NOON_MS, 80_00, 0, 0, "", 0, 30_00, -30_00, 81_00, 60_00,
        open_quantity=75, mark_paise=60_00, mark_ms=NOON_MS - 1_800_000,
    )  # fmt: skip
    with Ledger.open(DataPaths(data_dir).ledger) as ledger:
        ledger.write([trade])
    return data_dir


def test_an_open_position_is_the_first_thing_shown(held: Path) -> None:
    said = shown(held, None).splitlines()
    assert said[0].startswith(
        "OPEN  75 NIFTY2590224600PE bought at 80.00 (12:00:00), marked at 60.00, no price since 11:30"
    )
    assert "-1500.00 rupees" in said[0]
    assert "2 trades (1 open)" in said[1]
    assert "net P&L 690.00" in said[-1], "of what is closed"
    told = json.loads(run("show", "--data-dir", held, "--json"))
    assert (told["open_trades"], told["net_pnl_paise"]) == (["T2"], 690_00)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def shown(data_dir: Path, width: int | None) -> str:
    """What `show` prints on a terminal of this width; None is a pipe."""
    with Ledger.open(DataPaths(data_dir).ledger) as ledger:
        (day,) = ledger.days()
        return "\n".join(day_lines(ledger.day(day), day, width))


def refused(*arguments: object) -> str:
    with pytest.raises(DataError) as caught:
        CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    return str(caught.value)


def test_show_prints_the_newest_day_with_its_trades_in_ist(data_dir: Path) -> None:
    said = run("show", "--data-dir", data_dir)
    assert "2025-08-29: 0 signals, 1 decisions, 0 orders, 0 fills, 1 trades, 0 risk events" in said
    assert all(cell in said for cell in ("12:00:00", "12:01:00", "100.00", "110.00", "trailing_stop_3pct", "690.00"))
    assert run("show", "--data-dir", data_dir, "--date", "2025-08-29") == said


def test_export_writes_one_file_per_table_and_names_it(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    named = run("export", "--data-dir", data_dir, "--out", out).split()
    assert sorted(named) == sorted(str(path) for path in out.iterdir())
    assert "T1,2025-08-29,D1,NIFTY," in (out / "trades.csv").read_text()


def test_upgrade_brings_an_older_schema_up(data_dir: Path) -> None:
    with Ledger.open(DataPaths(data_dir).ledger) as ledger:
        ledger.migrate("0001")
    assert "schema 0003" in run("upgrade", "--data-dir", data_dir)


def test_what_is_missing_is_one_line_with_the_fix(data_dir: Path, tmp_path: Path) -> None:
    assert "run a day first" in refused("show", "--data-dir", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    wrong_day = refused("show", "--data-dir", data_dir, "--date", "2025-08-28")
    assert wrong_day == "the ledger holds nothing of 2025-08-28; it holds 2025-08-29 to 2025-08-29 (1 days)"
    for url in (tmp_path / "none.sqlite", f"sqlite:///{tmp_path}/none.sqlite"):
        assert "no ledger at" in refused("show", "--url", url)
    assert not (tmp_path / "none.sqlite").exists(), "looking made it"
    Ledger.open(tmp_path / "empty.sqlite").close()
    assert "no day yet" in refused("show", "--url", tmp_path / "empty.sqlite")


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_show_cuts_no_value_at_any_width(data_dir: Path, width: int | None) -> None:
    said = shown(data_dir, width)
    for value in ("T1", "NIFTY2590224500CE", "75", "12:00:00", "12:01:00", "trailing_stop_3pct", "60.00", "690.00"):
        assert value in said.split()
    assert width is None or all(len(line) <= width for line in said.splitlines()[1:])


def test_show_has_json_for_machines(data_dir: Path) -> None:
    document = json.loads(run("show", "--data-dir", data_dir, "--json"))
    assert (document["date"], document["decisions"], document["net_pnl_paise"]) == ("2025-08-29", 1, 690_00)
    assert document["trades"][0]["tradingsymbol"] == "NIFTY2590224500CE"
