"""Option maths on a forward: Black-76 price, implied volatility, greeks.

All functions are compiled. Prices, forwards and strikes may be in any one unit (rupees, paise);
`sigma` is per square root of a year (0.12 means 12 %), `t_years` calendar years to expiry, `discount`
the price today of one unit paid at expiry (1.0 where the interest is already in the parity forward).
"""

import math

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.domain.total_vol import total_vol_of, value_and_rest

DAYS_PER_YEAR = 365.0
YEAR_MS = 365 * 86_400_000
_SQRT_2 = math.sqrt(2.0)
_SQRT_2PI = math.sqrt(2.0 * math.pi)
# Dekker's constant: splits a double into halves whose products are exact.
_SPLIT = 134217729.0
# Below this a ratio has lost digits; its logarithm is taken apart.
_TINY = 1e-290
_LEAST = 5e-324


@kernel("float64(float64)")
def normal_cdf(x: float) -> float:
    """Standard normal distribution, accurate in relative terms in the lower tail."""
    return 0.5 * math.erfc(-x / _SQRT_2)


@kernel("float64(float64)")
def normal_pdf(x: float) -> float:
    """Standard normal density."""
    return math.exp(-0.5 * x * x) / _SQRT_2PI


@kernel("float64(float64, float64)")
def _distance(forward: float, strike: float) -> float:
    """|ln(forward / strike)|, in full relative accuracy also where the two are nearly the same."""
    smaller, larger = min(forward, strike), max(forward, strike)
    if larger < 2.0 * smaller:
        return math.log1p((larger - smaller) / smaller)
    return math.log(larger) - math.log(smaller) if larger > 1e300 * smaller else math.log(larger / smaller)


@kernel("float64(float64, float64, float64)")
def _beyond(price: float, discount: float, amount: float) -> float:
    """price - discount * amount as if the product were not rounded: its sign is right and so are its last digits."""
    if discount == 1.0:
        return price - amount
    product = discount * amount
    high = discount * _SPLIT
    high -= high - discount
    wide = amount * _SPLIT
    wide -= wide - amount
    low, narrow = discount - high, amount - wide
    rounded_away = ((high * wide - product) + high * narrow + low * wide) + low * narrow
    return (price - product) - rounded_away


@kernel("float64(float64, float64, float64, float64, boolean)")
def _time_value(price: float, forward: float, strike: float, discount: float, is_call: bool) -> float:
    """Price over the discounted intrinsic value, rounded once at the end; negative when below it."""
    worth, paid = (forward, strike) if is_call else (strike, forward)
    if worth <= paid:
        return price
    intrinsic = worth - paid
    # What the subtraction rounded away (exactly 0 while neither is twice the other).
    lost = (worth - (intrinsic + (worth - intrinsic))) + ((worth - intrinsic) - paid)
    return _beyond(price, discount, intrinsic) - discount * lost


@kernel("float64(float64, float64, float64, float64, float64, boolean)")
def black76_price(forward: float, strike: float, sigma: float, t_years: float, discount: float, is_call: bool) -> float:
    """Price of a European option; its discounted intrinsic value when `sigma` or `t_years` is 0 or less.

    Returns nan when forward or strike is not positive.
    """
    if not (forward > 0.0 and strike > 0.0):
        return math.nan
    intrinsic = max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
    if sigma <= 0.0 or t_years <= 0.0:
        return discount * intrinsic
    value, _ = value_and_rest(_distance(forward, strike), sigma * math.sqrt(t_years))
    return discount * (intrinsic + min(forward, strike) * value)


@kernel("float64(float64, float64, float64, float64, float64, boolean)")
def implied_vol(price: float, forward: float, strike: float, t_years: float, discount: float, is_call: bool) -> float:
    """Volatility at which the Black-76 price is `price`; nan when there is none.

    None exists at or below the intrinsic value, at or above the discounted forward (call) or strike (put), at expiry
    and for arguments that are not positive; what is above or below is decided in exact arithmetic. The arguments are
    taken as exact: the error stays below 1e-10 even one rounding step above intrinsic or below the bound. (A price
    that was rounded before it came here belongs to a volatility up to eps * price / vega away, and no solver knows.)
    """
    if not (price > 0.0 and forward > 0.0 and strike > 0.0 and t_years > 0.0 and discount > 0.0):
        return math.nan
    time_value = _time_value(price, forward, strike, discount, is_call)
    room = -_beyond(price, discount, forward if is_call else strike)
    if not (time_value > 0.0 and room > 0.0):
        return math.nan
    largest = discount * min(forward, strike)
    value = max(time_value / largest, _LEAST)
    log_value = math.log(value) if value > _TINY else math.log(time_value) - math.log(largest)
    return total_vol_of(_distance(forward, strike), value, room / largest, log_value) / math.sqrt(t_years)


@kernel("UniTuple(float64, 5)(float64, float64, float64, float64, float64, boolean)")
def greeks(
    forward: float, strike: float, sigma: float, t_years: float, discount: float, is_call: bool
) -> tuple[float, float, float, float, float]:
    """(delta, gamma, theta_per_day, vega_per_pct, rho_per_pct); five nan where no volatility stands.

    Delta and gamma are per unit of the forward. Theta is the change over one calendar day at a
    constant forward, vega per one point of volatility (0.01), rho per one point of interest at a constant forward.
    """
    if not (forward > 0.0 and strike > 0.0 and sigma > 0.0 and t_years > 0.0 and discount > 0.0):
        return math.nan, math.nan, math.nan, math.nan, math.nan
    root = math.sqrt(t_years)
    total_vol = sigma * root
    d1 = math.log(forward / strike) / total_vol + 0.5 * total_vol
    price = black76_price(forward, strike, sigma, t_years, discount, is_call)
    density = normal_pdf(d1)
    delta = discount * (normal_cdf(d1) if is_call else -normal_cdf(-d1))
    gamma = discount * density / (forward * total_vol)
    rate = -math.log(discount) / t_years
    theta = rate * price - discount * forward * density * sigma / (2.0 * root)
    vega = discount * forward * density * root
    return delta, gamma, theta / DAYS_PER_YEAR, vega / 100.0, -t_years * price / 100.0


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], boolean[::1], float64[::1])")
def implied_vols(
    prices: NDArray[np.float64],
    forwards: NDArray[np.float64],
    strikes: NDArray[np.float64],
    t_years: NDArray[np.float64],
    discounts: NDArray[np.float64],
    is_call: NDArray[np.bool_],
    out: NDArray[np.float64],
) -> None:
    """`implied_vol` row by row into `out`; all arrays have the same length."""
    for i in range(len(prices)):
        out[i] = implied_vol(prices[i], forwards[i], strikes[i], t_years[i], discounts[i], is_call[i])


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], boolean[::1], float64[:, ::1])")
def greeks_of(
    forwards: NDArray[np.float64],
    strikes: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    t_years: NDArray[np.float64],
    discounts: NDArray[np.float64],
    is_call: NDArray[np.bool_],
    out: NDArray[np.float64],
) -> None:
    """`greeks` row by row into `out`, shape (n, 5)."""
    for i in range(len(forwards)):
        row = greeks(forwards[i], strikes[i], sigmas[i], t_years[i], discounts[i], is_call[i])
        for j in range(5):
            out[i, j] = row[j]


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], boolean[::1], float64[:, ::1])")
def vols_and_greeks(
    prices: NDArray[np.float64],
    forwards: NDArray[np.float64],
    strikes: NDArray[np.float64],
    t_years: NDArray[np.float64],
    discounts: NDArray[np.float64],
    is_call: NDArray[np.bool_],
    out: NDArray[np.float64],
) -> None:
    """(sigma, the five `greeks` at it) row by row into `out`, shape (n, 6); six nan where there is no sigma."""
    for i in range(len(prices)):
        sigma = implied_vol(prices[i], forwards[i], strikes[i], t_years[i], discounts[i], is_call[i])
        row = greeks(forwards[i], strikes[i], sigma, t_years[i], discounts[i], is_call[i])
        out[i, 0] = sigma
        for j in range(5):
            out[i, 1 + j] = row[j]
