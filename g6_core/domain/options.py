"""Option maths on a forward: Black-76 price, implied volatility, greeks.

All functions are compiled. Prices, forwards and strikes may be in any one unit (rupees, paise);
`sigma` is per square root of a year (0.12 means 12 %), `t_years` calendar years to expiry, `discount`
the price today of one unit paid at expiry (1.0 where the interest is already in the parity forward).
"""

import math

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel

DAYS_PER_YEAR = 365.0
YEAR_MS = 365 * 86_400_000
_SQRT_2 = math.sqrt(2.0)
_SQRT_2PI = math.sqrt(2.0 * math.pi)
_MAX_STEPS = 80
_MAX_TOTAL_VOL = 64.0
_PRECISION = 4e-16


@kernel("float64(float64)")
def normal_cdf(x: float) -> float:
    """Standard normal distribution, accurate in relative terms in the lower tail."""
    return 0.5 * math.erfc(-x / _SQRT_2)


@kernel("float64(float64)")
def normal_pdf(x: float) -> float:
    """Standard normal density."""
    return math.exp(-0.5 * x * x) / _SQRT_2PI


@kernel("float64(float64, float64)")
def _otm_value(x: float, total_vol: float) -> float:
    """Undiscounted out-of-the-money option over sqrt(forward * strike); `x` = -|ln(forward / strike)|."""
    h = x / total_vol
    t = 0.5 * total_vol
    value = math.exp(0.5 * x) * normal_cdf(h + t) - math.exp(-0.5 * x) * normal_cdf(h - t)
    return max(value, 0.0)


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
    x = -abs(math.log(forward / strike))
    time_value = math.sqrt(forward) * math.sqrt(strike) * _otm_value(x, sigma * math.sqrt(t_years))
    return discount * (intrinsic + time_value)


@kernel("float64(float64, float64)")
def _first_guess(x: float, value: float) -> float:
    """A total volatility near the one that gives `value`; any positive number would do."""
    near_money = value * _SQRT_2PI
    if -x < near_money:
        return near_money
    # Far from the money ln(value) is about -x^2 / (2 s^2).
    return min(-x / math.sqrt(max(-2.0 * math.log(value), 0.1)), math.sqrt(-2.0 * x))


@kernel("float64(float64, float64)")
def _total_vol(x: float, value: float) -> float:
    """Solve `_otm_value(x, s) = value` for s: Halley steps on the logarithm, kept inside a bracket."""
    low = 0.0
    high = 2.0
    while _otm_value(x, high) < value:
        low = high
        high *= 2.0
        if high > _MAX_TOTAL_VOL:
            return math.nan
    target = math.log(value)
    s = _first_guess(x, value)
    if not low < s < high:
        s = 0.5 * (low + high)
    for _ in range(_MAX_STEPS):
        reached = _otm_value(x, s)
        if reached < value:
            low = s
        else:
            high = s
        slope = math.exp(-0.5 * ((x / s) ** 2 + 0.25 * s * s)) / _SQRT_2PI
        following = 0.5 * (low + high)
        if reached > 0.0 and slope > 0.0:
            gap = math.log(reached) - target
            log_slope = slope / reached
            bend = x * x / (s * s * s) - 0.25 * s - log_slope
            divisor = 1.0 - 0.5 * gap * bend / log_slope
            step = gap / log_slope / divisor if divisor > 0.5 else gap / log_slope
            if low < s - step < high:
                following = s - step
        if abs(following - s) <= _PRECISION * s or high - low <= _PRECISION * s:
            return following
        s = following
    return s


@kernel("float64(float64, float64, float64, float64, float64, boolean)")
def implied_vol(price: float, forward: float, strike: float, t_years: float, discount: float, is_call: bool) -> float:
    """Volatility at which `black76_price` gives `price`; nan when there is none.

    None exists at or below the intrinsic value, at or above the forward (call) or the strike (put),
    at expiry and for arguments that are not positive. Works on the out-of-the-money side (an
    in-the-money price is turned over by parity first), so the result is as good as the price's time value.
    """
    if not (price > 0.0 and forward > 0.0 and strike > 0.0 and t_years > 0.0 and discount > 0.0):
        return math.nan
    undiscounted = price / discount
    intrinsic = max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
    time_value = undiscounted - intrinsic
    # What is left of a price this close to intrinsic is rounding, not time value.
    if time_value <= 4e-16 * undiscounted or time_value >= min(forward, strike):
        return math.nan
    x = -abs(math.log(forward / strike))
    value = time_value / (math.sqrt(forward) * math.sqrt(strike))
    return _total_vol(x, value) / math.sqrt(t_years)


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
