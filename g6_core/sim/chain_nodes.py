"""From chain rows to nodes: the record on a (contract, snapshot) grid, with parity forwards and deltas.

Contracts are ordered like the synthetic dump: the index row, then expiry, strike, call before put.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from g6_core.domain import options
from g6_core.sim import bridge
from g6_core.sim.chain_day import SIDES, ChainDay, Field
from g6_core.sim.modelled_touch import model_touch

ATM_STRIKES = 7
# Strikes with a wider market (call and put spread together, as part of the strike) say nothing about the forward.
PARITY_SPREAD_MAX = 0.01
SHORTEST_LIFE_MS = 60_000
TOUCH_COLUMNS = {
    Field.BID: bridge.BID,
    Field.ASK: bridge.ASK,
    Field.BID_QTY: bridge.BID_QTY,
    Field.ASK_QTY: bridge.ASK_QTY,
}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChainNodes:
    """`nodes` and `present` for `bridge`, the forward of the nearest expiry (paise, nan where unknown), its volatility.

    `close_paise` holds the previous close per contract, 0 where the record does not tell. `volume_known`, shaped like
    `present`, says where the record tells what had been traded; `repeats` which snapshots show the options exactly as
    the one before.
    """

    nodes: NDArray[np.int32]
    present: NDArray[np.bool_]
    forward_paise: Floats
    sigma: float
    close_paise: NDArray[np.int64]
    volume_known: NDArray[np.bool_]
    repeats: NDArray[np.bool_]


def build_nodes(day: ChainDay, lots: NDArray[np.int64], option_tick: int, index_tick: int, close_ms: int) -> ChainNodes:
    """The columns of all nodes; `lots` are units per lot of each line, ticks in paise, `close_ms` the session's end."""
    shape = (1 + 2 * len(lots), len(day.grid.stamps_ms))
    nodes = np.zeros((*shape, bridge.NODE_WIDTH), np.int32)
    present = np.zeros(shape, np.bool_)
    volume_known = np.ones(shape, np.bool_)
    has_volume = np.ones(shape[0], np.bool_)
    lot = lots[day.grid.line].astype(np.float64)
    for place, side in enumerate(SIDES):
        at = (1 + 2 * day.grid.line + place, day.grid.snapshot)
        present[at] = True
        volume, oi = day.cells.values(side, Field.VOLUME), day.cells.values(side, Field.OI)
        volume_known[at] = np.isfinite(volume)
        # A whole side that never traded is a column that nobody filled.
        has_volume[1 + place :: 2] = bool(np.nan_to_num(volume).any())
        nodes[(*at, bridge.VOLUME_LOTS)] = np.rint(np.nan_to_num(volume) / (1.0 if day.in_lots else lot))
        nodes[(*at, bridge.OI)] = np.rint(oi * lot if day.in_lots else oi)
        nodes[(*at, bridge.LTP)] = np.rint(day.cells.values(side, Field.LTP))
        for field, column in TOUCH_COLUMNS.items() if day.has_touch else ():
            nodes[(*at, column)] = np.rint(day.cells.values(side, field))
    repeats = _repeats(nodes[1:], present[1:])
    if not day.has_touch:
        model_touch(nodes[1:], volume_known[1:], np.repeat(lots, 2), option_tick)
    forward, sigma = _fill_deltas(nodes, day, close_ms)
    index = forward if day.spot_paise is None else day.spot_paise
    known = np.isfinite(index)
    present[0] = known
    nodes[0, known, bridge.LTP] = np.rint(index[known] / index_tick) * index_tick
    nodes[0, :, bridge.DELTA_PPM] = 1_000_000
    close_paise = _previous_close(day, nodes, index_tick)
    if day.spot_paise is not None:
        close_paise[0] = round(day.spot_close_paise / index_tick) * index_tick
    return ChainNodes(nodes, present, forward, sigma, close_paise, volume_known & has_volume[:, None], repeats)


def _repeats(nodes: NDArray[np.int32], present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which snapshots show all options as the one before, by the recorded columns: a source that hangs does."""
    found = np.zeros(present.shape[1], np.bool_)
    recorded = nodes[:, :, : bridge.DELTA_PPM]
    found[1:] = (present[:, 1:] == present[:, :-1]).all(axis=0) & (recorded[:, 1:] == recorded[:, :-1]).all(axis=(0, 2))
    return found


def parity_forward(strikes: Floats, gap: Floats, usable: NDArray[np.bool_]) -> Floats:
    """Median of strike + call - put over the usable strikes nearest the money, per snapshot; nan without any.

    `gap` (call minus put) and `usable` have shape (strikes, snapshots).
    """
    distance = np.where(usable, np.abs(gap), np.inf)
    nearest = np.argsort(distance, axis=0, kind="stable")[:ATM_STRIKES]
    forwards = np.where(usable, strikes[:, None] + gap, np.nan)
    near = np.sort(np.take_along_axis(forwards, nearest, axis=0), axis=0)
    count = np.isfinite(near).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    columns = np.arange(near.shape[1])
    median = (near[low, columns] + near[np.minimum(high, len(near) - 1), columns]) / 2
    return np.where(count > 0, median, np.nan)


def _fill_deltas(nodes: NDArray[np.int32], day: ChainDay, close_ms: int) -> tuple[Floats, float]:
    """Write DELTA_PPM of every node; returns the nearest expiry's forward and the volatility of the day."""
    first_forward = np.full(len(day.grid.stamps_ms), np.nan)
    day_sigma = np.nan
    for place, expiry in enumerate(day.grid.expiries):
        rows = np.flatnonzero(day.grid.expiry_of == place)
        strikes = day.grid.strikes_paise[rows].astype(np.float64)
        calls, puts = nodes[1 + 2 * rows], nodes[2 + 2 * rows]
        forward = parity_forward(strikes, *_parity_input(strikes, calls, puts))
        if place == 0:
            first_forward = forward
        forward = np.where(np.isfinite(forward), forward, first_forward)
        life_ms = close_ms - day.grid.stamps_ms + (expiry - day.trade_date) // timedelta(milliseconds=1)
        years = np.maximum(life_ms, SHORTEST_LIFE_MS) / options.YEAR_MS
        sigma = _sigmas(strikes, forward, years, calls, puts)
        typical = _median(_at_the_money(strikes, forward, sigma))
        # An expiring chain's volatility runs away in its last hour, so the next one speaks for the day.
        if not np.isfinite(day_sigma) or (
            place == 1 and day.grid.expiries[0] == day.trade_date and np.isfinite(typical)
        ):
            day_sigma = typical
        delta = _call_deltas(strikes, forward, years, np.where(np.isfinite(sigma), sigma, typical))
        nodes[1 + 2 * rows, :, bridge.DELTA_PPM] = np.rint(delta * 1e6)
        nodes[2 + 2 * rows, :, bridge.DELTA_PPM] = np.rint((delta - 1.0) * 1e6)
    return first_forward, float(day_sigma) if np.isfinite(day_sigma) else 0.0


def _parity_input(
    strikes: Floats, calls: NDArray[np.int32], puts: NDArray[np.int32]
) -> tuple[Floats, NDArray[np.bool_]]:
    call_mid, call_spread = _mid(calls)
    put_mid, put_spread = _mid(puts)
    return call_mid - put_mid, call_spread + put_spread <= PARITY_SPREAD_MAX * strikes[:, None]


def _mid(nodes: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Middle and width of the touch; the width is infinite where a side is missing."""
    bid, ask = nodes[:, :, bridge.BID].astype(np.float64), nodes[:, :, bridge.ASK].astype(np.float64)
    quoted = (bid > 0) & (ask > bid)
    return (bid + ask) / 2, np.where(quoted, ask - bid, np.inf)


def _sigmas(
    strikes: Floats, forward: Floats, years: Floats, calls: NDArray[np.int32], puts: NDArray[np.int32]
) -> Floats:
    """Implied volatility of the out-of-the-money side of each strike, one for call and put; nan where there is none.

    Taken from the middle of the touch instead of the record's own IV column, which many recordings lack and which
    is 0 on the in-the-money side: one sigma per strike keeps the two deltas one apart.
    """
    is_call = strikes[:, None] >= forward[None, :]
    call_mid, call_spread = _mid(calls)
    put_mid, put_spread = _mid(puts)
    price = np.where(is_call, call_mid, put_mid)
    price = np.where(np.isfinite(np.where(is_call, call_spread, put_spread)), price, 0.0)
    shape = price.shape
    sigma = np.empty(price.size)
    options.implied_vols(
        price.ravel(),
        _flat(forward, shape),
        _flat(strikes[:, None], shape),
        _flat(years, shape),
        np.ones(price.size),
        is_call.ravel(),
        sigma,
    )
    return sigma.reshape(shape)


def _at_the_money(strikes: Floats, forward: Floats, sigma: Floats) -> Floats:
    """Sigma of the strike nearest the forward that has one, per snapshot."""
    distance = np.where(np.isfinite(sigma), np.abs(strikes[:, None] - forward[None, :]), np.inf)
    nearest = np.argmin(distance, axis=0)
    return np.asarray(sigma[nearest, np.arange(len(nearest))], np.float64)


def _median(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _flat(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Broadcast and flattened into an array of its own: compiled code takes no read-only views."""
    return np.broadcast_to(values, shape).flatten()


def _call_deltas(strikes: Floats, forward: Floats, years: Floats, sigma: Floats) -> Floats:
    """Black-76 delta of the calls; 1 in and 0 out of the money where no volatility stands."""
    shape = sigma.shape
    greeks = np.empty((sigma.size, 5))
    options.greeks_of(
        _flat(forward, shape),
        _flat(strikes[:, None], shape),
        sigma.ravel(),
        _flat(years, shape),
        np.ones(sigma.size),
        np.ones(sigma.size, np.bool_),
        greeks,
    )
    delta = greeks[:, 0].reshape(shape)
    return np.where(np.isfinite(delta), delta, forward[None, :] > strikes[:, None])


def _previous_close(day: ChainDay, nodes: NDArray[np.int32], index_tick: int) -> NDArray[np.int64]:
    """LTP minus net change where a contract first appears; for the index the parity forward of those closes."""
    close = np.zeros(len(nodes), np.int64)
    by_time = np.argsort(day.grid.snapshot, kind="stable")
    lines, first = np.unique(day.grid.line[by_time], return_index=True)
    first = by_time[first]
    for place, side in enumerate(SIDES):
        change = day.cells.net_change_paise(side)
        if change is None:
            return close
        contracts = 1 + 2 * lines + place
        last = nodes[contracts, day.grid.snapshot[first], bridge.LTP]
        close[contracts] = np.where(last > 0, np.maximum(np.rint(last - change[first]), 0), 0)
    near = np.flatnonzero(day.grid.expiry_of == 0)
    calls, puts = close[1 + 2 * near].astype(np.float64), close[2 + 2 * near].astype(np.float64)
    usable = ((calls > 0) & (puts > 0))[:, None]
    forward = parity_forward(day.grid.strikes_paise[near].astype(np.float64), (calls - puts)[:, None], usable)[0]
    close[0] = round(forward / index_tick) * index_tick if np.isfinite(forward) else 0
    return close
