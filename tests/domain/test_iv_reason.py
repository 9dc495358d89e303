"""Why there is no implied volatility: a table of quotes, and agreement with the solver."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.domain.iv_reason import IvReason, iv_reason
from g6_core.domain.options import implied_vol

DAY = 1 / 365
SOUND = {"bid": 100.0, "ask": 101.0, "is_live": True, "forward": 24_500.0, "strike": 24_500.0, "t_years": DAY}


@pytest.mark.parametrize(
    ("expected", "is_call", "changed"),
    [
        (None, True, {}),
        (IvReason.EXPIRED, True, {"t_years": 0.0}),
        (IvReason.EXPIRED, True, {"t_years": -DAY, "bid": None, "ask": None}),
        (IvReason.NO_QUOTE, True, {"bid": None, "ask": None}),
        (IvReason.NO_QUOTE, True, {"bid": None, "ask": None, "is_live": False}),
        (IvReason.STALE, True, {"is_live": False}),
        (IvReason.STALE, True, {"is_live": False, "bid": None}),
        (IvReason.ONE_SIDED, True, {"bid": None}),
        (IvReason.ONE_SIDED, False, {"ask": None}),
        (IvReason.CROSSED, True, {"bid": 102.0}),
        (IvReason.CROSSED, True, {"bid": 101.0}),
        (IvReason.CROSSED, True, {"bid": 102.0, "forward": None}),
        (IvReason.NO_FORWARD, True, {"forward": None}),
        (IvReason.BELOW_INTRINSIC, True, {"strike": 24_399.5}),
        (IvReason.BELOW_INTRINSIC, False, {"strike": 24_600.5}),
        (IvReason.BELOW_INTRINSIC, True, {"bid": -1.0, "ask": 1.0}),
        (None, False, {"strike": 24_399.5}),
        (IvReason.ABOVE_BOUND, True, {"bid": 24_499.0, "ask": 24_501.0}),
        (IvReason.ABOVE_BOUND, False, {"bid": 24_499.0, "ask": 24_501.0}),
        (None, False, {"bid": 24_499.0, "ask": 24_500.0}),
    ],
)
def test_the_first_thing_in_the_way_is_named(
    expected: IvReason | None, is_call: bool, changed: dict[str, object]
) -> None:
    assert iv_reason(**{**SOUND, **changed}, is_call=is_call) == expected


@given(
    bid=st.integers(-10, 6_000_000),
    spread=st.integers(1, 40),
    forward=st.integers(100_000, 3_000_000),
    strike=st.integers(20, 60_000),
    years=st.floats(1e-9, 2.0),
    is_call=st.booleans(),
    at_edge=st.sampled_from([None, "intrinsic", "bound"]),
)
def test_there_is_a_reason_exactly_where_the_solver_finds_nothing(
    bid: int, spread: int, forward: int, strike: int, years: float, is_call: bool, at_edge: str | None
) -> None:
    forward_rupees, strike_rupees = forward / 100, strike * 50.0
    worth, paid = (forward_rupees, strike_rupees) if is_call else (strike_rupees, forward_rupees)
    if at_edge is not None:
        bid = round(20 * (worth if at_edge == "bound" else max(worth - paid, 0.0))) - spread // 2
    low, high = bid / 20, (bid + spread) / 20
    reason = iv_reason(
        low, high, is_live=True, forward=forward_rupees, strike=strike_rupees, t_years=years, is_call=is_call
    )
    found = implied_vol((low + high) / 2, forward_rupees, strike_rupees, years, 1.0, is_call)
    assert math.isnan(found) == (reason is not None)
