"""Which days are trading days as far as was known on a day, and the hours of those outside the regular pattern."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time

from g6_core.domain.errors import CalendarError

# Beyond the last published year so many years are assumed: the farthest contracts are listed for five.
ASSUMED_YEARS = 10


@dataclass(frozen=True, slots=True)
class Hours:
    """Continuous trading in IST.

    `expiring_close` is the close of contracts on their own expiry day, `stocks_close` that of the stocks that an index
    is made of: afterwards it may stand still.
    """

    open: time
    close: time
    expiring_close: time
    stocks_close: time


@dataclass(frozen=True, slots=True)
class Holiday:
    """A weekday without trading. It was public from `known_from` on, until the day it was taken back, if it was."""

    name: str
    known_from: date
    withdrawn: date | None = None

    def is_known(self, known_on: date) -> bool:
        """Return whether it was a holiday as far as known on a day."""
        return self.known_from <= known_on and (self.withdrawn is None or known_on < self.withdrawn)


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A trading day outside the regular pattern, with its own hours on every exchange, public from `known_from` on.

    `expiry_day` says whether contracts can expire on it: never on a Muhurat session, which falls on a holiday.
    """

    name: str
    hours: Hours
    mis_cutoff: time
    expiry_day: bool
    known_from: date


@dataclass(frozen=True, slots=True)
class TradingDays:
    """Weekdays without holidays, plus special days, from `first` on.

    `published` maps a year to the day its holiday list became public, `last` is the end of the last one. For a year
    whose list is not public yet only the `fixed` holidays ((month, day) to name) are assumed, and what was announced
    singly: that is how exchanges schedule far expiries. Such a day is provisional.
    """

    first: date
    last: date
    holidays: Mapping[date, Holiday]
    special: Mapping[date, SpecialDay]
    published: Mapping[int, date]
    fixed: Mapping[tuple[int, int], str]
    file: str

    def contains(self, day: date, known_on: date = date.max) -> bool:
        """Return whether `day` is a trading day as far as known on a day; CalendarError before the first one."""
        if day < self.first:
            raise CalendarError(
                f"{day} is outside the known trading days, which start on {self.first}; "
                f"choose a later date or add that year's holidays to {self.file}"
            )
        if day.year > self.last.year + ASSUMED_YEARS:
            raise CalendarError(f"{day} is too far away: holidays are known until {self.last}; choose an earlier date")
        return self.special_on(day, known_on) is not None or (day.weekday() < 5 and not self.holiday(day, known_on))

    def special_on(self, day: date, known_on: date = date.max) -> SpecialDay | None:
        """Return the special session of `day` as far as it was announced on a day."""
        special = self.special.get(day)
        return special if special is not None and special.known_from <= known_on else None

    def holiday(self, day: date, known_on: date = date.max) -> str:
        """Return the name of the holiday on `day` as far as known on a day; "" without one."""
        holiday = self.holidays.get(day)
        if holiday is not None and holiday.is_known(known_on):
            return holiday.name
        return self.fixed.get((day.month, day.day), "") if self.is_provisional(day, known_on) else ""

    def is_provisional(self, day: date, known_on: date = date.max) -> bool:
        """Return whether the holiday list of that year was not public yet, so that `day` is an assumption."""
        published = self.published.get(day.year)
        return published is None or published > known_on or day > self.last

    def can_expire(self, day: date, known_on: date) -> bool:
        """Return whether a contract can expire on `day`, as far as was known on `known_on`."""
        special = self.special_on(day, known_on)
        if special is not None:
            return special.expiry_day
        return day.weekday() < 5 and not self.holiday(day, known_on)

    def changes(self) -> frozenset[date]:
        """Return the days on which something became known: a list, a holiday, its withdrawal, a special session."""
        found = set(self.published.values())
        for holiday in self.holidays.values():
            found |= {holiday.known_from} | ({holiday.withdrawn} if holiday.withdrawn else set())
        return frozenset(found | {special.known_from for special in self.special.values()})

    def reason_closed(self, day: date) -> str:
        """Return ``a holiday (Ganesh Chaturthi)``, ``a Saturday`` or ``a holiday (Republic Day, assumed)``."""
        name = self.holiday(day)
        if not name:
            return f"a {day.strftime('%A')}"
        return f"a holiday ({name}{', assumed' if self.is_provisional(day) and day not in self.holidays else ''})"
