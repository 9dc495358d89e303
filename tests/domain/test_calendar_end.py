"""Where the known calendar ends: what lies beyond is assumed, called provisional, and stops nothing."""

from datetime import date, timedelta

import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError
from g6_core.domain.ist import ist_text

FIVE = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("today", "expiry", "closes"),
    [
        ("2025-08-29", "2025-09-02", "2025-09-02 15:30:00"),
        ("2026-12-01", "2026-12-08", "2026-12-08 15:30:00"),  # the hours of its own day, which close expiring contracts
        # Beyond the calendar: the rule in force on the expiry, whatever the day that asks is like.
        ("2026-12-07", "2027-01-05", "2027-01-05 15:30:00"),
        ("2026-12-30", "2027-01-05", "2027-01-05 15:30:00"),
        ("2026-10-01", "2027-03-30", "2027-03-30 15:30:00"),
        ("2026-11-08", "2027-03-30", "2027-03-30 15:30:00"),  # asked on a Muhurat day, which closes at 19:15
        ("2027-02-02", "2031-12-30", "2031-12-30 15:30:00"),
    ],
)
def test_an_expiry_beyond_the_calendar_closes_by_the_rule_in_force_on_it(
    rules_to_2026: MarketRules, today: str, expiry: str, closes: str
) -> None:
    assert ist_text(rules_to_2026.expiry_close_ms(day(today), "NFO", day(expiry))) == closes


@pytest.mark.parametrize(
    ("today", "following", "provisional"),
    [
        ("2026-12-30", "2026-12-31", False),
        ("2026-12-31", "2027-01-01", True),
        ("2027-01-25", "2027-01-27", True),  # Republic Day comes every year
        ("2028-08-14", "2028-08-16", True),
        ("2028-12-29", "2029-01-01", True),
    ],
)
def test_the_next_trading_day_is_known_or_provisional(
    rules_to_2026: MarketRules, today: str, following: str, provisional: bool
) -> None:
    found = rules_to_2026.known_next_trading_day(day(today))
    assert found == day(following)
    assert bool(rules_to_2026.provisional(found)) == provisional
    assert ("provisional" in rules_to_2026.shown(found)) == provisional


@pytest.mark.parametrize(
    ("closed", "why"),
    [
        ("2027-01-26", r"a holiday \(Republic Day, assumed\)"),
        ("2028-05-01", r"a holiday \(Maharashtra Day, assumed\)"),
        ("2028-08-15", r"a holiday \(Independence Day, assumed\)"),
        ("2028-10-02", r"a holiday \(Gandhi Jayanti, assumed\)"),
        ("2028-12-25", r"a holiday \(Christmas, assumed\)"),
        ("2027-02-06", "a Saturday"),
    ],
)
def test_weekends_and_fixed_holidays_are_assumed_beyond_the_calendar(
    rules_to_2026: MarketRules, closed: str, why: str
) -> None:
    with pytest.raises(CalendarError, match=why):
        rules_to_2026.require_trading_day(day(closed))


def test_a_provisional_day_says_what_to_do(rules_to_2026: MarketRules) -> None:
    text = rules_to_2026.provisional(day("2027-02-01"))
    assert "2027-02-01 is provisional" in text and "g6 market refresh" in text
    assert rules_to_2026.provisional(day("2026-12-31")) == ""


@pytest.mark.parametrize("asked", ["2025-08-29", "2026-12-31", "2027-01-01", "2027-02-26", "2031-06-16"])
def test_the_last_trading_day_up_to_a_day_is_known_for_any_later_day(rules_to_2026: MarketRules, asked: str) -> None:
    assert rules_to_2026.last_trading_day_up_to(day(asked)) == day(asked)


def test_the_last_trading_day_up_to_a_sunday_is_the_friday(rules_to_2026: MarketRules) -> None:
    assert rules_to_2026.last_trading_day_up_to(day("2025-08-31")) == day("2025-08-29")
    assert rules_to_2026.last_trading_day_up_to(day("2031-06-15")) == day("2031-06-13")


@pytest.mark.parametrize("first", ["2027-01-01", "2028-02-01", "2031-12-01"])
def test_every_index_lists_contracts_with_lots_on_days_beyond_the_calendar(
    rules_to_2026: MarketRules, first: str
) -> None:
    for today in [day(first) + timedelta(days=count) for count in range(30)]:
        if not rules_to_2026.is_trading_day(today):
            continue
        for underlying in FIVE:
            listed = rules_to_2026.expiries(underlying, today)
            assert listed == tuple(sorted(set(listed))) and listed[0] >= today
            for expiry in listed:
                assert rules_to_2026.lot_size(underlying, today, expiry) > 0
                assert rules_to_2026.expiry_close_ms(today, rules_to_2026.index(underlying).option_exchange, expiry) > 0
                rules_to_2026.is_monthly(underlying, expiry)
        assert max(rules_to_2026.expiries("NIFTY", today)).year >= today.year + 4, "half-yearlies reach five years"
