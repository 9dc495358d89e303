"""Compiled quotes between recorded snapshots: the bridge, the touch, last trade, running extremes, depth.

The record is an array of nodes, int32 of shape (contracts, snapshots, NODE_WIDTH): one node is what a contract
showed at a snapshot, prices in paise, quantities and OI in units, volume in lots, times in seconds since the first
snapshot. Between two nodes that are joined (`NEXT` >= 0) the touch moves linearly plus delta times the noise of the
forward, which is zero at every snapshot; a node that is not joined holds. A blank node (volume back at 0 after
trades: the page of the exchange failed for that contract) is shown as recorded, joined to nothing and left out of
the figures of the day.

Recorded: touch, its sizes, LTP, OI, volume. Modelled here: everything between nodes, levels 1 to 4 of the depth and
the order counts of all five, last traded quantity and average price. All numbers depend on (seed, contract, time) only.
"""

import math

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.domain.market import QUOTE
from g6_core.domain.market import TICK as TICK_ROW
from g6_core.sim.depth import fill_side, touch_size

BID, ASK, LTP, BID_QTY, ASK_QTY, VOLUME_LOTS, OI, DELTA_PPM = range(8)
HIGH, LOW, OI_HIGH, OI_LOW, AVERAGE, LAST_TRADE_S, TIME_S, NEXT = range(8, 16)
NODE_WIDTH = 16
UNKNOWN = -1
# How much of a quote is filled: the best prices, or everything, of which the day's extremes and the book behind the
# best prices cost most.
TOUCH, ALL = range(2)

# Columns of `terms`, int64, one row per contract; LOT is 0 for the index row, which has no book.
KEY, LOT, TICK, OPEN, CLOSE = range(5)
TERMS_WIDTH = 5

QUOTE_WIDTH = QUOTE.itemsize // 8
_AT = {name: place // 8 for name, (_, place, *_) in (QUOTE.fields or {}).items()}
_Q_EXCHANGE_MS, _Q_LAST_TRADE_MS, _Q_LTP = _AT["exchange_ms"], _AT["last_trade_ms"], _AT["ltp_paise"]
_Q_LAST_QTY, _Q_AVERAGE, _Q_VOLUME = _AT["last_qty"], _AT["average_paise"], _AT["volume"]
_Q_BUY_QTY, _Q_SELL_QTY = _AT["buy_qty"], _AT["sell_qty"]
_Q_OI, _Q_OI_HIGH, _Q_OI_LOW = _AT["oi"], _AT["oi_day_high"], _AT["oi_day_low"]
_Q_OPEN, _Q_HIGH, _Q_LOW, _Q_CLOSE = _AT["open_paise"], _AT["high_paise"], _AT["low_paise"], _AT["close_paise"]
_Q_BID, _Q_ASK = _AT["bid_paise"], _AT["ask_paise"]
_Q_BID_QTY, _Q_ASK_QTY = _AT["bid_qty"], _AT["ask_qty"]

TICK_WIDTH = TICK_ROW.itemsize // 8
_T_EXCHANGE_MS, _T_LTP, _T_VOLUME, _T_OI = (
    (TICK_ROW.names or ()).index(name) for name in ("exchange_ms", "ltp_paise", "volume", "oi")
)

_ROW = "int32[::1]"
_NODES = "int32[:, :, ::1]"


@kernel("int64(float64, int64)")
def _to_tick(price: float, tick: int) -> int:
    return math.floor(price / tick + 0.5) * tick


@kernel("float64(float64[::1], int64)")
def noise_at(noise: NDArray[np.float64], offset_ms: int) -> float:
    """Displacement of the forward in paise, linear between the whole seconds of `noise`."""
    second = offset_ms // 1000
    weight = (offset_ms % 1000) / 1000.0
    if weight == 0.0:
        return float(noise[second])
    return float(noise[second] * (1.0 - weight) + noise[second + 1] * weight)


@kernel(f"UniTuple(int64, 2)({_ROW}, {_ROW}, float64, float64, int64)")
def _touch(
    left: NDArray[np.int32], right: NDArray[np.int32], part: float, forward_shift: float, tick: int
) -> tuple[int, int]:
    """Best bid and ask inside an interval; a side that is empty at its left end stays empty."""
    shift = left[DELTA_PPM] * 1e-6 * forward_shift
    bid = 0
    ask = 0
    if left[BID] > 0:
        end = right[BID] if right[BID] > 0 else left[BID]
        bid = max(tick, _to_tick(left[BID] + (end - left[BID]) * part + shift, tick))
    if left[ASK] > 0:
        end = right[ASK] if right[ASK] > 0 else left[ASK]
        ask = max(bid + tick, _to_tick(left[ASK] + (end - left[ASK]) * part + shift, tick))
    return bid, ask


@kernel(f"int64({_ROW}, {_ROW}, int64)")
def _lots_traded(left: NDArray[np.int32], right: NDArray[np.int32], part_s: int) -> int:
    """Whole lots of an interval that have traded `part_s` whole seconds into it."""
    traded = int(right[VOLUME_LOTS]) - left[VOLUME_LOTS]
    return traded * part_s // (right[TIME_S] - left[TIME_S]) if traded > 0 else 0


@kernel(f"UniTuple(int64, 3)({_ROW}, {_ROW}, int64, float64[::1], int64)")
def _trade(
    left: NDArray[np.int32], right: NDArray[np.int32], part_s: int, noise: NDArray[np.float64], tick: int
) -> tuple[int, int, int]:
    """(volume in lots, second of the last trade, its price) `part_s` whole seconds into an interval.

    Volume rises by whole lots; a price only changes when a lot trades, at or inside the touch of that second. A
    record whose volume does not rise holds all three.
    """
    lots = _lots_traded(left, right, part_s)
    if lots == 0:
        return left[VOLUME_LOTS], left[LAST_TRADE_S], left[LTP]
    traded, whole_s = int(right[VOLUME_LOTS]) - left[VOLUME_LOTS], right[TIME_S] - left[TIME_S]
    trade_s = -(-lots * whole_s // traded)
    part = trade_s / whole_s
    shift = noise[left[TIME_S] + trade_s]
    start = left[LTP] if left[LTP] > 0 else right[LTP]
    end = right[LTP] if right[LTP] > 0 else left[LTP]
    price = max(tick, _to_tick(start + (end - start) * part + left[DELTA_PPM] * 1e-6 * shift, tick))
    bid, ask = _touch(left, right, part, shift, tick)
    if bid > 0:
        price = max(price, bid)
    if ask > 0:
        price = min(price, ask)
    return left[VOLUME_LOTS] + lots, left[TIME_S] + trade_s, price


@kernel(f"UniTuple(int64, 3)({_ROW}, {_ROW}, int64, float64[::1], int64[::1])")
def _last(
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    part_s: int,
    noise: NDArray[np.float64],
    terms: NDArray[np.int64],
) -> tuple[int, int, int]:
    """`_trade`, or for the index row its value of that second."""
    if terms[LOT] > 0:
        return _trade(left, right, part_s, noise, terms[TICK])
    part = part_s / (right[TIME_S] - left[TIME_S])
    second = left[TIME_S] + part_s
    return 0, second, _to_tick(left[LTP] + (right[LTP] - left[LTP]) * part + noise[second], terms[TICK])


@kernel(f"UniTuple(int64, 2)({_ROW}, {_ROW}, int64, float64[::1], int64[::1])")
def _extremes(
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    part_s: int,
    noise: NDArray[np.float64],
    terms: NDArray[np.int64],
) -> tuple[int, int]:
    """High and low of the day up to `part_s` seconds into an interval, every bridged trade included."""
    high, low = int(left[HIGH]), int(left[LOW])
    seen_s = int(left[LAST_TRADE_S])
    if terms[LOT] > 0 and right[VOLUME_LOTS] <= left[VOLUME_LOTS]:
        return high, low
    lots = 0
    for second in range(1, part_s + 1):
        if terms[LOT] > 0:
            before, lots = lots, _lots_traded(left, right, second)
            if lots == before:
                continue
        _, trade_s, price = _last(left, right, second, noise, terms)
        if trade_s > seen_s:
            seen_s = trade_s
            high = max(high, price)
            low = price if low == 0 else min(low, price)
    return high, low


@kernel("void(int32[:, ::1], boolean[::1], int64[::1], float64[::1])")
def _run_figures(
    nodes: NDArray[np.int32], present: NDArray[np.bool_], terms: NDArray[np.int64], noise: NDArray[np.float64]
) -> None:
    """High, low, OI extremes, average, last trade of one contract, forward through its snapshots."""
    last = UNKNOWN
    value = 0.0
    lots = 0
    for s in range(len(nodes)):
        node = nodes[s]
        if not present[s]:
            if last >= 0:
                nodes[s] = nodes[last]
            continue
        if last >= 0 and node[VOLUME_LOTS] == 0 and lots > 0:
            node[HIGH:TIME_S] = nodes[last, HIGH:TIME_S]
            last = s
            continue
        begun = node[VOLUME_LOTS] > 0 or (terms[LOT] == 0 and node[LTP] > 0)
        node[LAST_TRADE_S] = node[TIME_S] if begun else UNKNOWN
        node[OI_HIGH] = node[OI_LOW] = node[OI]
        if last >= 0:
            before = nodes[last]
            if before[NEXT] >= 0:
                node[HIGH], node[LOW] = _extremes(before, node, node[TIME_S] - before[TIME_S] - 1, noise, terms)
            else:
                node[HIGH], node[LOW] = before[HIGH], before[LOW]
            if terms[LOT] > 0 and node[VOLUME_LOTS] == before[VOLUME_LOTS]:
                node[LAST_TRADE_S] = before[LAST_TRADE_S]
            node[OI_HIGH] = max(before[OI_HIGH], node[OI])
            node[OI_LOW] = min(before[OI_LOW], node[OI])
        if begun:
            node[HIGH] = max(node[HIGH], node[LTP])
            node[LOW] = node[LTP] if node[LOW] == 0 else min(node[LOW], node[LTP])
            if terms[OPEN] == 0:
                terms[OPEN] = node[LTP]
        if node[VOLUME_LOTS] > lots:
            value += float(node[VOLUME_LOTS] - lots) * node[LTP]
            lots = node[VOLUME_LOTS]
        node[AVERAGE] = int(value / lots + 0.5) if lots > 0 else 0
        last = s


@kernel(f"void(int64[::1], {_NODES}, boolean[:, ::1], int64[::1], int64[::1], int64, int64[:, ::1], float64[::1])")
def fold_record(
    contracts: NDArray[np.int64],
    nodes: NDArray[np.int32],
    present: NDArray[np.bool_],
    stamps_s: NDArray[np.int64],
    joined: NDArray[np.int64],
    gap_max_s: int,
    terms: NDArray[np.int64],
    noise: NDArray[np.float64],
) -> None:
    """Complete nodes in place: link neighbours, fill absences with the last node, run the day's figures.

    `contracts` are the places of those that are completed, each once. `nodes` holds the recorded columns where
    `present`; `stamps_s` are the snapshots; `joined[s]` is 0 where nothing moves after snapshot s (the market is
    shut); neighbours further apart than `gap_max_s` are not joined.
    OPEN of `terms` becomes the first traded price.
    """
    for contract in contracts:
        following = UNKNOWN
        first_traded = 0
        while first_traded < nodes.shape[1] and nodes[contract, first_traded, VOLUME_LOTS] == 0:
            first_traded += 1
        for s in range(nodes.shape[1] - 1, -1, -1):
            node = nodes[contract, s]
            node[NEXT] = UNKNOWN
            node[TIME_S] = UNKNOWN
            if not present[contract, s]:
                continue
            node[TIME_S] = stamps_s[s]
            if s > first_traded and node[VOLUME_LOTS] == 0:
                following = UNKNOWN
                continue
            if following >= 0 and joined[s] != 0 and stamps_s[following] - stamps_s[s] <= gap_max_s:
                node[NEXT] = following
            following = s
        _run_figures(nodes[contract], present[contract], terms[contract], noise)


@kernel(f"int64({_ROW}, {_ROW}, int64, int64)")
def _oi_rise(left: NDArray[np.int32], right: NDArray[np.int32], part_ms: int, lot: int) -> int:
    """Open interest `part_ms` into an interval above that at its left end, by whole lots."""
    part = part_ms / ((right[TIME_S] - left[TIME_S]) * 1000.0)
    lots: int = math.floor((int(right[OI]) - int(left[OI])) * part / lot + 0.5)
    return lots * lot


@kernel(f"void({_ROW}, int32[:, ::1], int64, int64[::1], float64[::1], int64, int64[::1], int64)")
def _fill(
    left: NDArray[np.int32],
    nodes: NDArray[np.int32],
    offset_ms: int,
    terms: NDArray[np.int64],
    noise: NDArray[np.float64],
    base_ms: int,
    out: NDArray[np.int64],
    detail: int,
) -> None:
    """One known contract at `offset_ms` after the first snapshot; `left` is its node, `nodes` all of its nodes."""
    lot, tick, key = terms[LOT], terms[TICK], terms[KEY]
    part_ms = offset_ms - left[TIME_S] * 1000
    moment = int(left[TIME_S])
    bid, ask = int(left[BID]), int(left[ASK])
    bid_qty, ask_qty = int(left[BID_QTY]), int(left[ASK_QTY])
    lots, trade_s, ltp = int(left[VOLUME_LOTS]), int(left[LAST_TRADE_S]), int(left[LTP])
    oi, oi_high, oi_low = int(left[OI]), int(left[OI_HIGH]), int(left[OI_LOW])
    high, low = int(left[HIGH]), int(left[LOW])
    if part_ms > 0 and left[NEXT] >= 0:
        right = nodes[left[NEXT]]
        moment = offset_ms // 1000
        part_s = moment - left[TIME_S]
        part = part_ms / ((right[TIME_S] - left[TIME_S]) * 1000.0)
        lots, trade_s, ltp = _last(left, right, part_s, noise, terms)
        if detail == ALL:
            high, low = _extremes(left, right, part_s, noise, terms)
        if lot > 0:
            bid, ask = _touch(left, right, part, noise_at(noise, offset_ms), tick)
            bid_qty = touch_size(bid_qty, lot, key, 0, moment)
            ask_qty = touch_size(ask_qty, lot, key, 1, moment)
            oi += _oi_rise(left, right, part_ms, lot)
            oi_high, oi_low = max(oi, oi_high), min(oi, oi_low)
    out[_Q_EXCHANGE_MS] = base_ms + moment * 1000
    out[_Q_LAST_TRADE_MS] = base_ms + trade_s * 1000 if trade_s >= 0 else 0
    out[_Q_LTP] = ltp
    out[_Q_LAST_QTY] = lot if trade_s >= 0 else 0
    out[_Q_AVERAGE] = left[AVERAGE]
    out[_Q_VOLUME] = lots * lot
    out[_Q_OI], out[_Q_OI_HIGH], out[_Q_OI_LOW] = oi, oi_high, oi_low
    out[_Q_OPEN] = terms[OPEN] if left[LAST_TRADE_S] >= 0 else 0
    out[_Q_HIGH], out[_Q_LOW], out[_Q_CLOSE] = high, low, terms[CLOSE]
    if lot > 0 and detail == TOUCH:
        if bid > 0:
            out[_Q_BID], out[_Q_BID_QTY] = bid, bid_qty
        if ask > 0:
            out[_Q_ASK], out[_Q_ASK_QTY] = ask, ask_qty
    elif lot > 0 and detail == ALL:
        out[_Q_BUY_QTY] = fill_side(out, _Q_BID, bid, bid_qty, -tick, lot, moment, key)
        out[_Q_SELL_QTY] = fill_side(out, _Q_ASK, ask, ask_qty, tick, lot, moment, key)


@kernel(
    f"void(int64[::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], {_NODES}, float64[::1], int64[:, ::1],"
    "int64)"
)
def fill_quotes(
    tokens: NDArray[np.int64],
    time_ms: int,
    base_ms: int,
    stamps_s: NDArray[np.int64],
    known_tokens: NDArray[np.int64],
    terms: NDArray[np.int64],
    nodes: NDArray[np.int32],
    noise: NDArray[np.float64],
    out: NDArray[np.int64],
    detail: int,
) -> None:
    """QUOTE rows as int64 of shape (n, QUOTE_WIDTH) into `out`, which holds zeros; `known_tokens` ascends."""
    offset_ms = time_ms - base_ms
    snapshot = np.searchsorted(stamps_s, offset_ms // 1000, side="right") - 1
    for i in range(len(tokens)):
        out[i, 0] = tokens[i]
        place = np.searchsorted(known_tokens, tokens[i])
        if snapshot < 0 or place == len(known_tokens) or known_tokens[place] != tokens[i]:
            continue
        left = nodes[place, snapshot]
        if left[TIME_S] >= 0:
            _fill(left, nodes[place], offset_ms, terms[place], noise, base_ms, out[i], detail)


@kernel(f"void(int64[::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], {_NODES}, float64[::1], int64[:, ::1])")
def fill_seconds(
    tokens: NDArray[np.int64],
    first_ms: int,
    base_ms: int,
    stamps_s: NDArray[np.int64],
    known_tokens: NDArray[np.int64],
    terms: NDArray[np.int64],
    nodes: NDArray[np.int32],
    noise: NDArray[np.float64],
    out: NDArray[np.int64],
) -> None:
    """As `fill_quotes` with TOUCH, for every second from the first on that `out` has room for."""
    count = len(tokens)
    for second in range(len(out) // max(count, 1)):
        rows = out[second * count : (second + 1) * count]
        fill_quotes(tokens, first_ms + 1000 * second, base_ms, stamps_s, known_tokens, terms, nodes, noise, rows, TOUCH)


@kernel(
    f"void(int64[::1], int64[::1], int64, int64[::1], int64[::1], int64[:, ::1], {_NODES}, float64[::1], int64[:, ::1])"
)
def fill_series(
    token: NDArray[np.int64],
    moments_ms: NDArray[np.int64],
    base_ms: int,
    stamps_s: NDArray[np.int64],
    known_tokens: NDArray[np.int64],
    terms: NDArray[np.int64],
    nodes: NDArray[np.int32],
    noise: NDArray[np.float64],
    out: NDArray[np.int64],
) -> None:
    """Trades of one token as `fill_quotes` has them, one moment a row, which ascend: TICK as int64 of shape (n,
    TICK_WIDTH) into `out`, which holds zeros."""
    out[:, 0] = token[0]
    place = np.searchsorted(known_tokens, token[0])
    if place == len(known_tokens) or known_tokens[place] != token[0]:
        return
    lot, own, row = terms[place, LOT], terms[place], nodes[place]
    snapshot = traded_at = -1
    traded_lots = traded_ltp = 0
    for i in range(len(moments_ms)):
        offset_ms = moments_ms[i] - base_ms
        while snapshot + 1 < len(stamps_s) and stamps_s[snapshot + 1] <= offset_ms // 1000:
            snapshot += 1
        if snapshot < 0 or row[snapshot, TIME_S] < 0:
            continue
        left = row[snapshot]
        moment = int(left[TIME_S])
        lots, ltp, oi = int(left[VOLUME_LOTS]), int(left[LTP]), int(left[OI])
        part_ms = offset_ms - moment * 1000
        if part_ms > 0 and left[NEXT] >= 0:
            right = row[left[NEXT]]
            part_s = offset_ms // 1000 - moment
            # Between two trades of an interval everything but the open interest stands still.
            if lot == 0 or traded_at != snapshot or lots + _lots_traded(left, right, part_s) != traded_lots:
                traded_lots, _, traded_ltp = _last(left, right, part_s, noise, own)
                traded_at = snapshot
            lots, ltp = traded_lots, traded_ltp
            if lot > 0:
                oi += _oi_rise(left, right, part_ms, lot)
            moment += part_s
        out[i, _T_EXCHANGE_MS], out[i, _T_LTP] = base_ms + moment * 1000, ltp
        out[i, _T_VOLUME], out[i, _T_OI] = lots * lot, oi
