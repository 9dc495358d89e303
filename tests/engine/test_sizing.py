"""Lots: the smallest of all limits, in whole lots, and nothing when one lot is too much."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.config import Settings
from g6_core.engine.params import SizingParams
from g6_core.engine.sizing import band_of, size

RUPEES = 100
LAKH = 100_000 * RUPEES


@pytest.fixture(scope="module")
def sizing(settings: Settings) -> SizingParams:
    return settings.engine_params().sizing


@pytest.mark.parametrize(
    ("capital_inr", "allocation_pct", "risk_pct"),
    [
        (1_000, 30, 5),
        (75_000, 30, 5),
        (75_000.01, 25, 3.5),
        (150_000, 25, 3.5),
        (150_000.01, 20, 3),
        (300_000, 20, 3),
        (300_000.01, 20, 2.5),
        (50_000_000, 20, 2.5),
    ],
)
def test_a_capital_band_reaches_up_to_its_end_and_no_paisa_further(
    sizing: SizingParams, capital_inr: float, allocation_pct: float, risk_pct: float
) -> None:
    capital = round(capital_inr * 100)
    band = band_of(capital, sizing)
    assert (band.allocation_pct, band.risk_pct) == (allocation_pct, risk_pct)
    sized = size(capital, capital, 100_00, 30, 75, 1800, sizing)
    assert sized.allocation_paise == int(capital * allocation_pct / 100)
    assert sized.risk_paise == int(capital * risk_pct / 100)


@pytest.mark.parametrize(
    ("change", "lots", "reason"),
    [
        pytest.param({}, 4, "risk", id="risk: 9,000 over 2,250 a lot is exactly 4"),
        pytest.param({"price_paise": 100_05}, 3, "risk", id="one tick dearer"),
        pytest.param({"stop_loss_pct": 5.0}, 8, "allocation", id="near stop: allocation, 60,000 over 7,500"),
        pytest.param({"cash_paise": 22_500 * RUPEES}, 3, "cash", id="cash for exactly three"),
        pytest.param({"cash_paise": 22_500 * RUPEES - 1}, 2, "cash", id="a paisa short of three"),
        pytest.param({"cash_paise": -1}, 0, "cash", id="cash below zero"),
        pytest.param({"freeze_quantity": 225}, 3, "freeze", id="as much as one order may carry"),
        pytest.param({"freeze_quantity": 224}, 2, "freeze", id="one unit less"),
        pytest.param({"price_paise": 900_00}, 0, "allocation", id="one lot costs more than the allocation"),
        pytest.param({"price_paise": 401_00}, 0, "risk", id="one lot may lose more than the risk"),
        pytest.param({"capital_paise": -1, "cash_paise": LAKH}, 0, "allocation", id="capital lost"),
    ],
)
def test_the_smallest_limit_decides_and_names_itself(
    sizing: SizingParams, change: dict[str, float], lots: int, reason: str
) -> None:
    values = {"capital_paise": 3 * LAKH, "cash_paise": 3 * LAKH, "price_paise": 100_00, "stop_loss_pct": 30.0}
    values |= {"lot_size": 75, "freeze_quantity": 1800} | change
    sized = size(**values, params=sizing)  # type: ignore[arg-type]
    assert (sized.lots, sized.quantity, sized.reason) == (lots, lots * 75, reason)


def test_the_lot_cap_holds_whatever_the_capital(sizing: SizingParams) -> None:
    sized = size(100_000 * LAKH, 100_000 * LAKH, 5_00, 30, 75, 1_000_000, replace(sizing, max_lots=100))
    assert (sized.lots, sized.reason) == (100, "max_lots")


@given(
    capital=st.integers(1_000_00, 10**12),
    cash=st.integers(-(10**9), 10**12),
    price=st.integers(1, 200_000).map(lambda ticks: 5 * ticks),
    stop_pct=st.floats(1, 99),
    lot=st.sampled_from([1, 15, 20, 35, 65, 75, 140]),
    freeze=st.integers(0, 5_000),
    cap=st.integers(1, 1_000),
)
def test_no_size_is_ever_above_a_limit_and_one_lot_more_always_would_be(
    sizing: SizingParams, capital: int, cash: int, price: int, stop_pct: float, lot: int, freeze: int, cap: int
) -> None:
    params = replace(sizing, max_lots=cap)
    sized = size(capital, cash, price, stop_pct, lot, freeze, params)
    band = band_of(capital, params)

    def within(lots: int) -> bool:
        cost = lots * lot * price
        return (
            cost <= cash
            and cost <= capital * band.allocation_pct / 100
            and cost * stop_pct / 100 <= capital * band.risk_pct / 100 * (1 + 1e-12)
            and lots * lot <= freeze
            and lots <= cap
        )

    assert sized.quantity == sized.lots * lot
    assert sized.lots >= 0
    assert sized.lots == 0 or within(sized.lots)
    # Allocation and risk are cut to the whole paisa, which a paisa-cheap lot can feel.
    assert not within(sized.lots + 1) or price * lot < 100
