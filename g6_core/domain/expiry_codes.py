"""Which expiry is meant by this_week, next_week, this_month, next_month: resolved from the dump, never computed."""

from collections.abc import Callable, Iterable
from datetime import date
from enum import StrEnum

_CODED_MONTHS = 2


class ExpiryCode(StrEnum):
    """The four expiries that are collected."""

    THIS_WEEK = "this_week"
    NEXT_WEEK = "next_week"
    THIS_MONTH = "this_month"
    NEXT_MONTH = "next_month"


def monthly_expiries(listed: Iterable[date], is_monthly: Callable[[date], bool]) -> tuple[date, ...]:
    """Listed expiries that are the last of their calendar month, ascending.

    The dump decides, except in a short recording that ends within the next month: there the last listed expiry
    may be a weekly, so the dated rule (`is_monthly`) has to agree.
    """
    expiries = sorted(set(listed))
    last_of = {(expiry.year, expiry.month): expiry for expiry in expiries}
    monthlies = sorted(last_of.values())
    if 0 < len(monthlies) <= _CODED_MONTHS and not is_monthly(monthlies[-1]):
        monthlies.pop()
    return tuple(monthlies)


def resolve_expiry_codes(
    listed: Iterable[date], day: date, is_monthly: Callable[[date], bool]
) -> dict[ExpiryCode, date]:
    """Expiry of each code on `day`; a code without a listed expiry is absent.

    An expiry stays valid through its own day. An index whose listed expiries are all monthlies has no weeklies.
    """
    expiries = sorted({expiry for expiry in listed if expiry >= day})
    monthlies = monthly_expiries(expiries, is_monthly)
    weekly_index = len(monthlies) < len(expiries)
    codes: dict[ExpiryCode, date] = {}
    if weekly_index:
        codes.update(zip((ExpiryCode.THIS_WEEK, ExpiryCode.NEXT_WEEK), expiries, strict=False))
    codes.update(zip((ExpiryCode.THIS_MONTH, ExpiryCode.NEXT_MONTH), monthlies, strict=False))
    return codes
