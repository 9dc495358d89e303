"""What was known on a day: late holidays, moved ones and special sessions change nothing before their notice."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.trading_days import Holiday, TradingDays


def day(text: str) -> date:
    return date.fromisoformat(text)


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]


@pytest.mark.parametrize(
    ("underlying", "today", "expiry"),
    [
        # Municipal elections of 2026-01-15, notice of 2026-01-12.
        ("SENSEX", "2026-01-02", "2026-01-15"),
        ("SENSEX", "2026-01-08", "2026-01-15"),
        ("SENSEX", "2026-01-09", "2026-01-15"),
        ("SENSEX", "2026-01-12", "2026-01-14"),
        ("SENSEX", "2026-01-14", "2026-01-14"),
        # Bakri Id of 2023, moved from the 28th to the 29th on 2023-06-27.
        ("NIFTY", "2023-06-23", "2023-06-29"),
        ("NIFTY", "2023-06-26", "2023-06-29"),
        ("NIFTY", "2023-06-27", "2023-06-28"),
        ("BANKNIFTY", "2023-06-26", "2023-06-29"),
        ("BANKNIFTY", "2023-06-28", "2023-06-28"),
        # General elections of Monday 2024-05-20; the special session of Saturday the 18th was not announced yet.
        ("MIDCPNIFTY", "2024-04-30", "2024-05-17"),
        # The temple holiday of Monday 2024-01-22 and the Saturday's session, both of 2024-01-19.
        ("MIDCPNIFTY", "2024-01-18", "2024-01-22"),
        ("MIDCPNIFTY", "2024-01-19", "2024-01-20"),
    ],
)
def test_an_expiry_moves_on_the_day_of_the_notice_and_not_before(
    rules: MarketRules, underlying: str, today: str, expiry: str
) -> None:
    assert day(expiry) in rules.expiries(underlying, day(today))


def test_a_dump_of_the_morning_of_a_notice_may_still_list_the_old_expiry(rules: MarketRules) -> None:
    notice = date(2026, 1, 12)
    assert rules.expiries("SENSEX", notice)[0] == date(2026, 1, 14)
    assert rules.expiries("SENSEX", notice, notice - timedelta(days=1))[0] == date(2026, 1, 15)


@pytest.mark.parametrize(
    ("today", "following"),
    [
        ("2023-06-26", "2023-06-27"),
        ("2023-06-27", "2023-06-28"),  # open after all
        ("2023-06-28", "2023-06-30"),
        ("2024-01-18", "2024-01-19"),
        ("2024-01-19", "2024-01-20"),  # the Saturday announced that day
        ("2024-01-20", "2024-01-23"),
        ("2026-01-14", "2026-01-16"),
        ("2026-01-30", "2026-02-01"),
    ],
)
def test_the_next_trading_day_as_known_on_a_day(rules: MarketRules, today: str, following: str) -> None:
    assert rules.known_next_trading_day(day(today)) == day(following)


def test_a_special_session_is_no_trading_day_before_it_is_announced(rules: MarketRules) -> None:
    budget = date(2026, 2, 1)
    assert not rules.days.contains(budget, date(2026, 1, 15))
    assert rules.days.contains(budget, date(2026, 1, 16))
    assert rules.days.contains(budget)


def test_every_holiday_shift_of_a_nifty_expiry_is_listed_as_scheduled_before_its_list_and_moved_after(
    rules: MarketRules, shared_data: Path
) -> None:
    table = pl.read_parquet(shared_data / "nse-calendar" / "nse_actual_expiry_calendar.parquet")
    dates = pl.col("actual_expiry_date", "original_scheduled_expiry").str.to_date()
    shifts = table.select(dates).filter(pl.col("actual_expiry_date") != pl.col("original_scheduled_expiry")).rows()
    assert len(shifts) == 16
    for actual, scheduled in shifts:
        holiday = rules.days.holidays[scheduled]
        assert holiday.known_from < scheduled
        assert rules.days.can_expire(actual, actual)
        assert not rules.days.can_expire(scheduled, actual), "moved by the notice at the latest"
        fixed = (scheduled.month, scheduled.day) in rules.days.fixed
        assert rules.days.can_expire(scheduled, holiday.known_from - timedelta(days=1)) == (not fixed)
        assert actual in rules.expiries("NIFTY", actual - timedelta(days=1))


def test_every_observed_trading_day_was_known_as_one_on_the_evening_before(
    rules: MarketRules, shared_data: Path
) -> None:
    """No session in the data came without notice, so the evening's next trading day was right on each of them."""
    table = pl.read_csv(
        shared_data / "nse-calendar" / "nse_trading_days_observed_201908_202608.csv", try_parse_dates=True
    )
    observed = sorted(table["trade_date"])
    for today in observed[3:-1]:
        assert rules.known_next_trading_day(today) == rules.next_trading_day(today), today


def test_fixed_holidays_were_without_trading_on_every_observed_weekday(rules: MarketRules, shared_data: Path) -> None:
    table = pl.read_csv(
        shared_data / "nse-calendar" / "nse_trading_days_observed_201908_202608.csv", try_parse_dates=True
    )
    observed = set(table["trade_date"])
    assert len(rules.days.fixed) == 5
    assert not [today for today in observed if (today.month, today.day) in rules.days.fixed]


def with_holiday(rules: MarketRules, day: date, known_from: date) -> MarketRules:
    days: TradingDays = replace(rules.days, holidays={**rules.days.holidays, day: Holiday("declared", known_from)})
    return replace(rules, days=days, _expiries={}, _monthly={})


def test_past_days_do_not_change_when_a_holiday_is_declared(rules: MarketRules) -> None:
    """2026-12-08 is a Tuesday: the NIFTY weekly moves to Monday, from the notice on."""
    notice = date(2026, 12, 2)
    changed = with_holiday(rules, date(2026, 12, 8), notice)
    for today in days_between(date(2026, 11, 2), notice - timedelta(days=1)):
        if rules.is_trading_day(today):
            assert changed.expiries("NIFTY", today) == rules.expiries("NIFTY", today)
            assert changed.known_next_trading_day(today) == rules.known_next_trading_day(today)
    assert date(2026, 12, 8) in changed.expiries("NIFTY", date(2026, 12, 1))
    assert date(2026, 12, 7) in changed.expiries("NIFTY", notice)
    assert changed.known_next_trading_day(date(2026, 12, 7)) == date(2026, 12, 9)


def test_a_monthly_that_a_late_notice_moved_is_monthly_on_both_days(rules: MarketRules) -> None:
    changed = with_holiday(rules, date(2026, 12, 29), date(2026, 12, 20))
    assert changed.is_monthly("NIFTY", date(2026, 12, 29))
    assert changed.is_monthly("NIFTY", date(2026, 12, 28))
    assert rules.is_monthly("NIFTY", date(2023, 6, 29)) and rules.is_monthly("NIFTY", date(2023, 6, 28))
