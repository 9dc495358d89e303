"""Every known defect of a recording is found, named and counted; a clean one has none."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from g6_core.adapters.lake import Lake
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.schema.options import OPTION_COLUMNS, OptionRow, SideCells
from g6_pipelines.collection.defects import Defect, DefectKind, Inspection, inspect
from g6_pipelines.collection.snapshots import lake_snapshots
from g6_pipelines.stages.snapshots import read_snapshots

K = DefectKind
HOLIDAY, FRIDAY = date(2025, 8, 27), date(2025, 8, 29)


def of(found: Inspection, kind: DefectKind, day: date | None = None, index: str | None = None) -> list[Defect]:
    return [one for one in found.defects if one.kind is kind and day in (None, one.day) and index in (None, one.index)]


def only(found: Inspection, kind: DefectKind, day: date | None = None, index: str | None = None) -> Defect:
    (one,) = of(found, kind, day, index)
    return one


# Real recordings: the figures are those of ../shared/data/README.md


@pytest.fixture(scope="module")
def nse(shared_data: Path, rules: MarketRules) -> Inspection:
    return inspect(read_snapshots(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules), rules)


@pytest.fixture(scope="module")
def kite(shared_data: Path, rules: MarketRules) -> Inspection:
    return inspect(read_snapshots(shared_data / "kite-chain-2026q1" / "snapshots.parquet", rules), rules)


@pytest.mark.parametrize(
    ("kind", "day", "count", "of_all", "words"),
    [
        (K.NO_SPOT, FRIDAY, 233_762, 233_762, "the schema has no index value"),
        (K.NO_TRADING_DAY, HOLIDAY, 7, 7, "2025-08-27 09:45:17: 2025-08-27 is a holiday (Ganesh Chaturthi); nearest"),
        (K.EARLIER_DAY, HOLIDAY, 7, 7, "2025-08-27 09:45:17 shows 2025-08-26 15:30:00"),
        # Eight of the nine are equal in all columns; that of 14:24:57 differs in the implied volatility, a derived one.
        (K.REPEATED_STAMP, FRIDAY, 14, 306, "; 9 of them equal in content"),
        (K.LATE_STAMP, FRIDAY, 219, 306, "own stamps lag 29 to 139 s behind the collection"),
        (K.STARTS_LATE, FRIDAY, 9, 375, "first snapshot at 09:24:16"),
        (K.MINUTES_MISSING, FRIDAY, 70, 375, "306 snapshots in 305 minutes"),
        (K.SILENCE, FRIDAY, 4, 305, "144 to 1132 s where 65 s are usual, the longest until 10:35:10"),
        (K.VOLUME_FALLS, FRIDAY, 12, 467_524, "2025-08-29 09:35:13 2025-09-02 24650 call: volume 0 after 236846"),
        (K.BROKEN_LOTS, FRIDAY, 17_316, 467_524, "2025-12-30 16000 call: volume 0.0, open interest 4.66666666666"),
    ],
)  # fmt: skip
def test_the_defects_of_the_nse_chain_are_found_with_their_figures(
    nse: Inspection, kind: DefectKind, day: date, count: int, of_all: int, words: str
) -> None:
    found = only(nse, kind, day)
    assert (found.count, found.of, found.index) == (count, of_all, "NIFTY")
    assert words in found.example


def test_the_nse_chain_of_the_session_has_no_defect_of_the_other_schema(nse: Inspection) -> None:
    there = {one.kind for one in nse.defects}
    assert not there & {K.NO_TOUCH, K.NO_VOLUME, K.DUPLICATE_ROWS, K.CROSSED, K.WRONG_PRICE, K.EXPIRED, K.ENDS_EARLY}
    assert [(day.day, day.snapshots, day.in_session) for day in nse.days] == [(HOLIDAY, 7, 0), (FRIDAY, 306, 306)]


@pytest.mark.slow
def test_the_index_is_missing_in_every_row_before_22_january_and_in_two_thirds_of_that_day(kite: Inspection) -> None:
    for found in of(kite, K.NO_SPOT):
        assert found.day is not None
        if found.day < date(2026, 1, 22) or found.index in ("FINNIFTY", "MIDCPNIFTY"):
            assert found.count == found.of
    later = of(kite, K.NO_SPOT, date(2026, 1, 22))
    rows = sum(day.rows for day in kite.days if day.day == date(2026, 1, 22))
    assert sum(found.count for found in later) / rows == pytest.approx(0.677, abs=0.001)
    assert {found.index for found in of(kite, K.NO_SPOT, date(2026, 2, 1))} == {"MIDCPNIFTY"}


@pytest.mark.slow
def test_copies_most_of_the_nights_and_two_recordings_that_stop_early_are_counted(kite: Inspection) -> None:
    rows, snapshots = sum(day.rows for day in kite.days), sum(day.snapshots for day in kite.days)
    assert kite.total(K.DUPLICATE_ROWS) == 2_823
    assert all("all are exact copies" in one.example for one in of(kite, K.DUPLICATE_ROWS))
    assert kite.total(K.OUT_OF_SESSION) == 4_468
    assert snapshots == 6_421
    assert rows == 673_057
    assert kite.total(K.NO_TOUCH) == rows
    stopped = {one.day for one in of(kite, K.ENDS_EARLY)}
    assert stopped == {date(2026, 1, 14), date(2026, 1, 22)}
    assert only(kite, K.ENDS_EARLY, date(2026, 1, 22), "NIFTY").example == "last snapshot at 13:57:01"


@pytest.mark.slow
def test_formats_torn_rows_and_a_price_of_another_index_are_found(kite: Inspection) -> None:
    assert only(kite, K.MIXED_FORMATS).count == 3
    assert kite.total(K.INCOMPLETE_ROWS) == 29
    wrong = only(kite, K.WRONG_PRICE)
    assert (wrong.day, wrong.index, wrong.count) == (date(2026, 1, 22), "NIFTY", 1)
    assert "2026-01-22 04:22:00 2026-01-27 28100: call 8790.8" in wrong.example
    assert only(kite, K.EXPIRED, date(2026, 1, 7)).example == "2026-01-07 00:03:00 2026-01-06 24000"
    assert only(kite, K.REPEATED_CONTENT).example == "2026-01-05 09:15:00 is 08:06:00 again"
    assert kite.total(K.VOLUME_FALLS) == only(kite, K.VOLUME_FALLS, date(2026, 1, 22), "NIFTY").count == 248


@pytest.mark.slow
def test_weekends_show_the_friday_before_and_the_budget_sunday_is_a_session(kite: Inspection) -> None:
    assert {one.day for one in of(kite, K.NO_TRADING_DAY)} == {date(2026, 1, 3), date(2026, 1, 10)}
    friday = only(kite, K.EARLIER_DAY, date(2026, 1, 3), "NIFTY")
    assert (friday.count, friday.of) == (28, 28)
    sunday = [day for day in kite.days if day.day == date(2026, 2, 1)]
    assert [day.in_session for day in sunday] == [65, 65, 65]
    assert {one.day for one in of(kite, K.NO_VOLUME)} == {
        date(2025, 12, 31), *(date(2026, 1, number) for number in (1, 2, 3, 5, 6))
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("day", "index", "count"),
    [
        # The first session snapshot, stamped 09:15:00, is that of 08:06 again.
        (date(2026, 1, 5), "NIFTY", 5),
        (date(2026, 1, 6), "NIFTY", 55),
        # Over night the volume went to 0 while prices and open interest stayed.
        (date(2026, 1, 12), "BANKNIFTY", 28),
        (date(2026, 1, 12), "MIDCPNIFTY", 47),
        (date(2026, 1, 22), "MIDCPNIFTY", 53),
    ],
)
def test_every_snapshot_before_the_open_shows_an_earlier_day(
    kite: Inspection, day: date, index: str, count: int
) -> None:
    assert only(kite, K.EARLIER_DAY, day, index).count == count


@pytest.mark.slow
def test_a_folder_of_csv_snapshots_is_one_recording(shared_data: Path, rules: MarketRules) -> None:
    found = inspect(read_snapshots(shared_data / "kite-chain-2026q1" / "originals", rules), rules)
    assert only(found, K.MIXED_FORMATS).example == "2 different header lines"
    sunday = [day for day in found.days if day.day == date(2026, 2, 1)]
    assert [(day.index, day.snapshots, day.in_session) for day in sunday] == [
        (name, 90, 62) for name in ("BANKNIFTY", "MIDCPNIFTY", "NIFTY")
    ]
    assert not of(found, K.DUPLICATE_ROWS)


# Made recordings: one defect at a time

DAY = date(2026, 3, 10)
EXPIRY = date(2026, 3, 30)
FORWARD = 24_500


def chain(day: date = DAY, minutes: range = range(375)) -> pl.DataFrame:
    """A clean chain of Kite snapshots every minute of a session and one after the close; volume and OI grow."""
    rows: list[dict[str, Any]] = []
    moments = [datetime.combine(day, time(9, 15)) + timedelta(minutes=minute) for minute in [*minutes, minutes[-1] + 5]]
    for place, moment in enumerate(moments):
        for strike in range(24_200, 24_801, 100):
            row: dict[str, Any] = {"symbol": "NIFTY", "expiry": EXPIRY, "strike": float(strike), "spot": 24_480.0}
            for side, sign in (("ce", 1), ("pe", -1)):
                row[f"{side}_ltp"] = 200.0 + max(0, sign * (FORWARD - strike))
                row |= {f"{side}_oi": 65.0 * (1000 + place), f"{side}_volume": 65.0 * (10 + place)}
            rows.append(row | {"timestamp": moment})
    return pl.DataFrame(rows)


def found_in(frame: pl.DataFrame, folder: Path, rules: MarketRules) -> Inspection:
    path = folder / "made.parquet"
    frame.write_parquet(path)
    return inspect(read_snapshots(path, rules), rules)


def place(minute: int, strike: int = 24_300) -> pl.Expr:
    """One row of the made chain."""
    moment = datetime.combine(DAY, time(9, 15)) + timedelta(minutes=minute)
    return (pl.col("timestamp") == moment) & (pl.col("strike") == strike)


def put(column: str, value: object, *where: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Write a value into some rows."""
    condition = pl.any_horizontal(where)
    return lambda frame: frame.with_columns(pl.when(condition).then(pl.lit(value)).otherwise(column).alias(column))


def without(first: int, last: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Leave out the snapshots of some minutes."""
    start = datetime.combine(DAY, time(9, 15))
    hole = pl.col("timestamp").is_between(start + timedelta(minutes=first), start + timedelta(minutes=last))
    return lambda frame: frame.filter(~hole)


def repeat(minute: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Let a snapshot show what the one before it shows."""
    at, earlier = (datetime.combine(DAY, time(9, 15)) + timedelta(minutes=one) for one in (minute, minute - 1))

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        old = frame.filter(pl.col("timestamp") == earlier).with_columns(pl.lit(at).alias("timestamp"))
        return pl.concat([frame.filter(pl.col("timestamp") != at), old])

    return change


MADE = [
    (put("spot", 0.0, place(3), place(4)), {K.NO_SPOT: 2}, "2026-03-10 09:18:00 2026-03-30 24300"),
    (put("pe_volume", None, place(3)), {K.NO_VOLUME: 1}, "09:18:00"),
    (put("strike", None, place(3)), {K.INCOMPLETE_ROWS: 1}, "09:18:00 without strike"),
    (lambda frame: pl.concat([frame, frame.filter(place(3))]), {K.DUPLICATE_ROWS: 1}, "all are exact copies"),
    (
        lambda frame: pl.concat([frame, frame.filter(place(3)).with_columns(pl.lit(9.0).alias("spot"))]),
        {K.DUPLICATE_ROWS: 1},
        "1 of them differ from the first",
    ),
    (repeat(100), {K.REPEATED_CONTENT: 1}, "2026-03-10 10:55:00 is 10:54:00 again"),
    (without(100, 109), {K.SILENCE: 1, K.MINUTES_MISSING: 10}, "660 to 660 s where 60 s are usual, the longest until"),
    (without(0, 9), {K.STARTS_LATE: 10, K.MINUTES_MISSING: 10}, "first snapshot at 09:25:00"),
    (without(365, 400), {K.ENDS_EARLY: 11, K.MINUTES_MISSING: 10}, "last snapshot at 15:19:00"),
    (put("expiry", date(2026, 3, 9), place(3)), {K.EXPIRED: 1}, "2026-03-10 09:18:00 2026-03-09 24300"),
    (put("ce_volume", 0.0, place(9)), {K.VOLUME_FALLS: 1}, "24300 call: volume 0 after 1170"),
    (put("pe_oi", 65.0 * 9000, place(9)), {K.OI_JUMPS: 2}, "24300 put: open interest 585000 after 65520"),
    (put("ce_oi", 65.0 * 1009 + 5, place(9)), {K.BROKEN_LOTS: 1}, "in lots of 65"),
    (put("ce_ltp", 9_000.0, place(9)), {K.WRONG_PRICE: 1}, "call 9000, put 200 where the chain's forward is 24500"),
    (put("ce_ltp", 1_000.0, place(9)), {K.PARITY: 1}, "call 1000, put 200 where the chain's forward is 24500"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected", "words"), MADE, ids=["-".join([*map(str, row[1]), str(n)]) for n, row in enumerate(MADE)]
)
def test_each_defect_is_found_alone(
    tmp_path: Path,
    rules: MarketRules,
    change: Callable[[pl.DataFrame], pl.DataFrame],
    expected: dict[DefectKind, int],
    words: str,
) -> None:
    usual = {K.NO_TOUCH, K.OUT_OF_SESSION}
    found = found_in(change(chain()), tmp_path, rules)
    assert {one.kind: one.count for one in found.defects if one.kind not in usual} == expected
    assert words in next(one for one in found.defects if one.kind in expected).example


def test_a_clean_recording_has_no_defect_but_what_its_schema_lacks(tmp_path: Path, rules: MarketRules) -> None:
    found = found_in(chain(), tmp_path, rules)
    assert {one.kind for one in found.defects} == {K.NO_TOUCH, K.OUT_OF_SESSION}
    assert [(day.day, day.index, day.snapshots, day.in_session) for day in found.days] == [(DAY, "NIFTY", 376, 375)]


def test_a_blank_row_is_told_apart_from_a_contract_that_never_had_a_price(tmp_path: Path, rules: MarketRules) -> None:
    zero = [pl.when(place(9)).then(0.0).otherwise(name).alias(name) for name in ("ce_ltp", "ce_oi", "ce_volume")]
    idle = [pl.when(pl.col("strike") == 24_800).then(0.0).otherwise(name).alias(name) for name in ("ce_ltp", "ce_oi")]
    found = found_in(chain().with_columns(zero).with_columns(idle), tmp_path, rules)
    assert only(found, K.BLANK).count == 1
    assert "09:24:00 2026-03-30 24300 call: nothing after 400" in only(found, K.BLANK).example


@pytest.mark.parametrize(("moved", "earlier"), [(0.0, 1), (0.05, 0)])
def test_yesterdays_prices_with_the_volume_at_zero_are_data_of_an_earlier_day(
    tmp_path: Path, rules: MarketRules, moved: float, earlier: int
) -> None:
    friday = chain(date(2026, 3, 2))
    last = friday.filter(pl.col("timestamp") == friday["timestamp"].max())
    holiday = last.with_columns(
        pl.lit(datetime(2026, 3, 3, 10, 0)).alias("timestamp"),  # noqa: DTZ001 (IST)
        pl.lit(0.0).alias("ce_volume"),
        pl.lit(0.0).alias("pe_volume"),
        pl.col("ce_ltp") + moved,
    )
    found = found_in(pl.concat([friday, holiday]), tmp_path, rules)
    assert sum(one.count for one in of(found, K.EARLIER_DAY, date(2026, 3, 3))) == earlier


def test_yesterdays_content_on_a_holiday_is_data_of_an_earlier_day(tmp_path: Path, rules: MarketRules) -> None:
    friday = chain(date(2026, 3, 2))
    last = friday.filter(pl.col("timestamp") == friday["timestamp"].max())
    holiday = last.with_columns(pl.lit(datetime(2026, 3, 3, 10, 0)).alias("timestamp"))  # noqa: DTZ001 (IST)
    found = found_in(pl.concat([friday, holiday]), tmp_path, rules)
    assert only(found, K.EARLIER_DAY, date(2026, 3, 3)).count == 1
    assert only(found, K.NO_TRADING_DAY, date(2026, 3, 3)).count == 1


def test_an_index_that_nobody_knows_has_no_session(tmp_path: Path, rules: MarketRules) -> None:
    found = found_in(chain(minutes=range(3)).with_columns(pl.lit("DAX").alias("symbol")), tmp_path, rules)
    assert "unknown index 'DAX'; choose one of NIFTY, " in only(found, K.NO_TRADING_DAY).example
    assert not of(found, K.MINUTES_MISSING)


def test_crossed_and_empty_quotes_are_found_where_there_is_a_touch(rules: MarketRules) -> None:
    def row(minute: int, bid: float | None, ask: float | None) -> tuple[object, ...]:
        stamp = 1_773_114_300_000 + minute * 60_000
        call = SideCells("live", "NIFTY", 100.0, bid, ask, 65, 65, 6500, 6500)
        whole = SideCells("live", "NIFTY", 100.0, 99.0, 101.0, 65, 65, 6500, 6500)
        return OptionRow(
            stamp, stamp, "NIFTY", "this_month", EXPIRY, 0, 24_500.0, 24_500.0, 20, 28_800.0, 24_480.0, "index",
            24_500.0, call, whole,
        ).cells()  # fmt: skip

    rows = [row(0, 99.0, 101.0), row(1, 101.0, 99.0), row(2, 99.0, 99.0), row(3, None, 101.0)]
    types = {"timestamp": pl.Datetime("ms", "UTC"), "exchange_time": pl.Datetime("ms", "UTC")}
    frame = pl.DataFrame(rows, list(OPTION_COLUMNS), orient="row", infer_schema_length=None, schema_overrides=types)
    found = inspect(lake_snapshots(frame), rules)
    assert only(found, K.CROSSED).count == 2
    assert only(found, K.CROSSED).example.endswith("24500 call: bid 101, ask 99")
    assert only(found, K.ZERO_QUOTES).count == 1


def test_a_lake_is_read_by_its_file_and_expiries_with_two_codes_come_once(tmp_path: Path, rules: MarketRules) -> None:
    side = SideCells("live", "NIFTY", 100.0, 99.0, 101.0, 65, 65, 6500, 6500)
    stamp = 1_773_114_300_000
    rows = [
        OptionRow(
            *(stamp, stamp, "NIFTY", code, EXPIRY, 0, 24_500.0, 24_500.0, 20, 28_800.0, 24_480.0, "index", None),
            *(side, side),
        )
        for code in ("this_week", "this_month")
    ]
    with Lake.open(tmp_path / "2026-03-10.arrows", OPTION_COLUMNS) as lake:
        lake.append([row.cells() for row in rows])
    found = inspect(read_snapshots(tmp_path / "2026-03-10.arrows", rules), rules)
    assert found.kind == "lake"
    assert [(day.index, day.rows, day.in_session) for day in found.days] == [("NIFTY", 1, 1)]
    assert not of(found, K.DUPLICATE_ROWS)


def test_what_is_no_recording_is_one_line(tmp_path: Path, rules: MarketRules) -> None:
    with pytest.raises(DataError, match="no CSV file in the folder; give a recording, or a folder of CSV snapshots"):
        read_snapshots(tmp_path, rules)
    with pytest.raises(DataError, match="no such file"):
        read_snapshots(tmp_path / "none.parquet", rules)
    pl.DataFrame({"open": [1.0]}).write_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="not an NSE chain recording: missing columns"):
        read_snapshots(tmp_path / "foreign.parquet", rules)
