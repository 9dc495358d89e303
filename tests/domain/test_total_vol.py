"""Mills' ratio and the normalised Black function against fifty digits, and its inverse everywhere."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.exact import normal_cdf
from g6_core.domain.total_vol import mills, total_vol_of, value_and_rest

EPS = float(np.finfo(np.float64).eps)


def exact_mills(z: float) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        x = Decimal(z)
        return normal_cdf(-x) * (2 * Decimal(math.pi)).sqrt() * (x * x / 2).exp()


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.1, 0.5, 1.0, 1.7, 2.5, 4.0, 6.9, 7.1, 12.0, 30.0, 60.0])
def test_mills_ratio_is_right_to_the_last_digits_on_the_whole_half_line(z: float) -> None:
    assert mills(z) == pytest.approx(float(exact_mills(z)), rel=4 * EPS)


@pytest.mark.parametrize("z", [1e8, 1e9, 1e150, 1e300])
def test_far_out_mills_ratio_is_one_over_its_argument(z: float) -> None:
    assert mills(z) == pytest.approx(1 / z, rel=1e-15)


@settings(max_examples=300, deadline=None)
@given(st.floats(0.0, 60.0), st.floats(math.log(1e-9), math.log(20.0)).map(math.exp))
def test_the_total_volatility_comes_back_from_its_value(distance: float, total_vol: float) -> None:
    value, rest = value_and_rest(distance, total_vol)
    assert value >= 0 and rest >= 0 and value + rest == pytest.approx(1.0, abs=4 * EPS)
    if value < 1e-290 or rest < 1e-290:
        return
    found = total_vol_of(distance, value, rest, math.log(value))
    # What last digits move, in units of the volatility: of the smaller of the two, near the money of the rest that the
    # value is made from. The exponent has what is left.
    eta, half = distance / total_vol, total_vol / 2
    slope = math.exp(-0.5 * (eta - half) ** 2) / math.sqrt(2 * math.pi)
    moved = 8 * EPS * rest if eta < half and value < rest else 4 * EPS * min(value, rest)
    open_to = moved / slope + 16 * EPS * total_vol
    assert abs(found - total_vol) <= open_to * (1 + (eta - half) ** 2) + 1e-15


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, 5.0), st.floats(1e-4, 5.0), st.floats(1.001, 2.0))
def test_more_volatility_is_worth_more(distance: float, total_vol: float, factor: float) -> None:
    less, _ = value_and_rest(distance, total_vol)
    more, _ = value_and_rest(distance, total_vol * factor)
    assert more > less or less == more == 0.0


def test_where_one_form_takes_over_from_the_other_nothing_jumps() -> None:
    for distance, switch in ((0.02, 0.2), (0.5, 1.0), (1e-7, 6e-3)):
        below, above = (value_and_rest(distance, switch * (1 + step))[0] for step in (-1e-12, 1e-12))
        assert above == pytest.approx(below, rel=1e-10)
