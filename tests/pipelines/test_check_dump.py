"""The dump against the dated rules: a real one, what recordings and models list, and every way to spoil a real one."""

import csv
import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from g6_core.adapters.kite_market import instruments_from_kite
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.instruments import InstrumentBook
from g6_core.sim.dump import index_row, synthetic_book
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.recorded import RecordedSource
from g6_pipelines.stages.check_dump import check_dump
from tests.pipelines.collecting import DAY, collecting

REAL_DAY = date(2026, 8, 18)
AUGUST, SEPTEMBER = date(2026, 8, 25), date(2026, 9, 29)
FIVE = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")
Row = dict[str, Any]


@pytest.fixture
def world(rules, settings, tmp_path):
    return collecting(rules, settings, tmp_path)


def real_rows(shared_data: Path, name: str = "instruments.csv.gz") -> list[Row]:
    """A real dump as kiteconnect parses it. It has no index rows."""
    with gzip.open(shared_data / "kite-instruments-20260818" / name, "rt") as file:
        return [
            row
            | {
                "expiry": date.fromisoformat(row["expiry"]),
                "strike": float(row["strike"]),
                "tick_size": float(row["tick_size"]),
            }
            for row in csv.DictReader(file)
        ]


def index_rows(rules: MarketRules, **spoilt: Any) -> list[Row]:
    rows = []
    for name in FIVE:
        row = index_row(rules.index(name))
        rows.append(
            {"instrument_token": row.token, "exchange_token": row.exchange_token, "tradingsymbol": row.tradingsymbol,
             "name": row.tradingsymbol, "expiry": "", "strike": 0.0, "tick_size": 0.05, "lot_size": 0,
             "instrument_type": "EQ", "segment": "INDICES", "exchange": row.exchange}
            | spoilt.get(name, {})
        )  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def whole(rules: MarketRules, shared_data: Path) -> list[Row]:
    """The real dump of 18 August 2026 with the index rows that it lacks."""
    return real_rows(shared_data) + index_rows(rules)


def faults(rules: MarketRules, rows: list[Row], day: date = REAL_DAY) -> dict[str, str]:
    """Failed checks by name."""
    book = instruments_from_kite(rows, rules, FIVE)
    return {check.name: check.detail for check in failed(check_dump(book, rules, day, FIVE))}


def test_a_real_dump_is_sound_and_tells_where_a_later_expiry_has_wider_steps(rules, whole) -> None:
    assert faults(rules, whole) == {}
    checks = {
        check.name: check for check in check_dump(instruments_from_kite(whole, rules, FIVE), rules, REAL_DAY, FIVE)
    }
    assert checks["expiries"].figures["compared"] == 4 + 2 + 2 + 2 + 4
    assert "FINNIFTY 2026-09-29 is listed every 100, the rule says 50: strikes between" in checks["strike_step"].detail


def without(name: str, expiry: date) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [row for row in rows if (row["name"], row["expiry"]) != (name, expiry)]


def spoilt(name: str, listed: date | None = None, **change: Any) -> Callable[[list[Row]], list[Row]]:
    """Options of an index with other cells; a function in `change` makes the cell from the old one."""

    def spoil(rows: list[Row]) -> list[Row]:
        return [
            row | {key: new(row[key]) if callable(new) else new for key, new in change.items()}
            if row["name"] == name and listed in (None, row["expiry"])
            else row
            for row in rows
        ]

    return spoil


def again(name: str, listed: date, **change: Any) -> Callable[[list[Row]], list[Row]]:
    """The contracts of an expiry a second time, under new tokens."""

    def add(rows: list[Row]) -> list[Row]:
        twice = [row for row in rows if (row["name"], row["expiry"]) == (name, listed)]
        return rows + [
            row | {"instrument_token": 10**8 + place, "tradingsymbol": f"{row['tradingsymbol']}X"} | change
            for place, row in enumerate(twice)
        ]

    return add


SPOILT: Mapping[str, tuple[Callable[[list[Row]], list[Row]], str, str]] = {
    "today's expiry is missing": (
        without("NIFTY", REAL_DAY),
        "expiries",
        "NIFTY this_week is 2026-08-25, by the rules",
    ),
    "the monthly is missing": (
        without("NIFTY", AUGUST),
        "expiries",
        "NIFTY this_month is 2026-08-18, by the rules 2026-08-25",
    ),
    "the monthly of an index without weeklies is missing": (
        without("BANKNIFTY", AUGUST),
        "expiries",
        "BANKNIFTY this_month is 2026-09-29, by the rules 2026-08-25",
    ),
    "an expiry too many": (
        again("NIFTY", AUGUST, expiry=date(2026, 8, 26)),
        "expiries",
        "NIFTY this_month is 2026-08-26",
    ),
    "the next monthly is moved": (
        spoilt("NIFTY", SEPTEMBER, expiry=date(2026, 9, 30)),
        "expiries",
        "NIFTY next_month is 2026-09-30, by the rules 2026-09-29",
    ),
    "no puts": (
        lambda rows: [row for row in rows if row["name"] != "NIFTY" or row["instrument_type"] != "PE"],
        "both_sides",
        "NIFTY 2026-08-18 24100 has no PE",
    ),
    "another exchange": (
        spoilt("NIFTY", exchange="BFO"),
        "exchanges",
        "1722 options are on another exchange (BFO:NIFTY",
    ),
    "contracts listed twice": (again("NIFTY", AUGUST), "unique_contracts", "242 contracts come more than once"),
    "ten times the strikes": (
        spoilt("NIFTY", strike=lambda old: old * 10),
        "strike_step",
        "every 500, the rule says 50",
    ),
    "every second strike": (
        lambda rows: [row for row in rows if row["name"] != "NIFTY" or row["strike"] % 100 == 0],
        "strike_step",
        "NIFTY 2026-08-18 is listed every 100, the rule says 50",
    ),
    "shifted strikes": (
        spoilt("NIFTY", strike=lambda old: old + 13),
        "strike_step",
        "24113, which is no multiple of 50",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_real_dump_that_is_spoilt_fails_the_check_that_names_it(rules, whole, what: str) -> None:
    spoil, check, said = SPOILT[what]
    found = faults(rules, spoil(whole))
    assert list(found) == [check]
    assert said in found[check]


@pytest.mark.parametrize("days", [1, 30])
def test_a_dump_of_an_earlier_day_lists_what_has_expired_since(rules, whole, days: int) -> None:
    assert "the dump is of an earlier day" in faults(rules, whole, REAL_DAY + timedelta(days=days))["expired_options"]


def test_an_index_token_is_wrong_where_the_rule_is_verified_and_told_where_it_is_not(rules, shared_data) -> None:
    rows = real_rows(shared_data)
    wrong = faults(rules, rows + index_rows(rules, NIFTY={"instrument_token": 999}))
    assert list(wrong) == ["index_tokens"] and "NIFTY has 999, the rule says 256265" in wrong["index_tokens"]
    book = instruments_from_kite(rows + index_rows(rules, SENSEX={"instrument_token": 999}), rules, FIVE)
    (told,) = (one for one in check_dump(book, rules, REAL_DAY, FIVE) if one.name == "index_tokens")
    assert told.passed and "SENSEX has 999, the rule says 265, unverified" in told.detail


@pytest.mark.slow
def test_what_recordings_and_models_list_is_sound_however_short(rules: MarketRules, shared_data: Path) -> None:
    snapshots = shared_data / "kite-chain-2026q1" / "snapshots.parquet"
    sources = [
        RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules),
        *(RecordedSource(snapshots, rules, date(2026, 1, 5), name) for name in FIVE[:4]),
        *(RecordedSource(snapshots, rules, day, "NIFTY") for day in (date(2026, 1, 22), date(2026, 2, 1))),
        ModelledSource(FIVE, date(2026, 11, 19), rules, 7),
    ]
    for source in sources:
        problems = failed(check_dump(source.instruments, rules, source.trade_date, source.underlyings))
        assert not problems, (source.label, source.trade_date, problems)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"lot_size": 50}, r"lot_size: 1 of 124 options disagree .*2590223750CE has 50, the rule says 75"),
        ({"tick_paise": 10}, "tick_size: 1 of 124"),
    ],
)
def test_a_dump_that_disagrees_with_the_dated_rules_fails_a_named_check(world, change, check: str) -> None:
    rows = list(world.book)
    book = InstrumentBook.of([rows[0], replace(rows[1], **change), *rows[2:]])
    problems = failed(check_dump(book, world.rules, DAY, ["NIFTY"]))
    assert len(problems) == 1
    assert problems[0].figures["wrong"] == 1
    assert re.match(check, f"{problems[0].name}: {problems[0].detail}")


def test_a_dump_without_the_index_or_unexpired_options_or_with_doubled_tokens_fails(world) -> None:
    rows = list(world.book)
    cases = {
        "index_rows": rows[1:],
        "unique_tokens": [*rows, replace(rows[5], tradingsymbol="TWIN", strike_paise=1_00)],
    }
    for name, kept in cases.items():
        assert [check.name for check in failed(check_dump(InstrumentBook.of(kept), world.rules, DAY, ["NIFTY"]))] == [
            name
        ]
    later = failed(check_dump(world.book, world.rules, DAY + timedelta(days=60), ["NIFTY"]))
    assert [check.name for check in later] == ["unexpired_options", "expired_options"]


def test_an_expiry_that_the_dated_rules_do_not_know_fails_a_named_check(world) -> None:
    moved = date(2025, 9, 4)
    rows = [replace(row, expiry=moved) if row.expiry == date(2025, 9, 2) else row for row in world.book]
    (problem,) = failed(check_dump(InstrumentBook.of(rows), world.rules, DAY, ["NIFTY"]))
    assert problem.name == "expiries"
    assert problem.detail.startswith("NIFTY this_week is 2025-09-04, by the rules 2025-09-02; correct")
    assert problem.figures == {"compared": 2, "wrong": 1}


@pytest.mark.parametrize(
    ("name", "options"),
    [("instruments.csv.gz", 960 + 480 + 764 + 1722 + 2398), ("nfo_instruments.csv.gz", 960 + 480 + 756 + 1714)],
)
def test_a_real_dump_agrees_with_the_dated_rules(rules, shared_data, name: str, options: int) -> None:
    rows = real_rows(shared_data, name)
    exchanges = {row["exchange"] for row in rows}
    underlyings = [one for one in rules.underlyings if rules.index(one).option_exchange in exchanges]
    book = instruments_from_kite(rows, rules, underlyings)
    checks = {check.name: check for check in check_dump(book, rules, REAL_DAY, underlyings)}
    # The dumps have no index rows; everything else agrees.
    assert [check.name for check in failed(checks.values())] == ["index_rows"]
    assert checks["lot_size"].figures["compared"] == len(book) == options
    assert checks["expiries"].figures["compared"] == sum(4 if one in ("NIFTY", "SENSEX") else 2 for one in underlyings)


@pytest.mark.parametrize(
    ("day", "expiry", "passes"),
    [
        (date(2026, 1, 8), date(2026, 1, 15), True),
        (date(2026, 1, 8), date(2026, 1, 14), False),
        (date(2026, 1, 12), date(2026, 1, 15), True),  # the notice of the day comes after the dump of the morning
        (date(2026, 1, 12), date(2026, 1, 14), True),
        (date(2026, 1, 13), date(2026, 1, 14), True),
        (date(2026, 1, 13), date(2026, 1, 15), False),
    ],
)
def test_a_late_holiday_moves_the_expiry_of_a_dump_from_its_notice_on(rules, day, expiry, passes) -> None:
    listed = {*rules.expiries("SENSEX", day), expiry} - ({date(2026, 1, 14), date(2026, 1, 15)} - {expiry})
    book = synthetic_book(rules, day, {"SENSEX": dict.fromkeys(listed, (8300000, 8310000))})
    (check,) = (one for one in check_dump(book, rules, day, ("SENSEX",)) if one.name == "expiries")
    assert check.passed == passes, check.detail
