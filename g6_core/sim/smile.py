"""The modelled volatility surface: fair value of an option from index level, time and the day's volatility.

Volatility depends on the strike through standardised moneyness z = ln(K/F) / (atm * sqrt(T)) only, the same for
call and put, so put-call parity is exact; the wings flatten, which keeps prices convex in the strike.
"""

import math

from g6_core.domain.kernel import kernel
from g6_core.domain.options import black76_price

CARRY_PER_YEAR = 0.065
"""Interest and carry of the forward over the index, continuously compounded."""

_SKEW = -0.08
_CURVATURE = 0.035
_WING = 4.0
_LONG_VOL = 1.2
_TERM_YEARS = 0.15
_LEAST_YEARS = 1.0 / (365.0 * 86_400.0)


@kernel("float64(float64, float64, float64)")
def atm_vol(level: float, factor: float, t_years: float) -> float:
    """At-the-money volatility: now `level * factor`, far out a little above `level`, whatever the day does."""
    now = level * factor
    return now + (level * _LONG_VOL - now) * (1.0 - math.exp(-t_years / _TERM_YEARS))


@kernel("float64(float64)")
def smile(z: float) -> float:
    """Volatility at standardised moneyness `z` over the at-the-money volatility; 1 at z = 0."""
    u = z / math.sqrt(1.0 + (z / _WING) ** 2)
    return 1.0 + _SKEW * u + _CURVATURE * u * u


@kernel("UniTuple(float64, 3)(float64, float64, float64, float64, float64, boolean)")
def fair_value(
    spot: float, strike: float, t_years: float, level: float, factor: float, is_call: bool
) -> tuple[float, float, float]:
    """(value, ln(K/F), total at-the-money volatility); `spot`, `strike` and the value in one unit.

    The last second before expiry is held, so that there is always a value and a volatility.
    """
    years = max(t_years, _LEAST_YEARS)
    growth = math.exp(CARRY_PER_YEAR * years)
    forward = spot * growth
    atm = atm_vol(level, factor, years)
    total_vol = atm * math.sqrt(years)
    log_moneyness = math.log(strike / forward)
    value = black76_price(forward, strike, atm * smile(log_moneyness / total_vol), years, 1.0 / growth, is_call)
    return value, log_moneyness, total_vol
