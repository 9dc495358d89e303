"""The order book beyond what a record shows: modelled levels, sizes and order counts, hashed from their place.

Everything here is a pure function of (key, moment): `key` stands for seed and contract, `moment` is a second.
"""

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.domain.market import DEPTH_LEVELS
from g6_core.sim.counter_random import unit_at

_SIZE, _STEP, _DEEP_SIZE, _ORDERS = 0, 16, 32, 48
_STEP_TICKS_MAX = 3
_ORDERS_MAX = 12


@kernel("int64(int64[::1], int64, int64, int64, int64, int64, int64, int64)")
def fill_side(
    out: NDArray[np.int64], price_at: int, top: int, top_qty: int, step: int, lot: int, moment: int, key: int
) -> int:
    """Write five levels of one side from its touch; returns the sum of the sizes. `step` is -tick or +tick."""
    qty_at, orders_at = price_at + DEPTH_LEVELS, price_at + 2 * DEPTH_LEVELS
    if top <= 0:
        return 0
    side = 8 if step > 0 else 0
    price = top
    total = 0
    top_lots = max(1, top_qty // lot)
    for level in range(DEPTH_LEVELS):
        qty = top_qty
        if level > 0:
            price += step * (1 + int(unit_at(key, _STEP + side + level, moment) * _STEP_TICKS_MAX))
            qty = lot * (1 + int(unit_at(key, _DEEP_SIZE + side + level, moment) * 2 * top_lots))
            if price <= 0:
                break
        out[price_at + level] = price
        out[qty_at + level] = qty
        out[orders_at + level] = min(
            qty // lot, 1 + int(unit_at(key, _ORDERS + side + level, moment) * min(_ORDERS_MAX, qty // lot))
        )
        total += qty
    return total


@kernel("int64(int64, int64, int64, int64, int64)")
def touch_size(recorded: int, lot: int, key: int, side: int, moment: int) -> int:
    """A touch size between snapshots: the recorded one, up to a quarter more or less, in whole lots."""
    span = recorded // lot // 4
    return recorded + lot * (int(unit_at(key, _SIZE + side, moment) * (2 * span + 1)) - span)
