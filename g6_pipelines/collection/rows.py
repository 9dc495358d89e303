"""Turns the quotes of one cycle into option rows: status, parity forward, implied volatility, greeks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from g6_core.adapters.kite_market import MarketQuote
from g6_core.domain.chain import parity_forward
from g6_core.domain.instruments import Instrument
from g6_core.domain.options import YEAR_MS, greeks, implied_vol
from g6_core.domain.universe import Pair
from g6_core.schema.options import OptionRow, RowStatus, SideCells

Quotes = Mapping[str, MarketQuote]


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a cycle; a quote is live when it is younger than one interval."""

    time_ms: int
    interval_ms: int

    def is_live(self, quote: MarketQuote) -> bool:
        """A stamp after the cycle time happens: the calls of a cycle take a second each."""
        return self.time_ms - quote.exchange_ms < self.interval_ms


@dataclass(frozen=True, slots=True)
class Spot:
    """Level of the index in rupees and what it is (`SpotKind`)."""

    rupees: float
    kind: str


@dataclass(frozen=True, slots=True)
class ExpiryView:
    """One expiry at one moment: its pairs in the order of the offsets, its forward (rupees), its close.

    `pairs` is empty when the money is not known yet. `expires_ms` is the end of the contract's life,
    `open_until_ms` the end of its trading today.
    """

    expiry: date
    pairs: tuple[Pair, ...]
    forward: float | None
    expires_ms: int
    open_until_ms: int


def forward_of(pairs: Sequence[Pair], quotes: Quotes, moment: Moment) -> float | None:
    """Parity forward in rupees from live two-sided quotes; None when no strike has both."""
    listed = [pair for pair in pairs if pair.call is not None and pair.put is not None]
    strikes = np.array([pair.strike_paise for pair in listed], np.int64)
    mids = np.array([[_mid(side, quotes, moment) for side in pair.sides()] for pair in listed], np.float64).reshape(
        -1, 2
    )
    forward = parity_forward(strikes, mids[:, 0], mids[:, 1])
    return None if np.isnan(forward) else round(forward / 100, 2)


def _mid(side: Instrument | None, quotes: Quotes, moment: Moment) -> float:
    """Middle of a live two-sided quote in paise, else nan."""
    quote = quotes.get(side.kite_key) if side is not None else None
    middle = _middle(quote) if quote is not None and moment.is_live(quote) else None
    return float("nan") if middle is None else middle * 100


def _middle(quote: MarketQuote) -> float | None:
    """Middle of the touch in rupees; None for a side that is missing and for a crossed book, which has none."""
    if quote.bid is None or quote.ask is None or quote.bid >= quote.ask:
        return None
    return (quote.bid + quote.ask) / 2


def rows_of(
    index: str,
    views: Mapping[str, ExpiryView | None],
    offsets: Sequence[int],
    day: date,
    atm_paise: int | None,
    spot: Spot | None,
    quotes: Quotes,
    moment: Moment,
) -> list[OptionRow]:
    """One row per expiry code (a code without an expiry included) and offset, in that order."""
    cells_of: dict[date, list[tuple[SideCells, SideCells]]] = {}
    rows: list[OptionRow] = []
    for code, view in views.items():
        pairs = view.pairs if view is not None else ()
        if view is not None and view.expiry not in cells_of:
            cells_of[view.expiry] = [
                (_cells(pair.call, view, pair, quotes, moment), _cells(pair.put, view, pair, quotes, moment))
                for pair in pairs
            ]
        for place, offset in enumerate(offsets):
            if view is None:
                call = put = SideCells(RowStatus.NO_CONTRACT.value)
            elif not pairs:
                call = put = SideCells(_unseen(view, moment).value)
            else:
                call, put = cells_of[view.expiry][place]
            rows.append(
                OptionRow(
                    time_ms=moment.time_ms,
                    exchange_ms=_newest(pairs[place], quotes) if pairs else None,
                    index=index,
                    expiry_code=code,
                    expiry=view.expiry if view else None,
                    offset=offset,
                    atm_strike=None if atm_paise is None else atm_paise / 100,
                    strike=pairs[place].strike_paise / 100 if pairs else None,
                    dte=(view.expiry - day).days if view else None,
                    spot=spot.rupees if spot else None,
                    spot_kind=spot.kind if spot else None,
                    forward=view.forward if view else None,
                    call=call,
                    put=put,
                )
            )
    return rows


def _unseen(view: ExpiryView, moment: Moment) -> RowStatus:
    return RowStatus.CLOSED if moment.time_ms >= view.open_until_ms else RowStatus.MISSING


def _newest(pair: Pair, quotes: Quotes) -> int | None:
    stamps = [
        quotes[side.kite_key].exchange_ms for side in pair.sides() if side is not None and side.kite_key in quotes
    ]
    return max(stamps, default=None)


def _cells(side: Instrument | None, view: ExpiryView, pair: Pair, quotes: Quotes, moment: Moment) -> SideCells:
    if side is None:
        return SideCells(RowStatus.NO_CONTRACT.value)
    unseen = _unseen(view, moment)
    quote = quotes.get(side.kite_key)
    if quote is None or unseen is RowStatus.CLOSED:
        return SideCells(unseen.value, side.tradingsymbol)
    live = moment.is_live(quote)
    known: tuple[float | None, ...] = (None,) * 5
    mid = _middle(quote)
    if live and view.forward is not None and mid is not None:
        years = (view.expires_ms - moment.time_ms) / YEAR_MS
        known = _iv_and_greeks(mid, view.forward, pair.strike_paise / 100, years, side is pair.call)
    return SideCells(
        (RowStatus.LIVE if live else RowStatus.STALE).value,
        side.tradingsymbol,
        quote.ltp,
        quote.bid,
        quote.ask,
        quote.bid_qty,
        quote.ask_qty,
        quote.volume,
        quote.oi,
        quote.average_price,
        *known,
    )


def _iv_and_greeks(mid: float, forward: float, strike: float, years: float, is_call: bool) -> tuple[float | None, ...]:
    """(iv percent, delta, gamma, theta, vega), all None when the price has no implied volatility."""
    sigma = implied_vol(mid, forward, strike, years, 1.0, is_call)
    if sigma != sigma:
        return (None,) * 5
    delta, gamma, theta, vega, _ = greeks(forward, strike, sigma, years, 1.0, is_call)
    return round(sigma * 100, 6), round(delta, 6), round(gamma, 6), round(theta, 6), round(vega, 6)
