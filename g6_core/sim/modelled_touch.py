"""Bid, ask and their sizes for a record that has none: a width around the last price, by how much has traded.

Widths and sizes are round figures near the medians of a recorded NIFTY chain (29 Aug 2025: 2.0 % and 2 lots below
100 lots traded, 0.9 % and 2 below 1,000, 0.5 % and 4 below 10,000, 0.5 % and 13 above). They make a chain tradable,
not real: a source with such a touch says so.
"""

import numpy as np
from numpy.typing import NDArray

from g6_core.sim import bridge

# Lots traded so far today -> width of the market as part of the last price, size of each side in lots.
TRADED_LOTS = (100, 1_000, 10_000)
WIDTHS = (0.020, 0.010, 0.006, 0.005)
SIZES_LOTS = (2, 2, 4, 12)


def model_touch(nodes: NDArray[np.int32], volume_known: NDArray[np.bool_], lots: NDArray[np.int64], tick: int) -> None:
    """Write bid, ask and sizes into option nodes, shape (contracts, snapshots, NODE_WIDTH); prices in paise.

    The last price lies inside the touch. A contract without a price has none, nor has one known not to have traded
    today: its last price is of another day. `lots` are units per lot of each contract. Where the volume is not known
    (`volume_known`, shape (contracts, snapshots)) the widest market stands.
    """
    ltp = nodes[:, :, bridge.LTP].astype(np.int64)
    traded = nodes[:, :, bridge.VOLUME_LOTS]
    level = np.searchsorted(TRADED_LOTS, traded, side="right")
    half = np.maximum(np.ceil(ltp * np.array(WIDTHS)[level] / 2 / tick).astype(np.int64) * tick, tick)
    quoted = (ltp > 0) & ((traded > 0) | ~volume_known)
    bid = np.maximum(ltp - half, tick)
    size = np.array(SIZES_LOTS)[level] * lots[:, None]
    for column, values in (
        (bridge.BID, bid),
        (bridge.ASK, np.maximum(ltp + half, bid + tick)),
        (bridge.BID_QTY, size),
        (bridge.ASK_QTY, size),
    ):
        nodes[:, :, column] = np.where(quoted, values, 0)
