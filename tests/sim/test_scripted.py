"""The scripted market does what the script says, and its unscripted options behave."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.domain.calendar import MarketRules
from g6_core.sim.scripted import Point, ScriptedSource
from tests.sim.kit import DAY, EXPIRY, LOT, NOON, OPEN, STRIKE

CALL = (EXPIRY, STRIKE, "CE")
PATH = ((OPEN + 60_000, 99_00, 100_00), Point(NOON, 80_00, 82_00, ltp_paise=81_50, bid_qty=LOT, oi=7 * LOT))


def source(rules: MarketRules, **script: object) -> ScriptedSource:
    settings: dict[str, object] = {"spot_path": [(OPEN, STRIKE), (NOON, STRIKE + 100_00)], "options": {CALL: PATH}}
    return ScriptedSource.of("NIFTY", DAY, rules, **(settings | script))  # type: ignore[arg-type]


def row(market: ScriptedSource, time_ms: int, expiry: date = EXPIRY, strike: int = STRIKE, side: str = "CE") -> np.void:
    instrument = market.instruments.option("NIFTY", expiry, strike, side)
    assert instrument is not None
    found: np.void = market.quotes(np.array([instrument.token]), time_ms)[0]
    return found


def spot(market: ScriptedSource, time_ms: int) -> tuple[int, int]:
    index = market.instruments.index("NIFTY")
    assert index is not None
    found = market.quotes(np.array([index.token]), time_ms)[0]
    return int(found["exchange_ms"]), int(found["ltp_paise"])


@pytest.mark.parametrize(
    ("linear", "time_ms", "touch"),
    [
        (False, OPEN + 59_999, (0, 0, 0)),
        (False, OPEN + 60_000, (99_00, 100_00, 99_50)),
        (False, NOON - 1, (99_00, 100_00, 99_50)),
        (False, NOON, (80_00, 82_00, 81_50)),
        (True, (OPEN + 60_000 + NOON) // 2, (89_50, 91_00, 90_50)),
        (True, NOON + 1, (80_00, 82_00, 81_50)),
    ],
)
def test_prices_follow_the_script_by_steps_or_by_lines(
    rules: MarketRules, linear: bool, time_ms: int, touch: tuple[int, int, int]
) -> None:
    found = row(source(rules, linear=linear), time_ms)
    assert (found["bid_paise"][0], found["ask_paise"][0], found["ltp_paise"]) == touch


def test_sizes_and_open_interest_follow_the_script(rules: MarketRules) -> None:
    before, after = (row(source(rules), moment) for moment in (NOON - 1, NOON))
    assert (before["bid_qty"][0], before["oi"]) == (10 * LOT, 20_000 * LOT)
    assert (after["bid_qty"][0], after["ask_qty"][0], after["oi"]) == (LOT, 10 * LOT, 7 * LOT)


def test_a_silence_keeps_prices_and_stamps(rules: MarketRules) -> None:
    market = source(rules, silences=[(NOON - 10_000, NOON + 10_000)])
    assert row(market, NOON + 9_999)["exchange_ms"] == NOON - 10_000
    assert row(market, NOON + 9_999)["bid_paise"][0] == 99_00
    assert spot(market, NOON + 9_999) == (NOON - 10_000, STRIKE)
    assert spot(market, NOON + 10_000) == (NOON + 10_000, STRIKE + 100_00)


def test_contracts_without_a_script_can_be_left_out(rules: MarketRules) -> None:
    market = source(rules, prices_chain=False)
    assert row(market, NOON, side="PE")["exchange_ms"] == 0
    assert row(market, NOON)["exchange_ms"] == NOON
    assert market.quotes(np.array([1]), NOON)["exchange_ms"].tolist() == [0]


@given(time_ms=st.integers(OPEN, NOON * 2 - OPEN), strikes_away=st.integers(-14, 14))
def test_the_priced_chain_keeps_parity_order_and_a_spread(rules: MarketRules, time_ms: int, strikes_away: int) -> None:
    market = source(rules, options={}, linear=True)
    strike = STRIKE + strikes_away * 50_00
    call, put, next_call = (
        row(market, time_ms),
        row(market, time_ms, side="PE"),
        row(market, time_ms, strike=STRIKE + 50_00),
    )
    assert abs(call["ltp_paise"] - put["ltp_paise"] - (spot(market, time_ms)[1] - STRIKE)) <= 10
    assert 0 <= call["ltp_paise"] - next_call["ltp_paise"] <= 50_00 + 5
    wing = row(market, time_ms, strike=strike)
    assert wing["ltp_paise"] >= 5
    assert wing["bid_paise"][0] < wing["ask_paise"][0]
    assert (np.diff(wing["ask_paise"]) > 0).all()
    assert (wing["bid_qty"][wing["bid_paise"] == 0] == 0).all()
