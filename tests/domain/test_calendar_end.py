"""Where the known calendar ends: what lies beyond is approximated or told, and stops nothing."""

from datetime import date

import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import ist_text


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
    ],
)
def test_an_expiry_beyond_the_calendar_closes_by_the_rule_in_force_on_it(
    rules: MarketRules, today: str, expiry: str, closes: str
) -> None:
    assert ist_text(rules.expiry_close_ms(date.fromisoformat(today), "NFO", date.fromisoformat(expiry))) == closes


def test_the_end_of_the_known_calendar_is_told_and_not_an_error(rules: MarketRules) -> None:
    assert rules.known_next_trading_day(date(2026, 12, 30)) == date(2026, 12, 31)
    assert rules.known_next_trading_day(date(2026, 12, 31)) is None
    assert rules.calendar_end == (
        "no trading day is known after 2026-12-31; add 2027's holidays to config/market/holidays.yaml"
    )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2025-08-29", "2025-08-29"),
        ("2025-08-31", "2025-08-29"),  # a Sunday
        ("2026-12-31", "2026-12-31"),
        ("2027-01-01", "2026-12-31"),
        ("2031-06-15", "2026-12-31"),
    ],
)
def test_the_last_trading_day_up_to_a_day_is_known_for_any_later_day(
    rules: MarketRules, asked: str, found: str
) -> None:
    assert rules.last_trading_day_up_to(date.fromisoformat(asked)) == date.fromisoformat(found)
