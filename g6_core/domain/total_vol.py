"""The Black function and its inverse, normalised: time value against total volatility.

Everything is a ratio. `distance` is |ln(forward / strike)|, `total_vol` is sigma * sqrt(t), `value` is the undiscounted
time value over the smaller of forward and strike (0 to 1), `rest` is 1 - value. With eta = distance / total_vol and
half = total_vol / 2 the out-of-the-money side is

    value = pdf(eta - half) * (M(eta - half) - M(eta + half))     while half <= eta
    rest  = pdf(half - eta) * (M(half - eta) + M(half + eta))     beyond

where M(z) = (1 - cdf(z)) / pdf(z) is Mills' ratio. Neither form overflows or underflows before the answer does, and
their logarithms need no exponential, so that the inverse iterates on ln(value) or ln(rest) with exact derivatives.
"""

import math

from g6_core.domain.kernel import kernel

_LN_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
# Below this half total volatility a difference of Mills' ratios is its Taylor series, wrong by half^6 / 105.
_SMALL_HALF = 3e-3
_FAR = 1e8
# So many deviations out the density is 0 as a double.
_NOTHING = 39.0
# Distance over symmetric value up to which the first guess is a fraction of that ratio; eta is 1.2 there.
_NEAR_MONEY = 22.9
# A step this small, relative to the volatility, leaves an error of its fourth power.
_LAST_STEP = 1e-4
_MAX_STEPS = 64


@kernel("float64(float64)")
def mills(z: float) -> float:
    """Mills' ratio of the normal distribution for z >= 0, within three units of the last place.

    A rational minimax fit (relative error 1e-17 before rounding) over the whole half-line; all its coefficients are
    positive, so nothing cancels.
    """
    if z > _FAR:
        return 1.0 / z
    y = z * z
    above = (
        ((((8.329793015549676e-07 * y + 0.00035512049940935307) * y + 0.02184318327186865) * y + 0.3775079405695125) * y
         + 1.8226714614521997) * y + 1.2533141373155003
    ) + z * (
        (((2.4429579173511118e-05 * y + 0.003316511254795584) * y + 0.10548765492007942) * y + 0.98912437752782) * y
        + 2.150327177015237
    )  # fmt: skip
    below = (
        ((((2.442957917351114e-05 * y + 0.003340940833971759) * y + 0.10875530703414833) * y + 1.0882233279136873) * y
         + 2.9598419888234817) * y + 1.0
    ) + z * (
        ((((8.329793015549676e-07 * y + 0.0003559534787108948) * y + 0.022196637812396475) * y + 0.3986492118934563) * y
         + 2.159982107101001) * y + 2.513597416018135
    )  # fmt: skip
    return above / below


@kernel("float64(float64, float64)")
def _mills_drop(eta: float, half: float) -> float:
    """M(eta - half) - M(eta + half) for a small `half`, without the cancellation of the difference."""
    # Derivatives of M, by M' = eta M - 1 and its own derivatives.
    ratio = mills(eta)
    first = eta * ratio - 1.0
    second = eta * first + ratio
    third = eta * second + 2.0 * first
    fourth = eta * third + 3.0 * second
    fifth = eta * fourth + 4.0 * third
    square = half * half
    return -2.0 * half * (first + square * (third / 6.0 + square * fifth / 120.0))


@kernel("UniTuple(float64, 2)(float64, float64)")
def value_and_rest(distance: float, total_vol: float) -> tuple[float, float]:
    """(value, 1 - value) of the out-of-the-money option; `total_vol` > 0.

    Each is accurate in relation to itself where it is the smaller one, except a value within half the total volatility
    of the money: it is what `rest` leaves of 1, so its error is some last digits of 1.
    """
    eta = distance / total_vol
    half = 0.5 * total_vol
    gap = eta - half
    if gap > _NOTHING:
        return 0.0, 1.0
    density = _INV_SQRT_2PI * math.exp(-0.5 * gap * gap)
    if half < _SMALL_HALF:
        value = density * _mills_drop(eta, half)
        return value, 1.0 - value
    if gap >= 0.0:
        value = density * (mills(gap) - mills(eta + half))
        return value, 1.0 - value
    rest = density * (mills(-gap) + mills(eta + half))
    return 1.0 - rest, rest


@kernel("float64(float64, float64, float64, float64)")
def _first_guess(distance: float, value: float, rest: float, log_value: float) -> float:
    """Total volatility to a few parts in 1e5 where it is below 0.3, and of the right size everywhere.

    The normal (Bachelier) model with the same symmetric price, whose inverse is a function of one variable, and the
    first correction from normal to lognormal.
    """
    symmetric = value * math.exp(-0.5 * distance)
    if distance < _NEAR_MONEY * symmetric:
        x = distance / symmetric
        above = ((0.03008355627677866 * x + 0.6871737608898373) * x + 2.7629850970197283) * x + 2.506692841429996
        below = ((0.00011087109518767217 * x + 0.04945910699885065) * x + 0.6029624716360582) * x + 1.0
        normal_vol = symmetric * above / below
    else:
        x = math.sqrt(2.0 * (0.5 * distance + math.log(distance) - log_value))
        above = ((0.034381958220481026 * x + 0.14935738376181423) * x - 0.33059988998838313) * x + 1.0
        below = ((0.03439993107962926 * x + 0.1463855929547454) * x - 0.7040909570549384) * x + 1.3460121757871093
        normal_vol = distance * above / (below * x - 0.5870438641827902)
    half, eta = 0.5 * normal_vol, distance / normal_vol
    guess = normal_vol * (1.0 + half * half / (6.0 + 2.0 * eta * eta))
    if value > 0.6:
        return max(guess, math.sqrt(-8.0 * math.log(rest)))
    return guess


@kernel("float64(float64, float64, float64, float64)")
def total_vol_of(distance: float, value: float, rest: float, log_value: float) -> float:
    """The total volatility with this value; all of value, rest = 1 - value > 0 and ln(value) are taken as exact.

    Householder steps of fourth order on the logarithm, kept inside a bracket that every step narrows: two of them where
    the guess is poor, one where it is good.
    """
    vol = _first_guess(distance, value, rest, log_value)
    low, high = 0.0, math.inf
    for _ in range(_MAX_STEPS):
        eta = distance / vol
        half = 0.5 * vol
        gap = eta - half
        # `slope` is d ln(value) / d vol, or d ln(rest) / d vol where the rest is iterated on.
        if half < _SMALL_HALF or gap >= 0.0:
            drop = _mills_drop(eta, half) if half < _SMALL_HALF else mills(gap) - mills(eta + half)
            slope = 1.0 / drop
            error = math.log(drop) - 0.5 * gap * gap - _LN_SQRT_2PI - log_value
        else:
            total = mills(-gap) + mills(eta + half)
            slope = -1.0 / total
            error = math.log(total / rest) - 0.5 * gap * gap - _LN_SQRT_2PI
        if error * slope > 0.0:
            high = vol
        else:
            low = vol
        newton = -error / slope
        eta_eta = eta * eta
        bend = (eta_eta - half * half) / vol
        second = bend - slope
        third = second * second - slope * second - 3.0 * eta_eta / (vol * vol) - 0.25
        step = newton * (1.0 + 0.5 * newton * second) / (1.0 + newton * (second + newton * third / 6.0))
        following = vol + step
        if abs(step) <= _LAST_STEP * vol:
            return following
        if not low < following < high:
            following = 0.5 * (low + high) if high < math.inf else 2.0 * vol
        vol = following
    return vol
