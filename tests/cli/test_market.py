"""`g6 market refresh`: lists as the exchange writes them are compared, shown and written, nonsense in one line."""

import json
import shutil
from collections.abc import Callable
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from g6_core.adapters.holiday_files import read_holiday_list
from g6_core.adapters.holiday_store import write_year
from g6_core.adapters.market_rules import load_market_rules
from g6_core.cli.refreshing import Refresh, YearPlan, plan_years
from g6_core.domain.errors import G6Error
from g6_core.domain.ist import at
from tests.command_line import g6

TODAY = date(2026, 12, 15)
# Moon-dated days here are made up; what matters is their form.
LIST_2027 = {
    "26-Jan-2027": "Republic Day",
    "06-Mar-2027": "Mahashivratri",
    "10-Mar-2027": "Id-ul-Fitr",
    "22-Mar-2027": "Holi",
    "26-Mar-2027": "Good Friday",
    "14-Apr-2027": "Dr. Baba Saheb Ambedkar Jayanti",
    "15-Apr-2027": "Shri Ram Navami",
    "20-Apr-2027": "Shri Mahavir Jayanti",
    "01-May-2027": "Maharashtra Day",
    "17-May-2027": "Bakri Id",
    "15-Jun-2027": "Muharram",
    "29-Oct-2027": "Diwali Laxmi Pujan*",
    "15-Nov-2027": "Guru Nanak Jayanti",
    "25-Dec-2027": "Christmas",
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
Rows = list[dict[str, Any]]


def iso(text: str) -> date:
    day, month, year = text.split("-")
    return date(int(year), MONTHS.index(month) + 1, int(day))


def rows_of(listed: dict[str, str]) -> Rows:
    return [
        {"tradingDate": text, "weekDay": f"{iso(text):%A}", "description": name, "Sr_no": number}
        for number, (text, name) in enumerate(listed.items(), 1)
    ]


def saved(folder: Path, rows: Rows, name: str = "nse.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"CM": rows, "FO": rows, "CD": rows[:2]}))
    return path


@pytest.fixture
def home(config_dir: Path, tmp_path: Path) -> Path:
    """A configuration of its own; what a person has refreshed in the shipped one is not in it."""
    shutil.copytree(config_dir, tmp_path / "config", ignore=shutil.ignore_patterns("holidays_*.yaml"))
    return tmp_path / "config"


def planned(
    home: Path, *files: Path, today: date = TODAY, notice: bool = False, known_from: date | None = None
) -> dict[int, YearPlan]:
    asked = Refresh(home, home.parent / "data", notice, known_from, today, at(today, time(8, 0)))
    return plan_years(asked, load_market_rules(home), [read_holiday_list(file) for file in files])


def taken_in(home: Path, *files: Path, **how: Any) -> None:
    for year, plan in planned(home, *files, **how).items():
        if plan.file is not None:
            write_year(home, year, plan.file)


def test_the_exchanges_json_becomes_a_dated_list_that_earlier_days_do_not_know(home: Path) -> None:
    before = load_market_rules(home)
    taken_in(home, saved(home.parent, rows_of(LIST_2027)), known_from=date(2026, 12, 14))
    rules = load_market_rules(home)
    assert rules.days.last == date(2027, 12, 31)
    assert rules.provisional(date(2027, 3, 23)) == ""
    assert not rules.is_trading_day(date(2027, 3, 22)) and before.is_trading_day(date(2027, 3, 22))
    assert not rules.is_trading_day(date(2027, 3, 6)), "a Saturday, listed or not"
    # The Tuesday of 20 April is a holiday: the weekly moves, but not for days before the list came out.
    assert date(2027, 6, 29) in rules.expiries("NIFTY", date(2026, 12, 11))
    for today in (date(2026, 12, 1) + timedelta(days=count) for count in range(13)):
        if rules.is_trading_day(today):
            assert rules.expiries("NIFTY", today) == before.expiries("NIFTY", today)
    assert date(2027, 4, 19) in rules.expiries("NIFTY", date(2027, 4, 1))


def test_csv_json_and_our_yaml_say_the_same(home: Path) -> None:
    rows = rows_of(LIST_2027)
    as_json = saved(home.parent, rows)
    as_csv = home.parent / "nse.csv"
    lines = [f'{row["Sr_no"]},"{row["tradingDate"]}",{row["weekDay"]},"{row["description"]}"' for row in rows]
    as_csv.write_text("\ufeffSr. No,Date,Day,Description\r\n" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    as_yaml = home.parent / "own.yaml"
    days = "".join(f"  {iso(text)}: {name.rstrip('*')}\n" for text, name in LIST_2027.items())
    as_yaml.write_text(f"source: the exchange\ncertainty: secondary\npublished: 2026-12-14\nholidays:\n{days}")
    lists = [read_holiday_list(path).holidays for path in (as_json, as_csv, as_yaml)]
    assert lists[0].days == lists[1].days == lists[2].days
    (plan,) = planned(home, as_yaml, as_json, as_csv).values()
    assert plan.shown["known_from"] == "2026-12-14"
    assert plan.file is not None and plan.file.certainty == "verified", "three sources agree"


def test_the_second_source_is_asked_where_it_reaches(home: Path, shared_data: Path) -> None:
    file = shared_data / "nse-calendar" / "nse_holidays_2026.csv"
    (plan,) = planned(home, file, today=date(2026, 12, 1)).values()
    assert (plan.file, plan.shown["second_source"], plan.shown["holidays"]) == (None, "agrees", 16)
    (plan,) = planned(home, saved(home.parent, rows_of(LIST_2027))).values()
    assert "ends with 2026-12-31" in plan.shown["second_source"]


def test_a_holiday_declared_late_and_taken_back_again(home: Path) -> None:
    notice = home.parent / "notice.csv"
    notice.write_text("date,holiday\n2026-12-24,Elections\n")
    (plan,) = planned(home, notice, notice=True).values()
    assert plan.shown["moved_expiries"] == {"SENSEX": ["2026-12-24 to 2026-12-23"]}
    taken_in(home, notice, notice=True)
    rules = load_market_rules(home)
    assert date(2026, 12, 24) in rules.expiries("SENSEX", TODAY - timedelta(days=1))
    assert date(2026, 12, 23) in rules.expiries("SENSEX", TODAY)
    # A notice takes it back, and what was known between stays.
    back = own_yaml(home, f"2026-12-24: {{name: Elections, withdrawn: 2026-12-17, {SOURCE}}}")
    (plan,) = planned(home, back, today=date(2026, 12, 17), notice=True).values()
    assert [(one["day"], one["kind"]) for one in plan.shown["changes"]] == [("2026-12-24", "withdrawn")]
    taken_in(home, back, today=date(2026, 12, 17), notice=True)
    rules = load_market_rules(home)
    assert date(2026, 12, 23) in rules.expiries("SENSEX", TODAY + timedelta(days=1))
    assert date(2026, 12, 24) in rules.expiries("SENSEX", TODAY + timedelta(days=2))
    (again,) = planned(home, back, today=date(2026, 12, 17), notice=True).values()
    assert again.file is None, "what is known already changes nothing"


SOURCE = "source: a notice, certainty: secondary"


def own_yaml(home: Path, *rows: str, special: str = "") -> Path:
    path = home.parent / "own.yaml"
    holidays = "holidays:\n" + "".join(f"  {row}\n" for row in rows) if rows else "holidays: {}\n"
    path.write_text(holidays + (f"special_days:\n  {special}\n" if special else ""))
    return path


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-03-03: {name: Holi, known_from: 2025-12-12, withdrawn: 2026-02-20, %s}", "which is over"),
        ("2026-12-08: {name: Election, known_from: 2026-12-20, %s}", "after the day itself"),
        ("2026-12-24: {name: Election, known_from: 2026-12-20, %s}", "has not come yet"),
        ("2026-11-26: {name: Election, known_from: 2026-11-20, %s}", "was traded already"),
        ("2026-12-25: {name: Christmas, withdrawn: 2026-12-20, %s}", "has not come yet"),
        ("2026-12-25: {name: Christmas, withdrawn: 2025-11-20, %s}", "so it was not taken back"),
        ("2026-12-24: {name: Election, withdrawn: 2026-11-20, %s}", "no known holiday"),
    ],
)
def test_a_day_with_dates_of_its_own_is_checked_like_any_change(home: Path, row: str, words: str) -> None:
    with pytest.raises(G6Error) as refused:
        planned(home, own_yaml(home, row % SOURCE), today=date(2026, 12, 1), notice=True)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_special_session_is_not_announced_after_its_day(home: Path) -> None:
    session = 'name: Drill, open: "09:15", close: "12:30", mis_cutoff: "12:20", expiry_day: false'
    own = own_yaml(home, special=f"2026-12-20: {{{session}, known_from: 2026-12-21, {SOURCE}}}")
    with pytest.raises(G6Error, match="after the day itself"):
        planned(home, own, notice=True)


def test_a_notice_may_declare_two_days(home: Path) -> None:
    notice = home.parent / "notice.csv"
    notice.write_text("date,holiday\n2026-12-23,Elections\n2026-12-24,Elections\n")
    taken_in(home, notice, notice=True)
    assert load_market_rules(home).days.holiday(date(2026, 12, 23), TODAY) == "Elections"


def test_a_list_given_again_takes_back_no_later_notice(home: Path) -> None:
    whole = saved(home.parent, rows_of(LIST_2027))
    taken_in(home, whole, known_from=date(2026, 12, 14))
    election, holi = date(2027, 2, 17), date(2027, 3, 22)
    notice = own_yaml(
        home,
        f"2027-02-17: {{name: Election, known_from: 2027-02-10, {SOURCE}}}",
        f"2027-03-22: {{name: Holi, withdrawn: 2027-02-10, {SOURCE}}}",
    )
    taken_in(home, notice, today=date(2027, 2, 10), notice=True)
    (plan,) = planned(home, whole, today=date(2027, 2, 12)).values()
    assert (plan.file, plan.shown["changes"]) == (None, [])
    assert list(plan.shown["kept"]) == ["2027-02-17", "2027-03-22"]
    assert not plan.rules.is_trading_day(election) and plan.rules.is_trading_day(holi)
    # Nor does our own YAML of the whole year, whose row has a date of its own.
    days = [f"{iso(text)}: {name}" for text, name in LIST_2027.items() if iso(text) != holi]
    own = own_yaml(home, *days, f"{holi}: {{name: Holi, known_from: 2026-12-14, {SOURCE}}}")
    (plan,) = planned(home, own, today=date(2027, 2, 12)).values()
    assert plan.file is None and plan.rules.is_trading_day(holi)


def test_a_holiday_declared_again_is_known_since_it_was_declared_first(home: Path) -> None:
    taken_in(home, saved(home.parent, rows_of(LIST_2027)), known_from=date(2026, 12, 14))
    election = date(2027, 2, 17)
    notice = home.parent / "notice.csv"
    notice.write_text(f"date,holiday\n{election},Election\n")
    back = own_yaml(home, f"{election}: {{name: Election, withdrawn: 2027-02-12, {SOURCE}}}")
    for number, file in ((10, notice), (12, back), (13, notice)):
        taken_in(home, file, today=date(2027, 2, number), notice=True)
    days = load_market_rules(home).days
    known = {number: not days.contains(election, date(2027, 2, number)) for number in (9, 10, 11, 13)}
    assert known == {9: False, 10: True, 11: True, 13: True}


def test_a_special_session_comes_by_our_yaml(home: Path) -> None:
    own = home.parent / "own.yaml"
    session = '{name: Drill, open: "09:15", close: "12:30", mis_cutoff: "12:20", expiry_day: false'
    own.write_text(
        f"holidays: {{}}\nspecial_days:\n  2026-12-20: {session}, source: a notice, certainty: secondary}}\n"
    )
    taken_in(home, own, notice=True)
    rules = load_market_rules(home)
    assert rules.is_trading_day(date(2026, 12, 20))
    assert not rules.days.contains(date(2026, 12, 20), TODAY - timedelta(days=1))


def without(*texts: str) -> Callable[[Rows], Rows]:
    return lambda rows: [row for row in rows if row["tradingDate"] not in texts]


def with_row(place: int, **fields: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [row | fields if at_ == place else row for at_, row in enumerate(rows)]


def in_year(year: str) -> Callable[[Rows], Rows]:
    return lambda rows: [row | {"tradingDate": row["tradingDate"][:-4] + year, "weekDay": ""} for row in rows]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[:7], "usual"),
        (lambda rows: rows[:11], "ends with 2027-06-15"),
        (lambda rows: rows[3:], "lacks 2027-01-26"),
        (without("26-Jan-2027"), "lacks 2027-01-26"),
        (lambda rows: [row for row in rows if row["weekDay"][0] == "S"], "only weekends"),
        (in_year("2025"), "2025 is a wrong year: it is over"),
        (in_year("2029"), "2029 is a wrong year"),
        (with_row(3, tradingDate="22-Mar-2072", weekDay=""), "2072 is a wrong year"),
        (with_row(0, weekDay="Monday"), "2027-01-26 is a Tuesday, the file says Monday"),
        (with_row(0, tradingDate="31-Feb-2027"), "'31-Feb-2027' is not a date"),
        (with_row(0, tradingDate="01/26/2027"), "is not a date"),
        (with_row(0, description=""), "has no name"),
        (lambda rows: [], 'no rows under "FO"'),
    ],
)
def test_nonsense_is_refused_in_one_line_and_nothing_is_written(
    home: Path, spoil: Callable[[Rows], Rows], words: str
) -> None:
    file = saved(home.parent, spoil(rows_of(LIST_2027)))
    with pytest.raises(G6Error) as refused:
        planned(home, file)
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert not list((home / "market").glob("holidays_*.yaml"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cut.json", '{"FO": [{"tradingDate": "26-Jan-20', "not readable as JSON"),
        ("page.json", "<html>Access Denied</html>", "not readable as JSON"),
        ("deep.json", "[" * 100_000, "not readable as JSON"),
        ("list.json", "[1, 2]", 'no rows under "FO"'),
        ("empty.csv", "", "no columns"),
        ("other.csv", "a,b\n1,2\n", "no columns"),
        ("short.csv", "date,holiday\n2027-01-26,Republic Day\n2027-03-22\n", "row 3 has 1 cells"),
        ("traded.csv", "date,holiday\n2026-11-26,Elections\n", "2026-11-26 (Elections) was traded already"),
        ("list.txt", "x", "not a .json, .csv or .yaml"),
        ("wrong.yaml", "holidays: {2027-01-26: 5}\n", "holidays.2027-01-26"),
        ("bytes.csv", "\xff", "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_taken_in_says_why_in_one_line(home: Path, name: str, text: str, words: str) -> None:
    file = home.parent / name
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(G6Error) as refused:
        planned(home, file, notice=True)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_two_files_that_differ_are_refused(home: Path) -> None:
    rows = rows_of(LIST_2027)
    other = saved(home.parent, with_row(3, tradingDate="23-Mar-2027", weekDay="Tuesday")(rows), "bse.json")
    with pytest.raises(G6Error, match=r"differ about 2027: 2027-03-22 only in nse\.json"):
        planned(home, saved(home.parent, rows), other)


def test_a_list_that_lacks_known_holidays_was_read_by_half(home: Path) -> None:
    taken_in(home, saved(home.parent, rows_of(LIST_2027)))
    short = saved(home.parent, without("10-Mar-2027", "22-Mar-2027", "14-Apr-2027")(rows_of(LIST_2027)))
    with pytest.raises(G6Error, match="lacks 3 known holidays"):
        planned(home, short)


def test_the_command_shows_the_difference_writes_it_and_finds_nothing_the_second_time(home: Path) -> None:
    file = saved(home.parent, rows_of(LIST_2027))
    words = ("market", "refresh", file, "--config-dir", home, "--data-dir", home.parent / "data")
    dry = g6(*words, "--dry-run")
    assert dry.returncode == 0 and "+ 2027-03-22 Mon  Holi" in dry.stdout and "nothing is written" in dry.stdout
    assert "Muhurat" in dry.stdout and "2027-10-29" in dry.stdout
    assert not (home / "market" / "holidays_2027.yaml").exists()
    made = json.loads(g6(*words, "--json").stdout)
    assert made["known_until_after"] == "2027-12-31"
    assert [Path(path).name for path in made["written"]] == ["holidays_2027.yaml"]
    (again,) = planned(home, file).values()
    assert (again.shown["changes"], again.file) == ([], None)
    refused = g6(*words, "--known-from", "2099-01-01")
    assert refused.returncode == 2 and "has not come yet" in refused.stderr


def test_the_help_teaches_where_the_list_comes_from() -> None:
    said = " ".join(g6("market", "refresh", "--help").stdout.split())
    for word in ("holiday-master", "known-from", "--dry-run", "--notice", "mid December"):
        assert word in said
