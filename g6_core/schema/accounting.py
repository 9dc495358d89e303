"""Columns of what completes a day beside its lake: the broker's candles as answered, and what follows from them.

Prices and strikes are rupees; volume and open interest are units of the underlying; times are UTC. A candle belongs to
the minute that it starts: its open is what a quote at that minute would have said, its open interest that of its end.
Bid, ask and volatility of such a minute are not known, so there are no columns for them.
"""

from enum import StrEnum
from typing import Final

from g6_core.schema.options import Kind

# Until version 1 `from` and `to` of an answer were what had been asked, now they are what it vouches for. A file may
# hold both, so an answer of today says so before its origin.
CANDLES_VERSION: Final = 2
CANDLES_CONTINUED: Final = (1,)
VOUCHED_MARK: Final = "v2: "


class Account(StrEnum):
    """How one expected minute of one contract ended.

    live: a quote stamped by the exchange is in the lake. repaired: the broker's candle of that minute is archived.
    no_trade: the broker has no candle of that minute and its history is vouched for. unverified: none of these.
    """

    LIVE = "live"
    REPAIRED = "repaired"
    NO_TRADE = "no_trade"
    UNVERIFIED = "unverified"


# The origin of an answer that says: my recording does not hold these minutes.
NOT_RECORDED: Final = "not recorded"

# One row a candle. An answer without any candle leaves one row whose `timestamp` is empty. `from` and `to` are the
# first and the last minute that the answer vouches for: a minute between them without a candle had no trade, unless
# `origin` is `NOT_RECORDED`. Else that is where the answer comes from (kite, modelled 7, ...). In the file it begins
# with `VOUCHED_MARK`.
ANSWER_COLUMNS: Final[dict[str, Kind]] = {
    "asked_at": Kind.TIME_MS,
    "origin": Kind.TEXT,
    "symbol": Kind.TEXT,
    "token": Kind.COUNT,
    "from": Kind.TIME_MS,
    "to": Kind.TIME_MS,
    "answer_sha256": Kind.TEXT,
    "timestamp": Kind.TIME_MS,
    "open": Kind.RUPEES,
    "high": Kind.RUPEES,
    "low": Kind.RUPEES,
    "close": Kind.RUPEES,
    "volume": Kind.COUNT,
    "oi": Kind.COUNT,
}

# One row a contract and minute that is not live: repaired or no_trade.
REPAIRED_COLUMNS: Final[dict[str, Kind]] = {
    "timestamp": Kind.TIME_MS,
    "index": Kind.TEXT,
    "expiry": Kind.DATE,
    "strike": Kind.RUPEES,
    "side": Kind.TEXT,
    "symbol": Kind.TEXT,
    "account": Kind.TEXT,
    "open": Kind.RUPEES,
    "high": Kind.RUPEES,
    "low": Kind.RUPEES,
    "close": Kind.RUPEES,
    "volume": Kind.COUNT,
    "oi": Kind.COUNT,
    "answer_sha256": Kind.TEXT,
}
