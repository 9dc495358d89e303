"""One session day in every form that other people's tools write: read right in every way in, or refused in one line."""

import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import IST_OFFSET_MS, at
from g6_core.sim.columns import figures
from g6_core.sim.recorded import RecordedSource
from g6_pipelines.collection.defects import DefectKind, inspect
from g6_pipelines.data_cli import app
from g6_pipelines.stages.snapshots import read_snapshots
from tests.command_line import g6

DAY, EXPIRY = date(2026, 1, 7), date(2026, 1, 13)
INDIA = timezone(timedelta(milliseconds=IST_OFFSET_MS))
OPEN = datetime(2026, 1, 7, 9, 15, tzinfo=INDIA)
MOMENTS = [OPEN + timedelta(minutes=minute) for minute in range(375)]
STRIKES = 5


FIGURES = {"ltp": 100.0, "oi": 65_000}
Write = Callable[[Path], Path]


def table(stamps: list[Any] | None = None, **changes: Any) -> pl.DataFrame:
    """The day: a stamp for each minute (naive unless given), five strikes a minute; `changes` are whole columns."""
    rows = 375 * STRIKES
    minute = np.repeat(np.arange(375), STRIKES)
    stamps = [moment.replace(tzinfo=None) for moment in MOMENTS] if stamps is None else stamps
    frame = pl.DataFrame(
        {
            "symbol": ["NIFTY"] * rows,
            "expiry": [EXPIRY] * rows,
            "strike": np.tile(np.arange(25_900.0, 26_150.0, 50.0), 375),
            **{f"{side}_{name}": np.full(rows, value) for side in ("ce", "pe") for name, value in FIGURES.items()},
            "ce_volume": 65 * (minute + 1),
            "pe_volume": 65 * (minute + 1),
            "spot": 26_000.0 + minute,
            "timestamp": [stamp for stamp in stamps for _ in range(STRIKES)],
        }
    )
    return frame.with_columns(
        **{name: value if isinstance(value, pl.Expr) else pl.lit(value) for name, value in changes.items()}
    )


def as_csv(stamps: list[Any] | None = None, **changes: Any) -> Write:
    def write(folder: Path) -> Path:
        table(stamps, **changes).write_csv(folder / "record.csv")
        return folder / "record.csv"

    return write


def texts(form: Callable[[datetime], str]) -> Write:
    return as_csv([form(moment) for moment in MOMENTS])


def as_parquet(
    stamps: list[Any] | None = None, *, arrow: dict[str, pa.DataType] | None = None, **changes: Any
) -> Write:
    """Written by Arrow, so that a type may be one that polars does not have."""

    def write(folder: Path) -> Path:
        columns = table(stamps, **changes).to_arrow()
        for name, kind in (arrow or {}).items():
            columns = columns.set_column(columns.column_names.index(name), name, columns[name].cast(kind))
        pq.write_table(columns, folder / "record.parquet")
        return folder / "record.parquet"

    return write


def zoned(unit: str, zone: str) -> Write:
    return as_parquet([moment.astimezone(UTC) for moment in MOMENTS], arrow={"timestamp": pa.timestamp(unit, zone)})


def frame_as_csv(change: Callable[[pl.DataFrame], pl.DataFrame], separator: str = ",") -> Write:
    def write(folder: Path) -> Path:
        change(table()).write_csv(folder / "record.csv", separator=separator)
        return folder / "record.csv"

    return write


def with_unused(folder: Path) -> Path:
    """A sound file with columns that nobody needs, of types that polars does not have."""
    arrow = table().to_arrow()
    seen = pa.array([OPEN] * len(arrow), pa.timestamp("us", "+05:30"))
    wide = pa.array([1] * len(arrow), pa.decimal256(60, 2))
    pq.write_table(arrow.append_column("seen", seen).append_column("wide", wide), folder / "record.parquet")
    return folder / "record.parquet"


def packed(folder: Path) -> Path:
    """A CSV that was compressed under its old name, as a spreadsheet on Windows begins and ends it."""
    text = "\ufeff" + table().write_csv().replace("\n", "\r\n")
    (folder / "record.csv").write_bytes(gzip.compress(text.encode()))
    return folder / "record.csv"


LAST_NANOSECOND = pl.col("timestamp").cast(pl.Datetime("ns")) + pl.duration(nanoseconds=999_999_999)
READ: dict[str, Write] = {
    "z_fraction": texts(lambda at: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")),
    "offset_fraction": texts(lambda at: at.strftime("%Y-%m-%d %H:%M:%S.250+05:30")),
    "offset": texts(lambda at: at.strftime("%Y-%m-%d %H:%M:%S+05:30")),
    "z": texts(lambda at: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "new_york": texts(lambda at: at.astimezone(timezone(timedelta(hours=-5))).isoformat()),
    "half_day_clock": texts(lambda at: at.strftime("%d-%m-%Y %I:%M:%S.0 %p")),
    "mixed_forms": texts(lambda at: at.isoformat() if at.minute % 2 else at.strftime("%d/%m/%Y %I:%M%p").lower()),
    **{f"zone_{unit}": zoned(unit, "+05:30") for unit in ("s", "ms", "us", "ns")},
    **{f"zone_{zone}": zoned("us", zone) for zone in ("UTC", "-05:00", "Asia/Kolkata", "America/New_York")},
    "zone_unused": with_unused,
    "nanoseconds": as_parquet(timestamp=LAST_NANOSECOND),
    "stamp_category": as_parquet(timestamp=pl.col("timestamp").cast(pl.String).cast(pl.Categorical)),
    "expiry_timestamp": as_parquet(arrow={"expiry": pa.timestamp("s")}),
    "expiry_date64": as_parquet(arrow={"expiry": pa.date64()}),
    "expiry_midnight_in_utc": as_parquet(expiry=datetime(2026, 1, 12, 18, 30, tzinfo=UTC)),
    "expiry_text": as_csv(expiry="13-Jan-2026"),
    "expiry_number": as_parquet(expiry=20260113),
    "decimal_prices": as_parquet(arrow=dict.fromkeys(("ce_ltp", "strike"), pa.decimal128(12, 2))),
    "float32_prices": as_parquet(arrow=dict.fromkeys(("ce_ltp", "spot"), pa.float32())),
    "packed_csv": packed,
    "upper_case_header": frame_as_csv(lambda frame: frame.rename(str.upper)),
}


@pytest.mark.parametrize("form", READ)
def test_the_day_is_read_right_whatever_its_form(tmp_path: Path, rules: MarketRules, form: str) -> None:
    path = READ[form](tmp_path)
    snapshots = read_snapshots(path, rules)
    (day,) = inspect(snapshots, rules).days
    assert (day.day, day.snapshots, day.in_session, day.rows) == (DAY, 375, 375, 375 * STRIKES)
    assert snapshots.frame["expiry"].unique().to_list() == [EXPIRY]

    source = RecordedSource(path, rules)
    assert source.snapshots_ms.tolist() == [at(DAY, moment.time()) for moment in MOMENTS]
    assert source.instruments.expiries("NIFTY") == (EXPIRY,)
    index = source.quotes(np.array([source.instruments.rows[0].token]), at(DAY, time(12, 0)))[0]
    assert index["ltp_paise"] == 2_616_500, "165 minutes after the open"


def test_the_two_halves_of_a_day_are_one_form(tmp_path: Path, rules: MarketRules) -> None:
    found = inspect(read_snapshots(READ["half_day_clock"](tmp_path), rules), rules)
    assert found.total(DefectKind.MIXED_FORMATS) == 0
    assert inspect(read_snapshots(READ["mixed_forms"](tmp_path), rules), rules).total(DefectKind.MIXED_FORMATS) == 2


REFUSED: dict[str, tuple[Write, str]] = {
    "month_first": (texts(lambda at: at.strftime("%m/%d/%Y %H:%M:%S")), "day first"),
    "other_zone": (texts(lambda at: at.strftime("%Y-%m-%d %H:%M:%S EST")), "'2026-01-07 09:15:00 EST'"),
    "a_third": (texts(lambda at: str(at) if at.minute % 3 else f"morning {at:%H:%M}"), "'morning 09:15', not a time"),
    "seconds_since_1970": (texts(lambda at: str(int(at.timestamp()))), "'1767757500'"),
    "milliseconds_since_1970": (as_parquet([int(at.timestamp() * 1000) for at in MOMENTS]), "Int64"),
    "stamps_without_clock": (as_parquet([DAY] * 375), "timestamp holds Date"),
    "no_stamps": (as_csv([None] * 375), "no row has a"),
    "expiry_in_another_zone": (as_parquet(expiry=datetime(2026, 1, 12, 18, 30)), "2026-01-12 18:30:00"),  # noqa: DTZ001
    "expiry_in_new_york": (as_parquet(expiry=datetime(2026, 1, 12, 13, 30)), "2026-01-12 13:30:00"),  # noqa: DTZ001
    "expiry_in_new_york_text": (as_csv(expiry="2026-01-12 13:30:00"), "'2026-01-12 13:30:00'"),
    "expiry_unreadable": (as_csv(expiry="01/13/2026"), "'01/13/2026'"),
    "decimal_comma": (as_csv(ce_ltp="100,50"), "not a number"),
    "decimal_comma_of_thousandths": (as_csv(ce_ltp="0,125"), "not a number"),
    "truth_for_a_price": (as_parquet(ce_ltp=True), "Boolean"),
    "wide_decimal": (as_parquet(arrow={"ce_ltp": pa.decimal256(60, 2)}), "precision"),
    "semicolons": (frame_as_csv(lambda frame: frame, separator=";"), "separated by ';'"),
    "two_stamps": (frame_as_csv(lambda frame: frame.with_columns(Timestamp="timestamp")), "2 columns are called"),
    "header_only": (frame_as_csv(lambda frame: frame.clear()), "row"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_read_is_named_in_one_line(
    tmp_path: Path, rules: MarketRules, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write, words = REFUSED[form]
    path = write(tmp_path)
    for read in (lambda: read_snapshots(path, rules), lambda: RecordedSource(path, rules)):
        with pytest.raises(DataError) as refused:
            read()
        assert "\n" not in str(refused.value)
        assert str(path) in str(refused.value)
        assert words in str(refused.value)
    assert capfd.readouterr().err == "", "no backtrace of a library"


def test_commas_group_digits_and_never_stand_for_a_point(tmp_path: Path) -> None:
    known = {"1,23,456.50": 123_456.5, "56,042,000": 56_042_000.0, "-1,250": -1_250.0, "26,165.05": 26_165.05}
    for text in ("0,125", "-0,125", "00,125", "100,50", "1,23,45", "123,45,678"):
        known[text] = float("inf")
    frame = pl.LazyFrame({"oi": list(known)})
    found = frame.select(figures(tmp_path, frame, "oi")).collect()["oi"].to_list()
    assert dict(zip(known, found, strict=True)) == known


def test_a_panic_of_the_reader_is_one_line_and_nothing_else_is_silenced(
    tmp_path: Path, rules: MarketRules, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLARS_IGNORE_TIMEZONE_PARSE_ERROR")
    with pytest.raises(DataError, match="not a readable Parquet file") as refused:
        read_snapshots(zoned("us", "+05:30")(tmp_path), rules)
    assert "\n" not in str(refused.value)
    os.write(2, b"still heard")
    assert capfd.readouterr().err == "still heard"


def test_the_command_finds_the_whole_session_of_a_zone_that_only_arrow_knows(tmp_path: Path, config_dir: Path) -> None:
    path = zoned("us", "+05:30")(tmp_path)
    said = CliRunner().invoke(app, ["inspect", str(path), "--config-dir", str(config_dir), "--json"])
    (day,) = json.loads(said.stdout)["days"]
    assert (day["day"], day["in_session"]) == (str(DAY), 375)


@pytest.mark.slow
def test_a_day_is_lived_on_stamps_of_a_zone_that_only_arrow_knows(tmp_path: Path, config_dir: Path) -> None:
    path = zoned("us", "+05:30")(tmp_path)
    run = g6("day", "--source", path, "--data-dir", tmp_path / "data", "--config-dir", config_dir, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    summary = json.loads(run.stdout)
    assert (summary["date"], summary["cycles"], summary["coverage_pct"]) == (str(DAY), 375, 100.0)
