"""Supertrend and ADX, one bar at a time over explicit state arrays (compiled).

Average true range and directional movement are smoothed as Wilder described them. ADX starts up as TA-Lib's does
(first value at bar 2 * period); the average true range starts with the mean of the first `period` true ranges, the
first of which is high less low.
"""

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel

Floats = NDArray[np.float64]

# Supertrend state: bars seen, previous close, ATR (sum while warming), upper band, lower band, direction, line.
SUPERTREND_STATE = 7
# ADX state: bars seen, previous high, low, close, smoothed TR, +DM, -DM, DX sum, ADX, +DI, -DI.
ADX_STATE = 11


def new_supertrend() -> Floats:
    """State before the first bar."""
    return np.zeros(SUPERTREND_STATE)


def new_adx() -> Floats:
    """State before the first bar."""
    return np.zeros(ADX_STATE)


@kernel("f8(f8[:], f8, f8, f8, i8, f8)")
def supertrend_step(state: Floats, high: float, low: float, close: float, period: int, multiplier: float) -> float:
    """Take one bar; returns +1 (up), -1 (down) or 0 while fewer than `period` bars were seen.

    The line itself is `state[6]`. The first ATR is the mean of the first `period` true ranges.
    """
    seen = state[0]
    previous_close = state[1]
    true_range = high - low
    if seen > 0:
        true_range = max(true_range, abs(high - previous_close), abs(low - previous_close))
    state[0] = seen + 1
    state[1] = close
    if seen + 1 < period:
        state[2] += true_range
        return 0.0
    if seen + 1 == period:
        state[2] = (state[2] + true_range) / period
    else:
        state[2] = (state[2] * (period - 1) + true_range) / period
    middle = (high + low) / 2
    upper = middle + multiplier * state[2]
    lower = middle - multiplier * state[2]
    if seen + 1 == period:
        direction = 1.0 if close >= middle else -1.0
    else:
        if not (upper < state[3] or previous_close > state[3]):
            upper = state[3]
        if not (lower > state[4] or previous_close < state[4]):
            lower = state[4]
        direction = state[5]
        if direction > 0 and close < lower:
            direction = -1.0
        elif direction < 0 and close > upper:
            direction = 1.0
    state[3] = upper
    state[4] = lower
    state[5] = direction
    state[6] = lower if direction > 0 else upper
    return direction


@kernel("f8(f8[:], f8, f8, f8, i8)")
def adx_step(state: Floats, high: float, low: float, close: float, period: int) -> float:
    """Take one bar; returns ADX, or -1 while fewer than 2 * `period` bars were seen."""
    seen = state[0]
    if seen > 0:
        up = high - state[1]
        down = state[2] - low
        plus = up if up > down and up > 0 else 0.0
        minus = down if down > up and down > 0 else 0.0
        true_range = max(high - low, abs(high - state[3]), abs(low - state[3]))
        if seen < period:
            state[4] += true_range
            state[5] += plus
            state[6] += minus
        else:
            state[4] += true_range - state[4] / period
            state[5] += plus - state[5] / period
            state[6] += minus - state[6] / period
    state[0] = seen + 1
    state[1] = high
    state[2] = low
    state[3] = close
    if seen < period:
        return -1.0
    if state[4] > 0:
        state[9] = 100 * state[5] / state[4]
        state[10] = 100 * state[6] / state[4]
    total = state[9] + state[10]
    if seen < 2 * period:
        if total > 0:
            state[7] += 100 * abs(state[9] - state[10]) / total
        if seen < 2 * period - 1:
            return -1.0
        state[8] = state[7] / period
        return float(state[8])
    if total > 0:
        state[8] = (state[8] * (period - 1) + 100 * abs(state[9] - state[10]) / total) / period
    return float(state[8])
