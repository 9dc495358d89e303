"""Compiled part of the modelled market: touch, trades, depth and full quotes of one contract at one moment.

Everything is a function of (key of the contract, second). Volume, extremes and open interest are sums over the
seconds of the day: `_advance` walks them once and remembers where it is, `marks` lets it step back. What is
remembered changes how long an answer takes, never the answer.

Arrays: `terms` int64 (contracts, 10) and `state` int64 (contracts, 15), columns below; `marks` int64
(contracts, marks, 15); `sizes` float64 (contracts, 2): lots traded in a day at the money, lots of open interest
in the morning; `spots`, `factors` float64 (indices, seconds + 1); `activity` float64 (indices, seconds);
`index_ohlc` int64 (indices, seconds + 1, 2): extremes so far; `days` int64 (indices, 2): open_ms, previous close;
`levels` float64 (indices,): usual volatility.
"""

import math

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.domain.market import QUOTE
from g6_core.sim.counter_random import unit_at
from g6_core.sim.smile import fair_value

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

INDEX, CALL, PUT = 0, 1, 2
TOKEN, KEY, MARKET, KIND, STRIKE, TICK, LOT, EXPIRY_MS, LAST_SECOND, CLOSE = range(10)
TERMS_WIDTH = 10
DAY_LOTS, MORNING_OI_LOTS = 0, 1
OPEN_MS, INDEX_CLOSE = 0, 1
MARK_EVERY_S = 900

# State: sums over the seconds before `_NEXT`.
_NEXT, _MICRO_LOTS, _LTP, _TRADE_SECOND, _LAST_LOTS, _OPEN, _HIGH, _LOW, _TURNOVER = range(9)
_OI, _OI_HIGH, _OI_LOW, _OI_SEEN_LOTS, _MICRO_PACE, _STARTED = range(9, 15)
STATE_WIDTH = 15

_MILLION = 1_000_000
_YEAR_MS = 365.0 * 86_400_000.0
_MINUTES = 375.0
_LEAST_WIDTH = 0.004
# Purposes of a contract's random numbers.
_SHIFT, _WOBBLE, _FLOW, _AGGRESSOR, _PHASE, _OI_TREND, _OI_NOISE, _BOOK = range(8)
_DRAWS_PER_SECOND = 64

QUOTE_WIDTH = QUOTE.itemsize // 8


def _column(name: str) -> int:
    return int(QUOTE.fields[name][1]) // 8  # type: ignore[index]


_Q_TOKEN, _Q_EXCHANGE_MS = _column("token"), _column("exchange_ms")
_Q_TRADE_MS, _Q_LTP = _column("last_trade_ms"), _column("ltp_paise")
_Q_LAST_QTY, _Q_AVERAGE, _Q_VOLUME = _column("last_qty"), _column("average_paise"), _column("volume")
_Q_BUY, _Q_SELL = _column("buy_qty"), _column("sell_qty")
_Q_OI, _Q_OI_HIGH, _Q_OI_LOW = _column("oi"), _column("oi_day_high"), _column("oi_day_low")
_Q_OPEN, _Q_HIGH, _Q_LOW = _column("open_paise"), _column("high_paise"), _column("low_paise")
_Q_CLOSE = _column("close_paise")
_Q_BID, _Q_BID_QTY, _Q_BID_ORDERS = _column("bid_paise"), _column("bid_qty"), _column("bid_orders")
_Q_ASK, _Q_ASK_QTY, _Q_ASK_ORDERS = _column("ask_paise"), _column("ask_qty"), _column("ask_orders")


@kernel("float64(float64, float64, boolean)")
def otm_distance(log_moneyness: float, total_vol: float, is_call: bool) -> float:
    """How far out of the money in deviations to expiry; negative in the money."""
    distance = log_moneyness / max(total_vol, _LEAST_WIDTH)
    return distance if is_call else -distance


@kernel("float64(float64)")
def volume_shape(distance: float) -> float:
    """Trading at a distance out of the money over trading at the money: a long tail outside, little inside."""
    return 1.0 / (1.0 + (distance / 1.3) ** 2) if distance > 0.0 else math.exp(4.0 * distance) + 2e-4


@kernel("float64(float64)")
def oi_shape(distance: float) -> float:
    """The same for open interest, which sits further out and stays behind in the money."""
    return 1.0 / (1.0 + (distance / 2.5) ** 2) if distance > 0.0 else math.exp(1.8 * distance) + 1e-3


@kernel(
    "Tuple((int64, int64, float64))(int64[:, ::1], float64[:, ::1], int64, float64, int64, float64, float64, float64)"
)
def _touch(
    terms: Ints, sizes: Floats, i: int, now_ms: float, second: int, spot: float, factor: float, level: float
) -> tuple[int, int, float]:
    """(bid, ask, lots expected per minute). Bid 0: no bid. The fair value is never outside the two."""
    is_call = terms[i, KIND] == CALL
    tick = terms[i, TICK]
    key = terms[i, KEY]
    years = (terms[i, EXPIRY_MS] - now_ms) / _YEAR_MS
    value, log_moneyness, total_vol = fair_value(spot, float(terms[i, STRIKE]), years, level, factor, is_call)
    pace = sizes[i, DAY_LOTS] * volume_shape(otm_distance(log_moneyness, total_vol, is_call)) / _MINUTES
    wobble = unit_at(key, _WOBBLE, second // 5)
    half = (0.3 * tick + 0.0007 * value) * (1.0 + 4.0 / math.sqrt(1.0 + pace)) * (0.75 + 0.7 * wobble * wobble)
    half *= 1.0 + 0.8 * math.exp(-second / 600.0)
    # The shift stays inside the half spread: arbitrage-free values stay arbitrage-free quotes.
    middle = value + (unit_at(key, _SHIFT, second) - 0.5) * 1.2 * half
    bid = max(np.int64(math.floor((middle - half) / tick)) * tick, 0)
    ask = max(np.int64(math.ceil((middle + half) / tick)) * tick, bid + tick)
    return bid, ask, pace


@kernel("void(int64[:, ::1], float64[:, ::1], int64[:, ::1], int64)")
def _begin(terms: Ints, sizes: Floats, state: Ints, i: int) -> None:
    """State before the first second: nothing traded, the last price is the previous close."""
    lot_oi = np.int64(sizes[i, MORNING_OI_LOTS])
    state[i, :] = 0
    state[i, _STARTED] = 1
    state[i, _MICRO_LOTS] = np.int64(unit_at(terms[i, KEY], _PHASE, 0) * _MILLION)
    state[i, _LTP] = terms[i, CLOSE]
    state[i, _OI] = lot_oi
    state[i, _OI_HIGH] = lot_oi
    state[i, _OI_LOW] = lot_oi


@kernel("void(int64[:, ::1], float64[:, ::1], int64[:, ::1], int64, int64, float64)")
def _turn_minute(terms: Ints, sizes: Floats, state: Ints, i: int, second: int, pace: float) -> None:
    """Once a minute: take the new pace; open interest drifts, by no more than was traded since the last time."""
    state[i, _MICRO_PACE] = np.int64(pace * _MILLION)
    key = terms[i, KEY]
    trend = 0.45 * unit_at(key, _OI_TREND, 0) - 0.15
    noise = 0.012 * (unit_at(key, _OI_NOISE, second) - 0.5)
    lots = state[i, _MICRO_LOTS] // _MILLION
    traded = lots - state[i, _OI_SEEN_LOTS]
    # Rounded up or down by chance, so that small holdings move too.
    chance = unit_at(key, _OI_NOISE, -second)
    change = np.int64(math.floor(sizes[i, MORNING_OI_LOTS] * (trend / _MINUTES + noise) + chance))
    change = min(max(change, -traded, -state[i, _OI]), traded)
    state[i, _OI_SEEN_LOTS] = lots
    state[i, _OI] += change
    state[i, _OI_HIGH] = max(state[i, _OI_HIGH], state[i, _OI])
    state[i, _OI_LOW] = min(state[i, _OI_LOW], state[i, _OI])


@kernel("void(int64[:, ::1], int64, int64, int64, int64)")
def _print(state: Ints, i: int, second: int, price: int, lots: int) -> None:
    """Take a trade of `lots` at `price` into the sums."""
    if state[i, _TURNOVER] == 0:
        state[i, _OPEN] = price
        state[i, _HIGH] = price
        state[i, _LOW] = price
    state[i, _HIGH] = max(state[i, _HIGH], price)
    state[i, _LOW] = min(state[i, _LOW], price)
    state[i, _LTP] = price
    state[i, _LAST_LOTS] = lots
    state[i, _TRADE_SECOND] = second
    state[i, _TURNOVER] += price * lots


@kernel(
    "void(int64[:, ::1], float64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64, int64,"
    "float64[::1], float64[::1], float64[::1], float64, int64)"
)
def _advance(
    terms: Ints,
    sizes: Floats,
    state: Ints,
    marks: Ints,
    i: int,
    second: int,
    spots: Floats,
    factors: Floats,
    activity: Floats,
    level: float,
    open_ms: int,
) -> None:
    """Bring the sums of contract `i` to the end of `second`; an earlier moment restarts from the mark before it."""
    if state[i, _STARTED] == 0:
        _begin(terms, sizes, state, i)
    if state[i, _NEXT] > second + 1:
        state[i, :] = marks[i, second // MARK_EVERY_S]
    key = terms[i, KEY]
    for now in range(state[i, _NEXT], second + 1):
        if now % MARK_EVERY_S == 0:
            state[i, _NEXT] = now
            marks[i, now // MARK_EVERY_S, :] = state[i, :]
        now_ms = open_ms + 1000.0 * now
        if now % 60 == 0:
            pace = _touch(terms, sizes, i, now_ms, now, spots[now], factors[now], level)[2]
            _turn_minute(terms, sizes, state, i, now, pace)
        burst = -math.log(unit_at(key, _FLOW, now))
        flow = np.int64(state[i, _MICRO_PACE] * _MINUTES * activity[now] * burst)
        before = state[i, _MICRO_LOTS] // _MILLION
        state[i, _MICRO_LOTS] += flow
        lots = state[i, _MICRO_LOTS] // _MILLION - before
        if lots > 0:
            bid, ask, _ = _touch(terms, sizes, i, now_ms, now, spots[now], factors[now], level)
            at_bid = bid > 0 and unit_at(key, _AGGRESSOR, now) < 0.5
            _print(state, i, now, bid if at_bid else ask, lots)
    state[i, _NEXT] = second + 1


@kernel("int64(int64[::1], int64, int64, int64, int64, int64, int64, float64, int64, int64, int64, int64)")
def _ladder(
    quote: Ints,
    price_at: int,
    qty_at: int,
    orders_at: int,
    best: int,
    step: int,
    key: int,
    depth_lots: float,
    lot: int,
    tick: int,
    counter: int,
    levels: int,
) -> int:
    """Write one side of the book from `best` outward (`step` -1 for bids, 1 for asks); returns its quantity."""
    price = best
    total = 0
    for depth in range(levels):
        if price < tick:
            break
        draw = unit_at(key, _BOOK, counter + 3 * depth)
        lots = 1 + int(-math.log(draw) * depth_lots * (1.0 + 0.4 * depth))
        quote[price_at + depth] = price
        quote[qty_at + depth] = lots * lot
        quote[orders_at + depth] = 1 + np.int64((lots - 1) * 0.4 * unit_at(key, _BOOK, counter + 3 * depth + 1))
        total += lots * lot
        price += step * tick * (1 + int(3.0 * unit_at(key, _BOOK, counter + 3 * depth + 2)))
    return total


@kernel("void(int64[::1], int64[:, ::1], int64, int64, int64, int64, float64, int64)")
def _depth(quote: Ints, terms: Ints, i: int, second: int, bid: int, ask: int, pace: float, levels: int) -> None:
    """So many levels a side, 1-3 ticks apart, sizes in lots: more where much is traded and where lots are cheap."""
    key, lot, tick = terms[i, KEY], terms[i, LOT], terms[i, TICK]
    depth_lots = (0.8 + 0.15 * math.sqrt(pace)) * (1.0 + 3000.0 / (ask + 100.0))
    counter = second * _DRAWS_PER_SECOND
    bids = _ladder(quote, _Q_BID, _Q_BID_QTY, _Q_BID_ORDERS, bid, -1, key, depth_lots, lot, tick, counter, levels)
    asks = _ladder(quote, _Q_ASK, _Q_ASK_QTY, _Q_ASK_ORDERS, ask, 1, key, depth_lots, lot, tick, counter + 32, levels)
    beyond = 3 + np.int64(4.0 * unit_at(key, _BOOK, counter + 30))
    quote[_Q_BUY] = bids * beyond
    quote[_Q_SELL] = asks * beyond


@kernel("void(int64[::1], int64[:, ::1], int64[:, ::1], int64, int64)")
def _sums(quote: Ints, terms: Ints, state: Ints, i: int, open_ms: int) -> None:
    """Write volume, last trade, day's prices and open interest from the sums."""
    lot = terms[i, LOT]
    lots = state[i, _MICRO_LOTS] // _MILLION
    quote[_Q_LTP] = state[i, _LTP]
    quote[_Q_CLOSE] = terms[i, CLOSE]
    quote[_Q_OI] = state[i, _OI] * lot
    quote[_Q_OI_HIGH] = state[i, _OI_HIGH] * lot
    quote[_Q_OI_LOW] = state[i, _OI_LOW] * lot
    if lots > 0:
        quote[_Q_TRADE_MS] = open_ms + 1000 * state[i, _TRADE_SECOND]
        quote[_Q_LAST_QTY] = state[i, _LAST_LOTS] * lot
        quote[_Q_AVERAGE] = (2 * state[i, _TURNOVER] + lots) // (2 * lots)
        quote[_Q_VOLUME] = lots * lot
        quote[_Q_OPEN] = state[i, _OPEN]
        quote[_Q_HIGH] = state[i, _HIGH]
        quote[_Q_LOW] = state[i, _LOW]


@kernel("void(int64[::1], float64, int64, int64[::1], int64[:, ::1], int64, int64)")
def _index(quote: Ints, spot: float, tick: int, day: Ints, extremes: Ints, second: int, stamp_ms: int) -> None:
    """The row of an index: a value and the day's prices, no book, no volume."""
    ltp = np.int64(round(spot / tick)) * tick
    quote[_Q_LTP] = ltp
    quote[_Q_TRADE_MS] = stamp_ms
    quote[_Q_OPEN] = extremes[0, 0]
    quote[_Q_HIGH] = max(extremes[second, 0], ltp)
    quote[_Q_LOW] = min(extremes[second, 1], ltp)
    quote[_Q_CLOSE] = day[INDEX_CLOSE]


@kernel(
    "void(int64[:, ::1], int64[::1], int64, int64, int64[:, ::1], float64[:, ::1], int64[:, ::1], int64[:, :, ::1],"
    "float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[:, :, ::1], int64[:, ::1], float64[::1])"
)
def fill_quotes(
    out: Ints,
    tokens: Ints,
    time_ms: int,
    book_levels: int,
    terms: Ints,
    sizes: Floats,
    state: Ints,
    marks: Ints,
    spots: Floats,
    factors: Floats,
    activity: Floats,
    index_extremes: Ints,
    days: Ints,
    levels: Floats,
) -> None:
    """Write the quote of each token at `time_ms` into the zeroed rows of `out` (QUOTE as int64 columns).

    `terms` is sorted by token. Rows of unknown tokens and of moments before the open keep only the token. With fewer
    than all levels of the book, its total quantities are not promised.
    """
    for place in range(len(tokens)):
        token = tokens[place]
        quote = out[place]
        quote[_Q_TOKEN] = token
        i = np.searchsorted(terms[:, TOKEN], token)
        if i == len(terms) or terms[i, TOKEN] != token:
            continue
        market = terms[i, MARKET]
        open_ms = days[market, OPEN_MS]
        if time_ms < open_ms:
            continue
        # After the close time stands still at the end of the last second.
        passed_ms = min(time_ms - open_ms, 1000 * terms[i, LAST_SECOND] + 999)
        second = passed_ms // 1000
        part = (passed_ms - 1000 * second) / 1000.0
        stamp_ms = open_ms + 1000 * second
        quote[_Q_EXCHANGE_MS] = stamp_ms
        spot = spots[market, second] + part * (spots[market, second + 1] - spots[market, second])
        if terms[i, KIND] == INDEX:
            _index(quote, spot, terms[i, TICK], days[market], index_extremes[market], second, stamp_ms)
            continue
        _advance(
            terms,
            sizes,
            state,
            marks,
            i,
            second,
            spots[market],
            factors[market],
            activity[market],
            levels[market],
            open_ms,
        )
        if book_levels > 0:
            now_ms = float(open_ms + passed_ms)
            bid, ask, pace = _touch(terms, sizes, i, now_ms, second, spot, factors[market, second], levels[market])
            _depth(quote, terms, i, second, bid, ask, pace, book_levels)
        _sums(quote, terms, state, i, open_ms)


@kernel(
    "void(int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], float64[:, ::1], int64[:, ::1], int64[:, :, ::1],"
    "float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[:, :, ::1], int64[:, ::1], float64[::1])"
)
def fill_series(
    out: Ints,
    token: Ints,
    moments_ms: Ints,
    terms: Ints,
    sizes: Floats,
    state: Ints,
    marks: Ints,
    spots: Floats,
    factors: Floats,
    activity: Floats,
    index_extremes: Ints,
    days: Ints,
    levels: Floats,
) -> None:
    """`fill_quotes` of one token for many moments, one row of `out` each, without the book."""
    for place in range(len(moments_ms)):
        fill_quotes(
            out[place : place + 1],
            token,
            moments_ms[place],
            0,
            terms,
            sizes,
            state,
            marks,
            spots,
            factors,
            activity,
            index_extremes,
            days,
            levels,
        )
