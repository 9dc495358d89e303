"""Matching against a displayed book: pure functions over prices and quantities.

An order never moves the market it is matched against; what it takes is only remembered so that the same
displayed quantity is not sold twice within a second. Prices in paise, quantities in units.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.money import tick_ceil, tick_floor
from g6_core.domain.orders import Side

STALE_BOOK_MS = 60_000
CIRCUIT_PCT_OF_STRIKE = 10

Level = tuple[int, int]
# Token, side, second of the book, quantity.
TakenRow = tuple[int, Side, int, int]


@dataclass(frozen=True, slots=True)
class Book:
    """What is displayed for one contract: last price and up to five (price, quantity) levels a side, best first."""

    token: int
    exchange_ms: int
    ltp_paise: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def against(self, side: Side) -> tuple[Level, ...]:
        """The levels an order of this side trades with."""
        return self.asks if side is Side.BUY else self.bids

    def is_live(self, time_ms: int) -> bool:
        """Fresh enough to trade against."""
        return self.exchange_ms > 0 and time_ms - self.exchange_ms <= STALE_BOOK_MS


def book_of(row: np.void) -> Book:
    """The book of one QUOTE row; empty levels are left out."""
    return Book(
        token=int(row["token"]),
        exchange_ms=int(row["exchange_ms"]),
        ltp_paise=int(row["ltp_paise"]),
        bids=_levels(row["bid_paise"].tolist(), row["bid_qty"].tolist()),
        asks=_levels(row["ask_paise"].tolist(), row["ask_qty"].tolist()),
    )


def _levels(prices: Sequence[int], quantities: Sequence[int]) -> tuple[Level, ...]:
    return tuple((price, quantity) for price, quantity in zip(prices, quantities, strict=True) if price and quantity)


@dataclass(slots=True)
class Taken:
    """Displayed quantity that our own orders have consumed, forgotten with the second of the book's stamp.

    Counted as one total a side, from the best level outward: within a second prices move under the same stamp, and
    what was sold at one price must not be for sale again at the next.
    """

    _by_side: dict[tuple[int, Side], tuple[int, list[int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[TakenRow]) -> "Taken":
        """From what `rows` gave."""
        return cls({(token, side): (second, [quantity]) for token, side, second, quantity in rows})

    def rows(self) -> tuple[TakenRow, ...]:
        """As plain values."""
        return tuple((*key, second, total[0]) for key, (second, total) in self._by_side.items())

    def at(self, book: Book, side: Side) -> list[int]:
        """The total consumed for this book and order side, in a list of one; adding to it records a fill."""
        second = book.exchange_ms // SECOND_MS
        known = self._by_side.get((book.token, side))
        if known is None or known[0] != second:
            known = (second, [0])
            self._by_side[book.token, side] = known
        return known[1]


def crosses(side: Side, limit_paise: int, price_paise: int) -> bool:
    """Whether a limit order of this side may trade at the price."""
    return price_paise <= limit_paise if side is Side.BUY else price_paise >= limit_paise


def aggressive_fills(book: Book, side: Side, limit_paise: int, quantity: int, taken: list[int]) -> list[Level]:
    """Fills of an order that arrives: it crosses the spread and walks the levels up to its limit.

    `taken` is updated with what was consumed. Returns (price, quantity) in the order of execution.
    """
    fills: list[Level] = []
    rest, gone = quantity, taken[0]
    for price, displayed in book.against(side):
        if rest == 0 or not crosses(side, limit_paise, price):
            break
        left = displayed - min(displayed, gone)
        gone -= displayed - left
        amount = min(rest, left)
        if amount > 0:
            fills.append((price, amount))
            taken[0] += amount
            rest -= amount
    return fills


def passive_fill(book: Book, side: Side, limit_paise: int, quantity: int, taken: list[int]) -> list[Level]:
    """Fill of an order that rests: at its own limit, when the opposite touch crosses it.

    At most the quantity displayed at that touch, less what was taken of it; `taken` is updated.
    """
    levels = book.against(side)
    if not levels or not crosses(side, limit_paise, levels[0][0]):
        return []
    amount = min(quantity, levels[0][1] - taken[0])
    if amount <= 0:
        return []
    taken[0] += amount
    return [(limit_paise, amount)]


def trigger_reached(side: Side, trigger_paise: int, ltp_paise: int) -> bool:
    """Whether the last price releases a stop: a sell stop at or below its trigger, a buy stop at or above."""
    if ltp_paise <= 0:
        return False
    return ltp_paise >= trigger_paise if side is Side.BUY else ltp_paise <= trigger_paise


def protected_limit(side: Side, ltp_paise: int, protection_pct: float, tick_paise: int) -> int:
    """The limit a MARKET order becomes: last price moved by the protection, rounded to a tick inside the band."""
    if side is Side.BUY:
        return max(tick_floor(int(ltp_paise * (100 + protection_pct) / 100), tick_paise), tick_paise)
    return max(tick_ceil(int(ltp_paise * (100 - protection_pct) / 100), tick_paise), tick_paise)


def circuit_limits(instrument: Instrument, close_paise: int, open_paise: int, ltp_paise: int) -> tuple[int, int]:
    """Modelled daily price range (lower, upper), 10 % of the strike around the previous close.

    Without a previous close the open counts, without that the last price; (0, 0) when nothing is known.
    """
    reference_paise = close_paise or open_paise or ltp_paise
    if reference_paise <= 0 or instrument.strike_paise <= 0:
        return 0, 0
    width = instrument.strike_paise * CIRCUIT_PCT_OF_STRIKE // 100
    tick = instrument.tick_paise
    return max(tick, tick_ceil(reference_paise - width, tick)), tick_floor(reference_paise + width, tick)
