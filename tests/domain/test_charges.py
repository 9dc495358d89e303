"""Charges: a worked example, the dated rates, and what must hold for every order."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.domain.calendar import MarketRules
from g6_core.domain.charges import ChargeRates, Charges, order_charges
from g6_core.domain.orders import Side

NSE_2026 = ChargeRates(
    brokerage_paise=2000,
    stt_sell_pct=Decimal("0.15"),
    exchange_pct=Decimal("0.03552"),
    investor_protection_pct=Decimal("0.00001"),
    sebi_pct=Decimal("0.0001"),
    stamp_buy_pct=Decimal("0.003"),
    gst_pct=Decimal(18),
)
TURNOVER = st.integers(min_value=1, max_value=10**13)
RATES = st.builds(
    ChargeRates,
    brokerage_paise=st.integers(0, 10_000),
    stt_sell_pct=st.decimals(0, 1, places=5),
    exchange_pct=st.decimals(0, 1, places=5),
    investor_protection_pct=st.decimals(0, 1, places=7),
    sebi_pct=st.decimals(0, 1, places=5),
    stamp_buy_pct=st.decimals(0, 1, places=5),
    gst_pct=st.decimals(0, 30, places=2),
)


def test_one_lot_of_nifty_bought_at_100_and_sold_at_110_costs_what_the_fact_sheet_says() -> None:
    # Its STT of 11 rupees is the contract note's rounding of 10.73; its SEBI fee is rounded once, not per order.
    bought = order_charges(NSE_2026, Side.BUY, 65 * 100_00)
    sold = order_charges(NSE_2026, Side.SELL, 65 * 110_00)
    assert bought == Charges(2000, 0, 231, 1, 20, 402)
    assert sold == Charges(2000, 1073, 254, 1, 0, 406)
    both = bought + sold
    assert (both.brokerage_paise, both.stt_paise, both.exchange_paise) == (4000, 1073, 485)
    assert (both.sebi_paise, both.stamp_paise, both.gst_paise) == (2, 20, 808)
    assert both.total_paise == 63_88


@pytest.mark.parametrize(
    ("day", "exchange", "stt_sell_pct", "exchange_total_pct"),
    [
        ("2023-03-31", "NFO", "0.05", "0.0530001"),
        ("2023-04-01", "NFO", "0.0625", "0.0505"),
        ("2024-09-30", "NFO", "0.0625", "0.05"),
        ("2024-10-01", "NFO", "0.1", "0.03553"),
        ("2025-08-29", "NFO", "0.1", "0.03553"),
        ("2026-03-31", "NFO", "0.1", "0.03553"),
        ("2026-04-01", "NFO", "0.15", "0.03553"),
        ("2024-09-30", "BFO", "0.0625", "0.05"),
        ("2025-08-29", "BFO", "0.1", "0.0325"),
        ("2026-08-18", "BFO", "0.15", "0.0325"),
    ],
)
def test_the_rates_of_the_day_apply(
    rules: MarketRules, day: str, exchange: str, stt_sell_pct: str, exchange_total_pct: str
) -> None:
    rates = rules.charge_rates(exchange, date.fromisoformat(day))
    assert rates.stt_sell_pct == Decimal(stt_sell_pct)
    assert rates.exchange_pct + rates.investor_protection_pct == Decimal(exchange_total_pct)


def test_the_shipped_rates_of_2026_are_the_ones_of_the_worked_example(rules: MarketRules) -> None:
    assert rules.charge_rates("NFO", date(2026, 8, 18)) == NSE_2026


def test_an_order_without_a_fill_costs_nothing() -> None:
    assert order_charges(NSE_2026, Side.BUY, 0) == Charges()


@given(rates=RATES, side=st.sampled_from(Side), turnover=TURNOVER)
def test_charges_are_never_negative_and_tax_the_right_side(rates: ChargeRates, side: Side, turnover: int) -> None:
    charges = order_charges(rates, side, turnover)
    parts = (charges.brokerage_paise, charges.stt_paise, charges.exchange_paise, charges.sebi_paise)
    assert min(*parts, charges.stamp_paise, charges.gst_paise) >= 0
    assert charges.brokerage_paise == rates.brokerage_paise
    assert charges.stt_paise == 0 or side is Side.SELL
    assert charges.stamp_paise == 0 or side is Side.BUY


@given(rates=RATES, side=st.sampled_from(Side), first=TURNOVER, second=TURNOVER)
def test_two_orders_cost_their_sum_within_rounding_and_one_more_brokerage(
    rates: ChargeRates, side: Side, first: int, second: int
) -> None:
    together = order_charges(rates, side, first + second)
    apart = order_charges(rates, side, first) + order_charges(rates, side, second)
    assert apart.brokerage_paise == together.brokerage_paise + rates.brokerage_paise
    for name in ("stt_paise", "exchange_paise", "sebi_paise", "stamp_paise"):
        assert abs(getattr(apart, name) - getattr(together, name)) <= 1, name
    extra_gst = rates.brokerage_paise * rates.gst_pct / 100
    assert abs(apart.gst_paise - together.gst_paise - extra_gst) <= 3


@given(rates=RATES, side=st.sampled_from(Side), turnover=TURNOVER)
def test_more_turnover_never_costs_less(rates: ChargeRates, side: Side, turnover: int) -> None:
    assert order_charges(rates, side, turnover + 1).total_paise >= order_charges(rates, side, turnover).total_paise


def test_half_a_paisa_rounds_up() -> None:
    # 5,000 rupees at 0.0001 % are 0.5 paise.
    assert order_charges(NSE_2026, Side.BUY, 500_000).sebi_paise == 1
    assert order_charges(NSE_2026, Side.BUY, 499_999).sebi_paise == 0
