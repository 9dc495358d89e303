"""Market data in columns: what a tick and a full quote look like in memory.

Both are NumPy structured arrays so that compiled code can walk them. All fields are int64;
prices in paise, quantities, volume and open interest in units of the underlying, times in
milliseconds since the epoch (UTC). 0 in `exchange_ms` means: nothing known about this token.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEPTH_LEVELS = 5

TICK = np.dtype(
    [
        ("token", "i8"),
        ("exchange_ms", "i8"),
        ("ltp_paise", "i8"),
        ("bid_paise", "i8"),
        ("ask_paise", "i8"),
        ("bid_qty", "i8"),
        ("ask_qty", "i8"),
        ("volume", "i8"),
        ("oi", "i8"),
    ]
)

QUOTE = np.dtype(
    [
        ("token", "i8"),
        ("exchange_ms", "i8"),
        ("last_trade_ms", "i8"),
        ("ltp_paise", "i8"),
        ("last_qty", "i8"),
        ("average_paise", "i8"),
        ("volume", "i8"),
        ("buy_qty", "i8"),
        ("sell_qty", "i8"),
        ("oi", "i8"),
        ("oi_day_high", "i8"),
        ("oi_day_low", "i8"),
        ("open_paise", "i8"),
        ("high_paise", "i8"),
        ("low_paise", "i8"),
        ("close_paise", "i8"),
        ("bid_paise", "i8", (DEPTH_LEVELS,)),
        ("bid_qty", "i8", (DEPTH_LEVELS,)),
        ("bid_orders", "i8", (DEPTH_LEVELS,)),
        ("ask_paise", "i8", (DEPTH_LEVELS,)),
        ("ask_qty", "i8", (DEPTH_LEVELS,)),
        ("ask_orders", "i8", (DEPTH_LEVELS,)),
    ]
)

# Where a full quote has the fields of a tick, of the book its best level.
_PLACES = {name: int(place) // 8 for name, (_, place, *_) in (QUOTE.fields or {}).items()}
_TOUCH = np.array([_PLACES[name] for name in TICK.names or ()])
_STAMP = _PLACES["exchange_ms"]


def ticks_of(quotes: NDArray[np.void]) -> NDArray[np.void]:
    """The touch of full quotes: QUOTE rows to TICK rows; rows without data are left out."""
    # As plain numbers: a record field by field costs more than pricing it did.
    table = np.ascontiguousarray(quotes).view(np.int64).reshape(len(quotes), QUOTE.itemsize // 8)
    return touch_of(table[table[:, _STAMP] > 0])


def touch_of(table: NDArray[np.int64]) -> NDArray[np.void]:
    """The touch of QUOTE rows that stand as int64 of shape (n, width): TICK rows."""
    ticks: NDArray[np.void] = table.take(_TOUCH, axis=1).view(TICK).reshape(len(table))
    return ticks


@dataclass(frozen=True, slots=True)
class Quote:
    """The touch of one instrument, for decisions in plain Python."""

    token: int
    exchange_ms: int
    ltp_paise: int
    bid_paise: int
    ask_paise: int
    bid_qty: int
    ask_qty: int
    volume: int
    oi: int

    @property
    def mid_paise(self) -> float:
        """Middle of the touch; the last price when a side is empty."""
        if self.bid_paise > 0 and self.ask_paise > 0:
            return (self.bid_paise + self.ask_paise) / 2
        return float(self.ltp_paise)

    @property
    def mark_paise(self) -> int:
        """Last price held inside the touch: an old trade outside of it is no price anybody could get now."""
        if 0 < self.bid_paise < self.ask_paise:
            return min(max(self.ltp_paise, self.bid_paise), self.ask_paise)
        return self.ltp_paise
