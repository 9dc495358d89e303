"""Which option contracts exist: expiry days, what is listed on a day, and lot sizes, all by dated rules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice

from g6_core.domain.dated import Timeline
from g6_core.domain.errors import CalendarError

# `roll(scheduled)` answers the real expiry of a scheduled one: itself, or the trading day before a holiday.
Roll = Callable[[date], date]

QUARTER_MONTHS = (3, 6, 9, 12)
HALF_YEAR_MONTHS = (6, 12)
ALL_MONTHS = tuple(range(1, 13))


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """Expiry weekdays (Monday is 0) of contracts scheduled to expire from `expiry_from` on; None: no weeklies.

    The exchange lists contracts by this rule from trade date `listed_from` on, usually long before `expiry_from`.
    """

    expiry_from: date
    listed_from: date
    weekly: int | None
    monthly: int


@dataclass(frozen=True, slots=True)
class Listing:
    """How many contracts of each kind the exchange lists, nearest first.

    Weeklies are counted without the monthlies; quarterlies start after the last monthly, half-yearlies after
    the last quarterly.
    """

    weeklies: int
    monthlies: int
    quarterlies: int
    half_yearlies: int


@dataclass(frozen=True, slots=True)
class LotRule:
    """`lot` holds for contracts expiring from `expiry_from` on, on trade dates from `trade_date_from` on.

    `kind` is weekly, monthly (which includes quarterlies and half-yearlies) or any.
    """

    lot: int
    expiry_from: date
    trade_date_from: date
    kind: str

    def covers(self, day: date, expiry: date, monthly: bool) -> bool:
        """Whether the rule speaks about this contract on this day."""
        if self.kind not in ("any", "monthly" if monthly else "weekly"):
            return False
        return self.trade_date_from <= day and self.expiry_from <= expiry


@dataclass(frozen=True, slots=True)
class ContractRules:
    """Everything dated about the options of one underlying; `expiry_rules` and `lots` ascend by their dates."""

    underlying: str
    file: str
    expiry_rules: tuple[ExpiryRule, ...]
    listing: Timeline[Listing]
    lots: tuple[LotRule, ...]
    tick_paise: Timeline[int]
    strike_step_paise: Timeline[int]
    freeze_quantity: Timeline[int]

    def expiry_rule(self, scheduled: date, known_on: date) -> ExpiryRule | None:
        """The rule for contracts scheduled to expire on that day, as listed on `known_on`; None before the first."""
        for rule in reversed(self.expiry_rules):
            if rule.expiry_from <= scheduled and (rule.listed_from <= known_on or rule is self.expiry_rules[0]):
                return rule
        return None

    def scheduled_monthly(self, year: int, month: int, known_on: date) -> date | None:
        """Last expiry weekday of the month under the rule in force on that very day; None before the first rule."""
        for rule in reversed(self.expiry_rules):
            candidate = last_weekday(year, month, rule.monthly)
            if self.expiry_rule(candidate, known_on) is rule:
                return candidate
        return None

    def monthlies(
        self, first: date, known_on: date, roll: Roll, months: tuple[int, ...] = ALL_MONTHS
    ) -> Iterator[date]:
        """Real monthly expiries on or after `first` in some months of the year, ascending without end."""
        year, month = first.year, first.month
        while True:
            scheduled = self.scheduled_monthly(year, month, known_on) if month in months else None
            if scheduled is not None and (expiry := roll(scheduled)) >= first:
                yield expiry
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)

    def weeklies(self, day: date, count: int, roll: Roll) -> Iterator[date]:
        """The nearest `count` real weekly expiries on or after `day`, fewer where weeklies end.

        A week that has a monthly has no weekly.
        """
        end = day + timedelta(weeks=2 * count + 2)
        scheduled = day  # a holiday moves an expiry back, so none on or after `day` was scheduled before it
        while count > 0 and scheduled <= end:
            rule = self.expiry_rule(scheduled, day)
            if rule is not None and rule.weekly == scheduled.weekday() and not self._monthly_week(scheduled, day):
                expiry = roll(scheduled)
                if expiry >= day:
                    yield expiry
                    count -= 1
            scheduled += timedelta(days=1)

    def _monthly_week(self, day: date, known_on: date) -> bool:
        monday = day - timedelta(days=day.weekday())
        for inside in (monday, monday + timedelta(days=6)):
            monthly = self.scheduled_monthly(inside.year, inside.month, known_on)
            if monthly is not None and monday <= monthly < monday + timedelta(days=7):
                return True
        return False

    def listed(self, day: date, roll: Roll) -> tuple[date, ...]:
        """All option expiries listed on `day`, ascending; CalendarError before the first rule."""
        self.require(day)
        wanted = self.listing.at(day)
        found = set(self.weeklies(day, wanted.weeklies, roll))
        near = list(islice(self.monthlies(day, day, roll), wanted.monthlies))
        found.update(near)
        after = near[-1]
        for count, months in ((wanted.quarterlies, QUARTER_MONTHS), (wanted.half_yearlies, HALF_YEAR_MONTHS)):
            chosen = list(islice(self.monthlies(after + timedelta(days=1), day, roll, months), count))
            found.update(chosen)
            after = chosen[-1] if chosen else after
        return tuple(sorted(found))

    def require(self, day: date) -> None:
        """CalendarError when no expiry rule is known for `day`."""
        if day < self.expiry_rules[0].expiry_from:
            raise CalendarError(
                f"{self.underlying}: no expiry rule covers {day}, the first starts {self.expiry_rules[0].expiry_from}; "
                f"use a later date or add the older rule to {self.file}"
            )

    def lot_size(self, day: date, expiry: date, monthly: bool) -> int:
        """Units per lot of the contract with this expiry on this day; CalendarError when no rule covers it."""
        for rule in reversed(self.lots):
            if rule.covers(day, expiry, monthly):
                return rule.lot
        raise CalendarError(
            f"{self.underlying}: no lot size is known for expiry {expiry} on {day}; "
            f"use a later date or add the rule to {self.file}"
        )


def last_weekday(year: int, month: int, weekday: int) -> date:
    """Last Monday (0) ... Sunday (6) of a month."""
    next_month = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
    last = next_month - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)
