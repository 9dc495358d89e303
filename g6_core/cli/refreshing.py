"""What taking in a holiday list comes to: compared, refused or planned year by year, for `g6 market refresh`."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from g6_core.adapters.holiday_files import ReadList
from g6_core.adapters.holiday_store import Origin, rules_with, year_with
from g6_core.adapters.lake import lake_exists, read_lake
from g6_core.adapters.market_schema import YearFile
from g6_core.adapters.world import simulated_days
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError, UserError
from g6_core.domain.holiday_lists import (
    Change,
    HolidayList,
    changes_of,
    kept_by_notice,
    require_agreement,
    require_dated,
    require_possible,
    require_public,
    require_whole,
    require_year,
)
from g6_core.schema.options import RowStatus
from g6_core.schema.paths import DataPaths


@dataclass(frozen=True, slots=True)
class Refresh:
    """What the command line asked for, and the day it is asked on."""

    config_dir: Path
    data_dir: Path
    notice: bool
    known_from: date | None
    today: date
    now_ms: int


@dataclass(frozen=True, slots=True)
class YearPlan:
    """One year: what to show, the file to write (None: nothing changes), and the rules as they are with it."""

    shown: dict[str, Any]
    file: YearFile | None
    rules: MarketRules


def plan_years(asked: Refresh, rules: MarketRules, lists: list[ReadList]) -> dict[int, YearPlan]:
    """Return what lists come to, by year. Raises UserError kinds in one line for what cannot be true."""
    plans: dict[int, YearPlan] = {}
    files: dict[int, YearFile] = {}
    for year in sorted({year for one in lists for year in _years(one)}):
        plan = _year(asked, rules, year, [one for one in lists if year in _years(one)], files)
        plans[year], rules = plan, plan.rules
        if plan.file is not None:
            files[year] = plan.file
    return plans


def _years(given: ReadList) -> set[int]:
    return {day.year for day in (*given.holidays.days, *given.rows, *given.special)}


def _year(
    asked: Refresh, rules: MarketRules, year: int, lists: list[ReadList], files: Mapping[int, YearFile]
) -> YearPlan:
    given, found = lists[0], lists[0].holidays
    for one in lists:
        require_year(one.holidays, year, rules.days, asked.today)
        require_dated(one.holidays, year, rules.days, asked.today)
        if not asked.notice:
            require_whole(one.holidays, year, rules.days.fixed)
    require_agreement([one.holidays for one in lists], year)
    new_list = rules.days.is_provisional(date(year, 12, 31)) and not asked.notice
    known_from = _known_from(asked, given, year)
    changes = changes_of(found, year, rules.days, known_from, whole=not asked.notice)
    first_open = _first_open(asked, rules)
    require_possible(found, changes, rules.days, first_open, _collected(asked, rules, changes))
    for day, row in given.special.items():
        require_public(found.file, day, row.name, row.known_from, asked.today)
    if over := [day for day in given.special if day.year == year and day < min(first_open, known_from)]:
        raise DataError(f"{found.file}: the special session of {over[0]} is over; remove it")
    _require_in_time(found, changes, known_from, new_list=new_list)
    second = _second_source(year, found.closed_weekdays(year), asked.notice)
    agreed = len(lists) > 1 or second == "agrees"
    sources = ", ".join(one.holidays.file for one in lists)
    origin = Origin(
        f"{sources}, taken in on {asked.today}; XBOM: {second}", "verified" if agreed else "secondary", known_from
    )
    shown = {
        "known_from": str(known_from),
        "new_list": new_list,
        "holidays": len(found.closed_weekdays(year)),
        "changes": [
            {"day": str(one.day), "name": one.name, "kind": one.kind, "known_from": str(one.known_from)}
            for one in changes
        ],
        "kept": {}
        if asked.notice
        else {str(day): name for day, name in kept_by_notice(found, year, rules.days).items()},
        "weekend": {str(day): name for day, name in found.weekend(year).items()},
        "special_days": [str(day) for day in sorted(given.special) if day.year == year],
        "sources": [one.holidays.file for one in lists],
        "second_source": second,
        "muhurat": _muhurat(found, year, rules),
        "moved_expiries": {},
    }
    if not (changes or new_list or any(day.year == year for day in given.special)):
        return YearPlan(shown, None, rules)
    file = year_with(asked.config_dir, year, given, changes, origin, new_list=new_list)
    after = rules_with(asked.config_dir, {**files, year: file})
    shown["moved_expiries"] = _moved(rules, after, asked.today)
    return YearPlan(shown, file, after)


def _known_from(asked: Refresh, given: ReadList, year: int) -> date:
    known_from = asked.known_from or given.published or asked.today
    if known_from > asked.today:
        raise DataError(f"{given.holidays.file}: published {known_from} has not come yet, today is {asked.today}")
    if known_from.year < year - 1:
        raise UserError(
            f"--known-from {known_from}: {year}'s list comes out in {year - 1}; give the day it was published"
        )
    return known_from


def _require_in_time(found: HolidayList, changes: tuple[Change, ...], known_from: date, *, new_list: bool) -> None:
    """A single change is announced before its day."""
    late = [] if new_list else [one for one in changes if one.day < known_from and one.day not in found.dated]
    if late:
        raise DataError(
            f"{found.file}: {late[0].day} ({late[0].name}) lies before {known_from}; give --known-from its notice"
        )


def _first_open(asked: Refresh, rules: MarketRules) -> date:
    """The first day that has not been traded: today until its session opens."""
    today = asked.today
    if rules.is_trading_day(today):
        opens_ms = min(rules.session(today, name).open_ms for name in ("NFO", "BFO"))
        return today if asked.now_ms < opens_ms else rules.next_trading_day(today)
    return today


def _collected(asked: Refresh, rules: MarketRules, changes: tuple[Change, ...]) -> frozenset[date]:
    """Days on which the real market moved, as far as the data directory knows."""
    paths = DataPaths(asked.data_dir)
    simulated = simulated_days(paths)
    days = {change.day for change in changes if change.day not in simulated}
    return frozenset(day for day in days for name in rules.underlyings if _moved_on(paths.lake(day, name)))


def _moved_on(lake: Path) -> bool:
    if not lake_exists(lake):
        return False
    statuses = read_lake(lake, ("call_status", "put_status"))
    return any((statuses[side] == RowStatus.LIVE).any() for side in statuses.columns)


def _second_source(year: int, closed: dict[date, str], notice: bool) -> str:
    """What exchange_calendars says of the year: `agrees`, where it differs, or that it does not reach."""
    if notice:
        return "not compared, a notice is newer"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import exchange_calendars

            calendar = exchange_calendars.get_calendar("XBOM")
            last = calendar.last_session.date()
            sessions = {stamp.date() for stamp in calendar.sessions if stamp.year == year}
    except ImportError:
        return "exchange_calendars is not installed"
    if last.year < year or (last.month, last.day) < (12, 25):
        return f"ends with {last}"
    first, following = date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()
    weekdays = (date.fromordinal(number) for number in range(first, following))
    differing = [str(day) for day in weekdays if day.weekday() < 5 and (day in sessions) == (day in closed)]
    return f"differs on {', '.join(differing[:5])}" if differing else "agrees"


def _moved(before: MarketRules, after: MarketRules, today: date) -> dict[str, list[str]]:
    """Listed expiries that a change moves, by underlying, as ``2027-03-30 to 2027-03-29``."""
    day = before.last_trading_day_up_to(today)
    moved = {}
    for name in before.underlyings:
        old, new = before.expiries(name, day, today), after.expiries(name, day, today)
        pairs = zip(sorted(set(old) - set(new)), sorted(set(new) - set(old)), strict=False)
        if lines := [f"{was} to {becomes}" for was, becomes in pairs]:
            moved[name] = lines
    return moved


def _muhurat(found: HolidayList, year: int, rules: MarketRules) -> str:
    """The day of Laxmi Pujan, on which the exchange holds an evening session, while that is not known; else ""."""
    days = {**found.closed_weekdays(year), **found.weekend(year)}
    named = [day for day, name in days.items() if "laxmi" in name.lower() or "muhurat" in name.lower()]
    return next((str(day) for day in named if day not in rules.days.special), "")
