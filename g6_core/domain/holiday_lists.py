"""What a holiday list says, what it would change, and why it is refused: decided on plain values, nothing is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from g6_core.domain.errors import DataError
from g6_core.domain.trading_days import TradingDays

# Every year since 2019 had 12 to 17 closed weekdays, the first of them before April and the last after September.
CLOSED_WEEKDAYS_MIN = 8
FIRST_MONTH_MAX, LAST_MONTH_MIN = 3, 10
# An exchange takes back or moves one holiday at a time; more that are missing were not read.
WITHDRAWN_MAX = 2


class ChangeKind(StrEnum):
    """What a list does to a day."""

    ADDED = "added"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Change:
    """A weekday that becomes a holiday, or one that is none any more."""

    day: date
    name: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class HolidayList:
    """Closed days by date, as a file lists them; weekends may be among them."""

    file: str
    days: Mapping[date, str]

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


def changes_of(found: HolidayList, year: int, days: TradingDays, *, whole: bool) -> tuple[Change, ...]:
    """Return what a list changes about a year, ascending; a notice (not `whole`) takes no holiday back."""
    listed = found.closed_weekdays(year)
    provisional = days.is_provisional(date(year, 12, 31))
    known = {
        day: holiday.name for day, holiday in days.holidays.items() if day.year == year and holiday.withdrawn is None
    }
    added = [Change(day, name, ChangeKind.ADDED) for day, name in listed.items() if day not in known]
    gone = [
        Change(day, name, ChangeKind.WITHDRAWN)
        for day, name in known.items()
        if whole and not provisional and day not in listed
    ]
    return tuple(sorted((*added, *gone), key=lambda change: change.day))


def require_possible(
    found: HolidayList, changes: Iterable[Change], days: TradingDays, first_open: date, collected: frozenset[date]
) -> None:
    """Raise DataError for a change of what has been: `first_open` is the first day that has not been traded yet.

    In a year without a list only what was `collected` is known to have been traded.
    """
    gone = [change for change in changes if change.kind is ChangeKind.WITHDRAWN]
    if len(gone) > WITHDRAWN_MAX:
        named = ", ".join(str(change.day) for change in gone[:3])
        raise DataError(f"{found.file}: lacks {len(gone)} known holidays ({named} ...): read by half? Fetch it again")
    for change in changes:
        if change.kind is ChangeKind.ADDED and (
            change.day in collected or (change.day < first_open and not days.is_provisional(change.day))
        ):
            raise DataError(f"{found.file}: {change.day} ({change.name}) was traded already; check the date")
        if change.kind is ChangeKind.WITHDRAWN and change.day < first_open:
            raise DataError(
                f"{found.file}: lacks {change.day} ({change.name}), which is over; read by half? Fetch it again"
            )
