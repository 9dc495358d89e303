"""Which days are trading days, and the hours of the ones outside the regular pattern."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time

from g6_core.domain.errors import CalendarError


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
class SpecialDay:
    """A trading day outside the regular pattern, with its own hours on every exchange.

    `expiry_day` says whether contracts can expire on it: never on a Muhurat session, which falls on a holiday.
    """

    name: str
    hours: Hours
    mis_cutoff: time
    expiry_day: bool


@dataclass(frozen=True, slots=True)
class TradingDays:
    """Weekdays without holidays, plus special days, within [first, last].

    `published` maps a year to the day its holiday list became public. For a year whose list is not public yet
    only `fixed` holidays (month, day) are known: that is how exchanges schedule far expiries.
    """

    first: date
    last: date
    holidays: Mapping[date, str]
    special: Mapping[date, SpecialDay]
    published: Mapping[int, date]
    fixed: frozenset[tuple[int, int]]
    file: str

    def contains(self, day: date) -> bool:
        """True on a trading day; CalendarError outside the covered range."""
        if not self.first <= day <= self.last:
            raise CalendarError(
                f"{day} is outside the known trading days ({self.first} to {self.last}); "
                f"choose a covered date or add that year's holidays to {self.file}"
            )
        return day in self.special or (day.weekday() < 5 and day not in self.holidays)

    def can_expire(self, day: date, known_on: date) -> bool:
        """Whether a contract can expire on `day`, as far as was known on `known_on`."""
        if day in self.special:
            return self.special[day].expiry_day
        if day.weekday() >= 5:
            return False
        listed = self.published.get(day.year)
        if listed is None or known_on < listed:
            return (day.month, day.day) not in self.fixed
        return day not in self.holidays

    def reason_closed(self, day: date) -> str:
        """``a holiday (Ganesh Chaturthi)`` or ``a Saturday``."""
        return f"a holiday ({self.holidays[day]})" if day in self.holidays else f"a {day.strftime('%A')}"
