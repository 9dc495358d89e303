"""Supertrend and ADX against a plain NumPy reference on real one-minute bars, and at their start."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from g6_core.engine.indicators import adx_step, new_adx, new_supertrend, supertrend_step

Floats = NDArray[np.float64]
ELECTION = date(2024, 6, 4)


def _candles(shared_data: Path, symbol: str, day: date, days: int = 1) -> Floats:
    """(n, 3) high, low, close in paise of some calendar days in a row."""
    table = pl.read_parquet(shared_data / "index-1min-2024" / f"{symbol}.parquet").filter(
        (pl.col("ts").dt.date() >= day) & (pl.col("ts").dt.date() < pl.lit(day).dt.offset_by(f"{days}d"))
    )
    return (table.select("high", "low", "close").to_numpy() * 100).round()


def _true_ranges(bars: Floats) -> Floats:
    high, low, close = bars.T
    before = np.concatenate([[np.nan], close[:-1]])
    return np.nanmax([high - low, np.abs(high - before), np.abs(low - before)], axis=0)


def _adx_reference(bars: Floats, period: int) -> tuple[Floats, Floats, Floats]:
    """(ADX, +DI, -DI) with nan where there is none; Wilder's sums start with the first `period` - 1 changes."""
    high, low, _ = bars.T
    up, down = np.diff(high), -np.diff(low)
    moves = np.stack(
        [_true_ranges(bars)[1:], np.where((up > down) & (up > 0), up, 0), np.where((down > up) & (down > 0), down, 0)]
    )
    sums = np.full(moves.shape, np.nan)
    sums[:, period - 2] = moves[:, : period - 1].sum(axis=1)
    for k in range(period - 1, moves.shape[1]):
        sums[:, k] = sums[:, k - 1] * (1 - 1 / period) + moves[:, k]
    plus, minus = 100 * sums[1] / sums[0], 100 * sums[2] / sums[0]
    index = 100 * np.abs(plus - minus) / (plus + minus)
    adx = np.full(len(bars), np.nan)
    adx[2 * period - 1] = index[period - 1 : 2 * period - 1].mean()
    for k in range(2 * period, len(bars)):
        adx[k] = (adx[k - 1] * (period - 1) + index[k - 1]) / period
    return adx, np.concatenate([[np.nan], plus]), np.concatenate([[np.nan], minus])


def _supertrend_reference(bars: Floats, period: int, multiplier: float) -> tuple[Floats, Floats]:
    """(direction, line); the bands only ever tighten while the close before stayed inside them."""
    high, low, close = bars.T
    ranges = _true_ranges(bars)
    average = np.full(len(bars), np.nan)
    average[period - 1] = ranges[:period].mean()
    for k in range(period, len(bars)):
        average[k] = average[k - 1] + (ranges[k] - average[k - 1]) / period
    upper, lower = (high + low) / 2 + multiplier * average, (high + low) / 2 - multiplier * average
    direction, line = np.zeros(len(bars)), np.full(len(bars), np.nan)
    direction[period - 1] = 1 if close[period - 1] >= (high[period - 1] + low[period - 1]) / 2 else -1
    line[period - 1] = lower[period - 1] if direction[period - 1] > 0 else upper[period - 1]
    for k in range(period, len(bars)):
        if close[k - 1] <= upper[k - 1]:
            upper[k] = min(upper[k], upper[k - 1])
        if close[k - 1] >= lower[k - 1]:
            lower[k] = max(lower[k], lower[k - 1])
        if direction[k - 1] > 0:
            direction[k] = -1 if close[k] < lower[k] else 1
        else:
            direction[k] = 1 if close[k] > upper[k] else -1
        line[k] = lower[k] if direction[k] > 0 else upper[k]
    return direction, line


DAYS = [
    pytest.param("NIFTY", ELECTION, 1, id="NIFTY on election day"),
    pytest.param("BANKNIFTY", ELECTION, 1, id="BANKNIFTY on election day"),
    pytest.param("NIFTY", date(2024, 1, 15), 6, id="a week, nights and a padded Saturday included"),
    pytest.param("BANKNIFTY", date(2024, 3, 2), 1, id="a special session of two parts"),
]


@pytest.mark.parametrize(("symbol", "day", "days"), DAYS)
@pytest.mark.parametrize("period", [3, 14])
def test_adx_is_what_the_definition_gives_on_real_bars(
    shared_data: Path, symbol: str, day: date, days: int, period: int
) -> None:
    bars = _candles(shared_data, symbol, day, days)
    assert len(bars) >= 100
    state, found = new_adx(), []
    for bar in bars:
        value = adx_step(state, *bar, period)
        found.append((value, state[9], state[10]))
    adx, plus, minus = _adx_reference(bars, period)
    start = 2 * period - 1
    np.testing.assert_allclose(np.array(found)[start:], np.array([adx, plus, minus]).T[start:], rtol=1e-9)
    assert [value for value, _, _ in found[:start]] == [-1.0] * start
    assert 0 <= np.nanmin(adx) < 20 < np.nanmax(adx) <= 100


@pytest.mark.parametrize(("symbol", "day", "days"), DAYS)
@pytest.mark.parametrize(("period", "multiplier"), [(10, 3.0), (3, 1.0)])
def test_supertrend_is_what_the_definition_gives_on_real_bars(
    shared_data: Path, symbol: str, day: date, days: int, period: int, multiplier: float
) -> None:
    bars = _candles(shared_data, symbol, day, days)
    state, found = new_supertrend(), []
    for bar in bars:
        value = supertrend_step(state, *bar, period, multiplier)
        found.append((value, state[6]))
    direction, line = _supertrend_reference(bars, period, multiplier)
    start = period - 1
    assert [value for value, _ in found[:start]] == [0.0] * start
    assert [value for value, _ in found] == direction.tolist()
    np.testing.assert_allclose([level for _, level in found[start:]], line[start:], rtol=1e-12)
    assert {1.0, -1.0} <= set(direction[start:])


def test_the_fall_of_election_day_is_a_strong_downtrend(shared_data: Path) -> None:
    """NIFTY fell from 22,600 to 21,300 between 11:00 and 12:30."""
    bars = _candles(shared_data, "NIFTY", ELECTION)[: 3 * 60 + 15]
    adx_state, trend_state = new_adx(), new_supertrend()
    for bar in bars:
        strength = adx_step(adx_state, *bar, 14)
        trend = supertrend_step(trend_state, *bar, 10, 3.0)
    assert bars[:, 1].min() < bars[0, 2] * 0.96
    assert (trend, strength > 25, adx_state[10] > adx_state[9]) == (-1.0, True, True)


@pytest.mark.parametrize("period", [2, 3, 14])
def test_the_first_values_come_after_exactly_as_many_bars_as_documented(period: int) -> None:
    adx_state, trend_state = new_adx(), new_supertrend()
    strengths, trends = [], []
    for k in range(2 * period + 2):
        bar = (100.0 + k, 99.0 + k, 99.5 + k)
        strengths.append(adx_step(adx_state, *bar, period))
        trends.append(supertrend_step(trend_state, *bar, period, 3.0))
    assert [value >= 0 for value in strengths].index(True) == 2 * period - 1
    assert [value != 0 for value in trends].index(True) == period - 1


@pytest.mark.parametrize("moving", [0, 40], ids=["flat from the start", "flat after a trend"])
def test_a_market_without_any_range_gives_numbers(moving: int) -> None:
    adx_state, trend_state = new_adx(), new_supertrend()
    for k in range(moving + 400):
        price = 24_500_00.0 + 500.0 * min(k, moving)
        strength = adx_step(adx_state, price, price, price, 14)
        trend = supertrend_step(trend_state, price, price, price, 10, 3.0)
    assert np.isfinite(adx_state).all()
    assert np.isfinite(trend_state).all()
    assert trend == 1.0
    assert strength == pytest.approx(0.0 if moving == 0 else 100.0)
