"""Second-by-second path of an index through one session: regimes, the day's shape of volatility, jumps, a gap.

A path is the index's own load on one shared market factor plus a factor of its own, so that indices asked for
together move together and each is the same whether asked for alone or with others.
"""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.sim.keys import stream

# Correlation with the shared factor. A property of the model, not a rule of the market.
MARKET_LOAD = {"NIFTY": 1.0, "SENSEX": 0.98, "FINNIFTY": 0.88, "BANKNIFTY": 0.86, "MIDCPNIFTY": 0.8}
DEFAULT_LOAD = 0.85

TRADING_DAYS_PER_YEAR = 252
INTRADAY_SHARE = 0.75
"""Open-to-close deviation over the daily deviation that implied volatility promises."""
GAP_SHARE = 0.45
"""Overnight deviation over the same."""
LEVEL_DEVIATION = 0.02
"""How far the previous close lies from the level in the rules (one standard deviation, cut at two)."""
VOL_PER_RETURN = -6.0
"""Leverage: log volatility per unit of log return since the previous close."""

_MINUTE_S = 60
_SESSION_MINUTES = 375.0
_TREND, _CHOP, _QUIET = 0, 1, 2
_REGIME_ODDS = (0.4, 0.35, 0.25)
_REGIME_MINUTES = ((20.0, 70.0), (20.0, 60.0), (15.0, 45.0))
_REGIME_NOISE = (0.95, 1.1, 0.6)
_TREND_DRIFT = (0.1, 0.33)
_CHOP_PULL_S = 420.0
_QUIET_PULL_S = 1500.0
_JUMPS_PER_DAY = 1.2


@dataclass(frozen=True, slots=True)
class IndexPath:
    """One index through one session of `n` seconds.

    `spot_paise` and `vol_factor` (volatility over its level in the rules) have shape (n + 1,): one value
    per second boundary. `activity` has shape (n,), sums to 1: how the day's volume falls on its seconds.
    """

    previous_close_paise: int
    spot_paise: NDArray[np.float64]
    vol_factor: NDArray[np.float64]
    activity: NDArray[np.float64]


@kernel("float64[::1](float64[::1], float64[::1], float64[::1], float64[::1])")
def _walk(
    shocks: NDArray[np.float64], scale: NDArray[np.float64], drift: NDArray[np.float64], pull: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cumulate shocks; where `pull` is positive the path is drawn back to where that stretch began."""
    path = np.empty(len(shocks) + 1)
    path[0] = 0.0
    anchor = 0.0
    for i in range(len(shocks)):
        if i > 0 and pull[i] != pull[i - 1]:
            anchor = path[i]
        path[i + 1] = path[i] + drift[i] + scale[i] * shocks[i] - pull[i] * (path[i] - anchor)
    return path


def day_shape(seconds: int) -> NDArray[np.float64]:
    """Volatility over the session, shape (seconds,), mean square 1: high at the open, low at noon, up at the close."""
    passed = np.arange(seconds) / seconds
    shape = 0.85 + 0.9 * np.exp(-passed / 0.06) + 0.25 * np.exp(-(1.0 - passed) / 0.08)
    return shape / math.sqrt(float(np.mean(shape**2)))


def _regimes(dice: Generator, seconds: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Noise scale, drift and pull per second for a random sequence of trend, chop and quiet stretches."""
    noise, drift, pull = np.empty(seconds), np.zeros(seconds), np.zeros(seconds)
    per_minute = 1.0 / math.sqrt(_SESSION_MINUTES)
    start = 0
    while start < seconds:
        regime = int(dice.choice(3, p=_REGIME_ODDS))
        length = int(dice.uniform(*_REGIME_MINUTES[regime]) * _MINUTE_S)
        sign = 1.0 if dice.random() < 0.5 else -1.0
        strength = dice.uniform(*_TREND_DRIFT)
        # A little apart each time, so that two chops in a row are two stretches with an anchor each.
        ease = dice.uniform(0.8, 1.25)
        here = slice(start, start + length)
        noise[here] = _REGIME_NOISE[regime]
        if regime == _TREND:
            drift[here] = sign * strength * per_minute / _MINUTE_S
        else:
            pull[here] = ease / (_CHOP_PULL_S if regime == _CHOP else _QUIET_PULL_S)
        start += length
    return noise, drift, pull


def _factor(dice: Generator, seconds: int) -> NDArray[np.float64]:
    """A path of about unit variance over a usual session, shape (seconds + 1,), starting at 0."""
    noise, drift, pull = _regimes(dice, seconds)
    shape = day_shape(seconds)
    minutes = seconds // _MINUTE_S + 2
    wave = np.exp(_reverting(dice, minutes, pull=0.03, deviation=0.3))
    surge = np.interp(np.arange(seconds), np.arange(minutes) * _MINUTE_S, wave)
    scale = noise * shape * surge / math.sqrt(_SESSION_MINUTES * _MINUTE_S)
    shocks = dice.standard_normal(seconds)
    path = _walk(shocks, scale, drift * shape, pull)
    jumps = np.zeros(seconds + 1)
    for _ in range(int(dice.poisson(_JUMPS_PER_DAY))):
        jumps[int(dice.integers(1, seconds))] += dice.standard_normal() * 0.15
    moved: NDArray[np.float64] = path + np.cumsum(jumps)
    return moved


def _reverting(dice: Generator, steps: int, *, pull: float, deviation: float) -> NDArray[np.float64]:
    """A mean-reverting path around 0 with the given stationary deviation, shape (steps,)."""
    first = deviation * dice.standard_normal()
    size, back = np.full(steps - 1, deviation * math.sqrt(2.0 * pull)), np.full(steps - 1, pull)
    walked = _walk(dice.standard_normal(steps - 1), size, -first * back, back)
    return walked + first


def index_path(
    seed: int, underlying: str, day: date, seconds: int, *, level_paise: int, atm_iv_pct: float, tick_paise: int
) -> IndexPath:
    """The path of `underlying` on `day` over `seconds` seconds of continuous trading.

    `level_paise` and `atm_iv_pct` are the usual level and volatility from the rules; `tick_paise` is what the
    index is rounded to when quoted (the previous close is).
    """
    market, own = stream(seed, "market", day), stream(seed, underlying, day)
    load = MARKET_LOAD.get(underlying, DEFAULT_LOAD)
    rest = math.sqrt(1.0 - load * load)
    market_size, market_gap = math.exp(0.3 * market.standard_normal()), market.standard_normal()
    level_shift = float(np.clip(own.standard_normal(), -2.0, 2.0)) * LEVEL_DEVIATION
    own_gap = own.standard_normal()
    daily = atm_iv_pct / 100.0 / math.sqrt(TRADING_DAYS_PER_YEAR)
    gap = daily * GAP_SHARE * (load * market_gap + rest * own_gap)
    factor = load * _factor(market, seconds) + rest * _factor(own, seconds)
    moves = gap + daily * INTRADAY_SHARE * min(max(market_size, 0.6), 1.7) * factor
    previous = round(level_paise * math.exp(level_shift) / tick_paise) * tick_paise
    return IndexPath(
        previous_close_paise=previous,
        spot_paise=previous * np.exp(moves),
        vol_factor=_vol_factor(own, moves, seconds),
        activity=_activity(own, moves, seconds),
    )


def _vol_factor(dice: Generator, moves: NDArray[np.float64], seconds: int) -> NDArray[np.float64]:
    """Implied volatility over its usual level: a level of the day, leverage, and a slow wave of its own."""
    minutes = seconds // _MINUTE_S + 2
    day_level = 0.08 * dice.standard_normal()
    wave = _reverting(dice, minutes, pull=0.05, deviation=0.02)
    slow = np.interp(np.arange(seconds + 1), np.arange(minutes) * _MINUTE_S, wave)
    return np.exp(np.clip(day_level + VOL_PER_RETURN * moves + slow, -0.4, 0.5))


def _activity(dice: Generator, moves: NDArray[np.float64], seconds: int) -> NDArray[np.float64]:
    """Share of the day's volume per second: the day's shape, more when the index moves, uneven by the minute."""
    minutes = seconds // _MINUTE_S + 2
    uneven = np.repeat(dice.gamma(6.0, 1.0 / 6.0, minutes), _MINUTE_S)[:seconds]
    minute_ago = np.maximum(np.arange(seconds) - _MINUTE_S, 0)
    pace = np.abs(moves[:seconds] - moves[minute_ago])
    weight: NDArray[np.float64] = day_shape(seconds) ** 1.5 * uneven * (0.6 + pace / (float(pace.mean()) + 1e-12))
    return weight / float(weight.sum())
