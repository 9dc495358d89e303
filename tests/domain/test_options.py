"""Black-76 and implied volatility against an independent reference in high-precision decimals, and on a real chain."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.exact import error_of, has_volatility, price_and_vega
from benchmarks.iv import error_bound, random_contracts
from benchmarks.iv import solve as solve_all
from benchmarks.nse_chain import stamps, two_sided
from g6_core.domain.options import black76_price, greeks, greeks_of, implied_vol, implied_vols, vols_and_greeks

FORWARD = 24500.0
MINUTE = 1 / 525_600
DAY = 1 / 365


EPS = float(np.finfo(np.float64).eps)


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
    exact, _ = price_and_vega(FORWARD, strike, sigma, years, 0.99, is_call)
    found = black76_price(FORWARD, strike, sigma, years, 0.99, is_call)
    assert abs(Decimal(found) - exact) <= Decimal("1e-11") + exact * Decimal("1e-12")


@pytest.mark.parametrize(("strike", "sigma", "years", "is_call"), CASES)
def test_implied_volatility_inverts_the_exact_price(strike: float, sigma: float, years: float, is_call: bool) -> None:
    exact, vega = price_and_vega(FORWARD, strike, sigma, years, 0.99, is_call)
    price = float(exact)
    # What the price's last digit leaves open; the solver adds nothing that could be seen.
    allowed = max(1e-10, 8 * EPS * price / float(vega))
    assert abs(implied_vol(price, FORWARD, strike, years, 0.99, is_call) - sigma) <= allowed


@settings(max_examples=300, deadline=None)
@given(
    forward=st.floats(1.0, 1e6),
    moneyness=st.floats(-1.5, 1.5),
    sigma=st.floats(0.01, 3.0),
    years=st.floats(math.log(1e-3 / 31_536_000 * 50), math.log(3.0)).map(math.exp),
    discount=st.floats(0.8, 1.0) | st.just(1.0),
    is_call=st.booleans(),
    steps=st.integers(0, 3),
    edge=st.sampled_from(["price", "intrinsic", "bound", "tiny"]),
)
def test_whatever_has_a_volatility_is_solved_exactly_and_nothing_else_is(
    forward: float,
    moneyness: float,
    sigma: float,
    years: float,
    discount: float,
    is_call: bool,
    steps: int,
    edge: str,
) -> None:
    strike = forward * math.exp(moneyness)
    worth, paid = (forward, strike) if is_call else (strike, forward)
    price = {
        "price": black76_price(forward, strike, sigma, years, discount, is_call),
        "intrinsic": discount * max(worth - paid, 0.0),
        "bound": discount * worth,
        "tiny": 0.0,
    }[edge]
    for _ in range(steps):
        price = math.nextafter(price, 0.0 if edge == "bound" else math.inf)
    found = implied_vol(price, forward, strike, years, discount, is_call)
    if has_volatility(price, forward, strike, discount, is_call):
        assert found > 0
        if price > 1e-150:  # beyond, fifty digits are not enough for the judge
            assert abs(error_of(found, price, forward, strike, years, discount, is_call)) <= 1e-10 * max(1.0, found)
    else:
        assert math.isnan(found)


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
    assert [black76_price(FORWARD, 25000.0, tiny, DAY, 1.0, True) for tiny in (1e-5, 1e-100, 1e-300)] == [0.0] * 3


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
    both = np.empty((n, 6))
    prices[0] = 0.0
    vols_and_greeks(prices, forwards, strikes, years, discounts, is_call, both)
    assert np.isnan(both[0]).all()
    assert np.array_equal(both[1:], np.column_stack([vols, table])[1:])


def test_a_hundred_thousand_random_contracts_keep_the_error_bound() -> None:
    contracts, sigmas = random_contracts(100_000)
    error = np.abs(solve_all(contracts)() - sigmas)
    assert (error <= error_bound(contracts, sigmas)).all()


def test_every_quote_of_a_real_day_is_solved_or_has_no_volatility_and_every_fiftieth_reprices(shared_data) -> None:
    path = shared_data / "nse-chain-20250829" / "NIFTY.parquet"
    chain = two_sided(path, stamps(path))
    found = solve_all(chain)()
    worth = np.where(chain.is_call, chain.forwards, chain.strikes)
    intrinsic = np.maximum(worth - np.where(chain.is_call, chain.strikes, chain.forwards), 0.0)
    solvable = (chain.prices > intrinsic) & (chain.prices < worth) & (chain.t_years > 0)
    assert np.array_equal(np.isfinite(found), solvable)
    assert solvable.sum() > 300_000
    some = np.flatnonzero(solvable)[::50]
    solved, sigmas = chain.part(some), found[some]
    again = [
        black76_price(forward, strike, sigma, years, discount, is_call)
        for sigma, (_, forward, strike, years, discount, is_call) in zip(sigmas.tolist(), solved.rows(), strict=True)
    ]
    assert np.array(again) == pytest.approx(solved.prices, rel=1e-12)


def test_a_sample_of_a_real_day_agrees_with_fifty_digits(shared_data) -> None:
    path = shared_data / "nse-chain-20250829" / "NIFTY.parquet"
    chain = two_sided(path, stamps(path)[100:101])
    solved = [(sigma, *row) for sigma, row in zip(solve_all(chain)(), chain.rows(), strict=True) if sigma > 0]
    assert len(solved) > 1_000
    assert max(abs(error_of(*one)) for one in solved[::7]) <= 1e-10


def _intrinsic(strike: float, is_call: bool, forward: float = FORWARD) -> float:
    return max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
