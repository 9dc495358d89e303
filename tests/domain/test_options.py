"""Black-76 and implied volatility against an independent reference in high-precision decimals, and on a real chain."""

import math
from decimal import Decimal, getcontext

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g6_core.domain.options import black76_price, greeks, greeks_of, implied_vol, implied_vols

getcontext().prec = 50
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
FORWARD = 24500.0
MINUTE = 1 / 525_600
DAY = 1 / 365


def exact_cdf(x: Decimal) -> Decimal:
    """Standard normal distribution by its power series, and by a continued fraction in the tails."""
    if abs(x) < 7:
        term = total = x
        n = 0
        while abs(term) > Decimal("1e-45"):
            n += 1
            term *= -x * x / (2 * n)
            total += term / (2 * n + 1)
        return Decimal("0.5") + total / (2 * PI).sqrt()
    z = abs(x)
    fraction = z
    for n in range(120, 0, -1):
        fraction = z + n / fraction
    tail = (-z * z / 2).exp() / (2 * PI).sqrt() / fraction
    return tail if x < 0 else 1 - tail


def exact_price(forward: float, strike: float, sigma: float, years: float, discount: float, is_call: bool) -> Decimal:
    """Black-76 in 50 digits."""
    f, k, s, t, d = (Decimal(value) for value in (forward, strike, sigma, years, discount))
    total = s * t.sqrt()
    d1 = (f / k).ln() / total + total / 2
    d2 = d1 - total
    if is_call:
        return d * (f * exact_cdf(d1) - k * exact_cdf(d2))
    return d * (k * exact_cdf(-d2) - f * exact_cdf(-d1))


CASES = [
    pytest.param(strike, sigma, years, is_call, id=f"{name}-{'call' if is_call else 'put'}")
    for name, strike, sigma, years in [
        ("at the money, a week", 24500.0, 0.10, 7 * DAY),
        ("near the money, a day", 24600.0, 0.08, DAY),
        ("out by 5 %, two months", 25725.0, 0.12, 60 * DAY),
        ("far out, four days", 27000.0, 0.25, 4 * DAY),
        ("far in, four days", 23000.0, 0.14, 4 * DAY),
        ("one minute to expiry", 24505.0, 0.30, MINUTE),
        ("out, ten minutes to expiry", 24550.0, 0.35, 10 * MINUTE),
        ("five years", 30000.0, 0.18, 5.0),
        ("wild volatility", 24500.0, 3.0, 30 * DAY),
    ]
    for is_call in (True, False)
]


@pytest.mark.parametrize(("strike", "sigma", "years", "is_call"), CASES)
def test_the_price_agrees_with_fifty_digits(strike: float, sigma: float, years: float, is_call: bool) -> None:
    exact = exact_price(FORWARD, strike, sigma, years, 0.99, is_call)
    found = black76_price(FORWARD, strike, sigma, years, 0.99, is_call)
    assert abs(Decimal(found) - exact) <= Decimal("1e-11") + exact * Decimal("1e-12")


@pytest.mark.parametrize(("strike", "sigma", "years", "is_call"), CASES)
def test_implied_volatility_inverts_the_exact_price(strike: float, sigma: float, years: float, is_call: bool) -> None:
    price = float(exact_price(FORWARD, strike, sigma, years, 0.99, is_call))
    vega = 100 * greeks(FORWARD, strike, sigma, years, 0.99, is_call)[3]
    # One rounding of the price is all that a price can say about the volatility.
    allowed = max(1e-9, 4 * math.ulp(price) / vega)
    assert abs(implied_vol(price, FORWARD, strike, years, 0.99, is_call) - sigma) <= allowed


@settings(max_examples=200, deadline=None)
@given(
    moneyness=st.floats(-0.25, 0.25),
    sigma=st.floats(0.02, 2.0),
    years=st.floats(MINUTE, 2.0),
    discount=st.floats(0.9, 1.0),
    is_call=st.booleans(),
)
def test_implied_volatility_comes_back_wherever_the_price_knows_it(
    moneyness: float, sigma: float, years: float, discount: float, is_call: bool
) -> None:
    strike = FORWARD * math.exp(moneyness)
    price = black76_price(FORWARD, strike, sigma, years, discount, is_call)
    vega = 100 * greeks(FORWARD, strike, sigma, years, discount, is_call)[3]
    knows = vega * 1e-9 > 8 * math.ulp(price) and price - discount * _intrinsic(strike, is_call) > 1e-100
    found = implied_vol(price, FORWARD, strike, years, discount, is_call)
    if knows:
        assert abs(found - sigma) <= 1e-9
    else:
        assert math.isnan(found) or found > 0


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize(
    ("why", "price", "strike", "years"),
    [
        ("zero", 0.0, 24500.0, DAY),
        ("negative", -1.0, 24500.0, DAY),
        ("unknown", math.nan, 24500.0, DAY),
        ("at intrinsic", 500.0, None, DAY),
        ("below intrinsic", 499.0, None, DAY),
        ("at the most it can be worth", 24500.0, 24500.0, DAY),
        ("expired", 100.0, 24500.0, 0.0),
        ("after expiry", 100.0, 24500.0, -DAY),
        ("no strike", 100.0, 0.0, DAY),
    ],
)
def test_a_price_without_a_volatility_gives_nan(
    why: str, price: float, strike: float | None, years: float, is_call: bool
) -> None:
    in_the_money = FORWARD - 500 if is_call else FORWARD + 500
    found = implied_vol(price, FORWARD, in_the_money if strike is None else strike, years, 1.0, is_call)
    assert math.isnan(found), why


@settings(max_examples=100, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(0.03, 1.5), st.floats(MINUTE, 1.0), st.floats(0.9, 1.0))
def test_put_call_parity_and_bounds_hold(moneyness: float, sigma: float, years: float, discount: float) -> None:
    strike = FORWARD * math.exp(moneyness)
    call = black76_price(FORWARD, strike, sigma, years, discount, True)
    put = black76_price(FORWARD, strike, sigma, years, discount, False)
    assert call - put == pytest.approx(discount * (FORWARD - strike), abs=1e-9)
    assert discount * _intrinsic(strike, True) <= call <= discount * FORWARD
    assert discount * _intrinsic(strike, False) <= put <= discount * strike


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize("strike", [24000.0, 24500.0, 25100.0])
def test_greeks_are_the_slopes_of_the_price(strike: float, is_call: bool) -> None:
    sigma, years, discount = 0.12, 20 * DAY, 0.995
    rate = -math.log(discount) / years
    delta, gamma, theta, vega, rho = greeks(FORWARD, strike, sigma, years, discount, is_call)

    def price(forward: float = FORWARD, vol: float = sigma, t: float = years, interest: float = rate) -> float:
        return black76_price(forward, strike, vol, t, math.exp(-interest * t), is_call)

    assert delta == pytest.approx((price(FORWARD + 1) - price(FORWARD - 1)) / 2, rel=1e-5)
    assert gamma == pytest.approx(price(FORWARD + 1) - 2 * price() + price(FORWARD - 1), rel=1e-3)
    assert vega == pytest.approx((price(vol=sigma + 1e-5) - price(vol=sigma - 1e-5)) / 2e-5 / 100, rel=1e-5)
    step = 1e-6
    assert theta == pytest.approx((price(t=years - step) - price(t=years + step)) / (2 * step) / 365, rel=1e-5)
    assert rho == pytest.approx((price(interest=rate + 1e-6) - price(interest=rate - 1e-6)) / 2e-6 / 100, rel=1e-5)


def test_greeks_without_a_volatility_are_unknown() -> None:
    assert all(math.isnan(value) for value in greeks(FORWARD, 24500.0, math.nan, DAY, 1.0, True))


def test_the_price_without_time_or_volatility_is_intrinsic() -> None:
    assert black76_price(FORWARD, 24000.0, 0.0, DAY, 1.0, True) == 500.0
    assert black76_price(FORWARD, 24000.0, 0.1, 0.0, 1.0, False) == 0.0
    assert math.isnan(black76_price(0.0, 24000.0, 0.1, DAY, 1.0, True))


def test_array_versions_agree_with_the_scalar_ones() -> None:
    strikes = np.arange(23000.0, 26001.0, 50.0)
    n = len(strikes)
    is_call = np.arange(n) % 2 == 0
    forwards, years, discounts = np.full(n, FORWARD), np.full(n, 6 * DAY), np.full(n, 0.999)
    prices = np.array(
        [black76_price(FORWARD, k, 0.11, 6 * DAY, 0.999, c) for k, c in zip(strikes, is_call, strict=True)]
    )
    vols, table = np.empty(n), np.empty((n, 5))
    implied_vols(prices, forwards, strikes, years, discounts, is_call, vols)
    greeks_of(forwards, strikes, vols, years, discounts, is_call, table)
    assert vols == pytest.approx(np.full(n, 0.11), abs=1e-9)
    assert tuple(table[7]) == greeks(FORWARD, strikes[7], vols[7], 6 * DAY, 0.999, bool(is_call[7]))


def test_every_option_of_a_real_chain_with_time_value_is_solved_and_reprices(shared_data) -> None:
    columns = ["collection_timestamp", "expiry", "Strike_Price", "CALLS_LTP", "PUTS_LTP"]
    chain = (
        pl.scan_parquet(shared_data / "nse-chain-20250829" / "NIFTY.parquet")
        .select(columns)
        .filter(pl.col("collection_timestamp") == pl.col("collection_timestamp").max())
        .filter(pl.col("expiry") == pl.col("expiry").min())
        .collect()
    )
    forward, years, solved = 24467.75, 4 * DAY, 0
    for strike, call, put in chain.select(columns[2:]).iter_rows():
        for price, is_call in ((call, True), (put, False)):
            if not price or price <= _intrinsic(strike, is_call, forward) + 0.01:
                continue
            sigma = implied_vol(price, forward, strike, years, 1.0, is_call)
            assert black76_price(forward, strike, sigma, years, 1.0, is_call) == pytest.approx(price, rel=1e-12)
            solved += 1
    assert solved > 80


def _intrinsic(strike: float, is_call: bool, forward: float = FORWARD) -> float:
    return max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
