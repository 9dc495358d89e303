"""What a holiday list says, what it would change, and why it is refused: decided on plain values, nothing is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from g6_core.domain.errors import DataError
from g6_core.domain.trading_days import TradingDays

# Every year since 2019 had 12 to 17 closed weekdays, the first of them before April and the last after September.
CLOSED_WEEKDAYS_MIN = 8
FIRST_MONTH_MAX, LAST_MONTH_MIN = 3, 10
# An exchange takes back or moves one holiday at a time; more that are missing were not read.
WITHDRAWN_MAX = 2
HALF = "read by half? Fetch it again"


class ChangeKind(StrEnum):
    """What a list does to a day."""

    ADDED = "added"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Change:
    """A weekday that becomes a holiday, or one that is none any more: days from `known_from` on know of it."""

    day: date
    name: str
    kind: ChangeKind
    known_from: date


@dataclass(frozen=True, slots=True)
class Dated:
    """A day with dates of its own: declared by a notice, or taken back by one."""

    name: str
    known_from: date | None = None
    withdrawn: date | None = None


@dataclass(frozen=True, slots=True)
class HolidayList:
    """Closed days by date, as a file lists them; weekends may be among them. What is taken back is only in `dated`."""

    file: str
    days: Mapping[date, str]
    dated: Mapping[date, Dated] = field(default_factory=dict)

    def closed_weekdays(self, year: int) -> dict[date, str]:
        """Return the closed weekdays of a year, ascending."""
        return {day: name for day, name in sorted(self.days.items()) if day.year == year and day.weekday() < 5}

    def weekend(self, year: int) -> dict[date, str]:
        """Return what falls on a weekend, where the market is closed anyway."""
        return {day: name for day, name in sorted(self.days.items()) if day.year == year and day.weekday() >= 5}


def require_year(found: HolidayList, year: int, days: TradingDays, today: date) -> None:
    """Raise DataError for a year whose list cannot be new: one that is over, or one too far ahead."""
    first = min(today.year, days.last.year + 1)
    if year < first:
        raise DataError(f"{found.file}: {year} is a wrong year: it is over; give the list of {first} or later")
    if year > today.year + 1:
        raise DataError(
            f"{found.file}: {year} is a wrong year: a list comes out in the December before; check its dates"
        )


def require_whole(found: HolidayList, year: int, fixed: Mapping[tuple[int, int], str]) -> None:
    """Raise DataError for what is no whole year's list: a half-read file must never replace a whole one."""
    closed = found.closed_weekdays(year)
    if not closed:
        raise DataError(
            f"{found.file}: lists only weekends of {year}, so it says nothing; read the exchange's list again"
        )
    lacking = [
        f"{date(year, month, day)} ({name})"
        for (month, day), name in sorted(fixed.items())
        if date(year, month, day).weekday() < 5 and date(year, month, day) not in closed
    ]
    why = ""
    if lacking:
        why = f"lacks {', '.join(lacking)}"
    elif len(closed) < CLOSED_WEEKDAYS_MIN:
        why = f"has {len(closed)} closed weekdays, at least {CLOSED_WEEKDAYS_MIN} are usual"
    elif min(closed).month > FIRST_MONTH_MAX:
        why = f"begins with {min(closed)}"
    elif max(closed).month < LAST_MONTH_MIN:
        why = f"ends with {max(closed)}"
    if why:
        raise DataError(
            f"{found.file}: {year}'s list {why}: read by half? "
            "Fetch it again, or use --notice for a notice about single days"
        )


def require_agreement(lists: Sequence[HolidayList], year: int) -> None:
    """Raise DataError when two lists close different weekdays of a year."""
    first = lists[0]
    for other in lists[1:]:
        if differing := sorted(set(first.closed_weekdays(year)) ^ set(other.closed_weekdays(year))):
            named = ", ".join(f"{day} only in {(first if day in first.days else other).file}" for day in differing[:3])
            raise DataError(
                f"{first.file} and {other.file} differ about {year}: {named}; ask the exchange which is right"
            )


def require_public(file: str, day: date, name: str, known_from: date | None, today: date) -> None:
    """Raise DataError for a day that is said to be known from a later day on than itself or than today."""
    if known_from is not None and known_from > day:
        raise DataError(
            f"{file}: {day} ({name}): known_from {known_from} is after the day itself; give the day of its notice"
        )
    if known_from is not None and known_from > today:
        raise DataError(
            f"{file}: {day} ({name}): known_from {known_from} has not come yet, today is {today}; check its dates"
        )


def require_dated(found: HolidayList, year: int, days: TradingDays, today: date) -> None:
    """Raise DataError for a day whose own dates cannot be true."""
    for day, own in found.dated.items():
        if day.year != year:
            continue
        require_public(found.file, day, own.name, own.known_from, today)
        if own.withdrawn is not None and own.withdrawn > today:
            raise DataError(
                f"{found.file}: {day} ({own.name}): withdrawn {own.withdrawn} has not come yet, today is {today}; "
                "check its dates"
            )
        if own.withdrawn is not None and own.known_from is None and day not in days.holidays:
            raise DataError(
                f"{found.file}: takes back {day} ({own.name}), which is no known holiday; "
                "check the date, or add known_from with the day it was declared"
            )


def kept_by_notice(found: HolidayList, year: int, days: TradingDays) -> dict[date, str]:
    """Return where a whole list and a notice after its publication differ, ascending: the notice holds.

    A list says nothing about what was announced later, and the same file may be given again at any time.
    """
    published = days.published.get(year)
    if published is None:
        return {}
    listed = found.closed_weekdays(year)
    said = {*listed, *found.dated}
    later = {
        day: holiday.name
        for day, holiday in days.holidays.items()
        if day.year == year
        and (
            (holiday.withdrawn is None and day not in said and holiday.known_from > published)
            or (holiday.withdrawn is not None and day in listed and holiday.withdrawn > published)
        )
    }
    return dict(sorted(later.items()))


def changes_of(
    found: HolidayList, year: int, days: TradingDays, known_from: date, *, whole: bool
) -> tuple[Change, ...]:
    """Return what a list that is public from `known_from` on changes about a year, ascending.

    A notice (not `whole`) takes back only what it names as taken back. What a day was known to be stays: a holiday
    that is declared again is known since it was declared first.
    """
    listed = found.closed_weekdays(year)
    provisional = days.is_provisional(date(year, 12, 31))
    kept = kept_by_notice(found, year, days) if whole else {}
    known = {
        day: holiday.name for day, holiday in days.holidays.items() if day.year == year and holiday.withdrawn is None
    }
    added = []
    for day, name in listed.items():
        if day not in known and day not in kept:
            own, before = found.dated.get(day), days.holidays.get(day)
            since = (own.known_from if own else None) or known_from
            added.append(Change(day, name, ChangeKind.ADDED, min(since, before.known_from) if before else since))
    taken_back = {
        day: Change(day, own.name, ChangeKind.WITHDRAWN, own.withdrawn)
        for day, own in found.dated.items()
        if own.withdrawn is not None
        and day.year == year
        and day.weekday() < 5
        and (day in known or day not in days.holidays)
    }
    lacking = [
        Change(day, name, ChangeKind.WITHDRAWN, known_from)
        for day, name in known.items()
        if whole and not provisional and day not in listed and day not in kept and day not in taken_back
    ]
    return tuple(sorted((*added, *taken_back.values(), *lacking), key=lambda change: change.day))


def require_possible(
    found: HolidayList, changes: Iterable[Change], days: TradingDays, first_open: date, collected: frozenset[date]
) -> None:
    """Raise DataError for a change of what has been: `first_open` is the first day that has not been traded yet.

    In a year without a list only what was `collected` is known to have been traded.
    """
    gone = [change for change in changes if change.kind is ChangeKind.WITHDRAWN and change.day not in found.dated]
    if len(gone) > WITHDRAWN_MAX:
        named = ", ".join(str(change.day) for change in gone[:3])
        raise DataError(f"{found.file}: lacks {len(gone)} known holidays ({named} ...): {HALF}")
    for change in changes:
        over = change.day < first_open
        if change.kind is ChangeKind.ADDED:
            if change.day in collected or (over and not days.is_provisional(change.day)):
                raise DataError(f"{found.file}: {change.day} ({change.name}) was traded already; check the date")
            continue
        before = days.holidays.get(change.day)
        if over and (before is not None or not days.is_provisional(change.day)):
            how, hint = ("takes back", "check the date") if change.day in found.dated else ("lacks", HALF)
            raise DataError(f"{found.file}: {how} {change.day} ({change.name}), which is over; {hint}")
        if before is not None and change.known_from < before.known_from:
            raise DataError(
                f"{found.file}: {change.day} ({change.name}) was declared on {before.known_from}, so it was not taken "
                f"back on {change.known_from}; give the day of the notice, as --known-from or `withdrawn`"
            )
