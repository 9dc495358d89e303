"""Columns of the closing state: one last quote of every contract of a day, asked after the close.

It is kept beside the lake, not in it: it belongs to no minute of the session. Prices and strikes are rupees, volume
and open interest units of the underlying, times UTC. `timestamp` is when the broker said it, `exchange_time` the
quote's own stamp; an empty cell means unknown.
"""

from typing import Final

from g6_core.schema.options import Kind

CLOSING_VERSION: Final = 1

CLOSING_COLUMNS: Final[dict[str, Kind]] = {
    "timestamp": Kind.TIME_MS,
    "exchange_time": Kind.TIME_MS,
    "index": Kind.TEXT,
    "expiry": Kind.DATE,
    "strike": Kind.RUPEES,
    "side": Kind.TEXT,
    "symbol": Kind.TEXT,
    "ltp": Kind.RUPEES,
    "bid": Kind.RUPEES,
    "ask": Kind.RUPEES,
    "bid_qty": Kind.COUNT,
    "ask_qty": Kind.COUNT,
    "volume": Kind.COUNT,
    "oi": Kind.COUNT,
    "average_price": Kind.RUPEES,
}
