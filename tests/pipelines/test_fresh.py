"""What should be there by now: a missed day, a day that ended early, a collection that stopped, or nothing."""

from datetime import date, time
from pathlib import Path

import pytest

from g6_core.adapters.lake import Lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.schema.options import OPTION_COLUMNS, OptionRow, RowStatus, SideCells
from g6_core.schema.paths import DataPaths
from g6_core.site import Site
from g6_pipelines.stages.fresh import due_day, fresh_checks, stood_still

FRIDAY, MONDAY, TUESDAY = date(2025, 8, 29), date(2025, 9, 1), date(2025, 9, 2)
MUHURAT = date(2025, 10, 21)
BEFORE_HOLIDAY, HOLIDAY = date(2025, 8, 26), date(2025, 8, 27)


@pytest.fixture
def site(settings: Settings, rules: MarketRules, tmp_path: Path) -> Site:
    return Site(settings, rules, DataPaths(tmp_path))


@pytest.mark.parametrize(
    ("day", "clock", "due"),
    [
        (MONDAY, time(15, 44), FRIDAY),
        (MONDAY, time(15, 45), MONDAY),
        (MONDAY, time(9, 0), FRIDAY),
        (date(2025, 8, 31), time(12, 0), FRIDAY),
        (HOLIDAY, time(18, 0), BEFORE_HOLIDAY),
        (MUHURAT, time(14, 59), date(2025, 10, 20)),
        (MUHURAT, time(15, 0), MUHURAT),
    ],
)
def test_a_day_is_due_a_quarter_of_an_hour_after_its_close(rules: MarketRules, day, clock, due) -> None:
    assert due_day(rules, "NIFTY", at(day, clock)) == due


def collect(paths: DataPaths, day: date, *clocks: time, status: RowStatus = RowStatus.LIVE) -> None:
    """One row at each time."""
    side = SideCells(status, "NIFTY2590224550CE")
    rows = [
        OptionRow(
            at(day, clock), None, "NIFTY", "this_week", TUESDAY, 0, None, None, None, None, None, None, None, side, side
        ).cells()
        for clock in clocks
    ]
    with Lake.open(paths.lake(day, "NIFTY"), OPTION_COLUMNS) as lake:
        lake.append(rows)


NIGHT, LAST = (MONDAY, time(18, 0)), time(15, 29)
MIDDAY = (MONDAY, time(12, 0))


@pytest.mark.parametrize(
    ("collected", "now", "failing"),
    [
        ({MONDAY: (LAST,)}, NIGHT, []),
        ({FRIDAY: (LAST,)}, NIGHT, ["2025-09-01 is not complete, the newest complete day is 2025-08-29"]),
        ({FRIDAY: (LAST,), MONDAY: (time(15, 28),)}, NIGHT, ["the newest complete day is 2025-08-29"]),
        ({}, NIGHT, ["nor is a day before it"]),
        ({FRIDAY: (LAST,)}, (date(2025, 8, 31), time(12, 0)), []),
        ({FRIDAY: (LAST,), MONDAY: (time(11, 57),)}, MIDDAY, []),
        ({FRIDAY: (LAST,), MONDAY: (time(11, 56),)}, MIDDAY, ["the newest cycle is of 11:56:00, one of 11:57:00"]),
        ({FRIDAY: (LAST,)}, MIDDAY, ["no cycle is there"]),
        ({FRIDAY: (LAST,)}, (MONDAY, time(9, 17)), []),
        ({FRIDAY: (LAST,)}, (MONDAY, time(9, 18)), ["no cycle is there"]),
        ({MONDAY: (time(11, 59),)}, MIDDAY, ["2025-08-29 is not complete"]),
        ({FRIDAY: (LAST,), MONDAY: (time(15, 27),)}, (MONDAY, time(15, 40)), []),
        ({FRIDAY: (LAST,), MONDAY: (time(15, 26),)}, (MONDAY, time(15, 40)), ["one of 15:27:00 or later is due"]),
    ],
)
def test_what_is_missing_by_now_is_named(site: Site, collected, now, failing) -> None:
    for day, clocks in collected.items():
        collect(site.paths, day, *clocks)
    found = [one for one in fresh_checks(site, "NIFTY", at(*now)) if not one.passed]
    assert [said in one.detail for one, said in zip(found, failing, strict=True)] == [True] * len(failing)


def test_a_day_of_which_nothing_was_ever_live_is_not_complete(site: Site) -> None:
    collect(site.paths, MONDAY, LAST, status=RowStatus.MISSING)
    assert not fresh_checks(site, "NIFTY", at(*NIGHT))[0].passed


@pytest.mark.parametrize(
    ("clock", "names"),
    [
        (time(9, 0), ["nothing_due"]),
        (time(12, 0), ["cycle_fresh"]),
        (time(15, 45), ["day_complete"]),
    ],
)
def test_of_a_simulated_market_its_own_day_is_due_only(site: Site, clock, names) -> None:
    found = fresh_checks(site, "NIFTY", at(MONDAY, clock), MONDAY)
    assert [one.name for one in found] == names
    assert [one.passed for one in found] == [names == ["nothing_due"]]


# A year whose list is not public for long: what is known of 2027 may change under these tests.
HOLI, FRIDAY_BEFORE = date(2031, 3, 24), date(2031, 3, 21)


@pytest.mark.parametrize(
    ("day", "last", "status", "still"),
    [
        (HOLI, time(15, 29), RowStatus.STALE, True),
        (HOLI, time(9, 30), RowStatus.STALE, True),
        (HOLI, time(9, 20), RowStatus.STALE, False),  # the open may be late
        (HOLI, time(15, 29), RowStatus.LIVE, False),
        (HOLI, time(15, 29), RowStatus.MISSING, False),  # the broker has answered nothing
        (MONDAY, time(15, 29), RowStatus.STALE, False),  # a known trading day
    ],
)
def test_a_provisional_day_on_which_nothing_moved_was_a_holiday(rules: MarketRules, tmp_path, day, last, status, still):
    paths = DataPaths(tmp_path)
    assert not stood_still(paths, rules, day), "nobody has looked"
    collect(paths, day, time(9, 15), last, status=status)
    assert stood_still(paths, rules, day) == still


def test_a_holiday_that_no_list_named_yet_is_not_missing(site: Site) -> None:
    collect(site.paths, FRIDAY_BEFORE, time(15, 44))
    collect(site.paths, HOLI, time(9, 15), time(15, 44), status=RowStatus.STALE)
    for clock in (time(12, 0), time(18, 0)):
        assert all(one.passed for one in fresh_checks(site, "NIFTY", at(HOLI, clock)))
