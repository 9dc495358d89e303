"""Turns the quotes of one cycle into option rows: status, parity forward, implied volatility and greeks, or why not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from g6_core.adapters.kite_market import MarketQuote
from g6_core.domain.chain import parity_forward
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import MINUTE_MS
from g6_core.domain.iv_reason import IvReason, iv_reason
from g6_core.domain.options import YEAR_MS, vols_and_greeks
from g6_core.domain.universe import Pair
from g6_core.schema.options import OptionRow, RowStatus, SideCells

Quotes = Mapping[str, MarketQuote]

# Clocks that are set over the network differ by less, from the exchange's as well.
STAMP_AHEAD_MAX_MS: Final = 5_000

_Quoted = tuple[
    str, str | None, float | None, float | None, float | None,
    int | None, int | None, int | None, int | None, float | None,
]  # fmt: skip
# Middle, forward and strike in rupees, years to expiry, is a call.
_Asked = tuple[float, float, float, float, bool]
_UNKNOWN: Final = (None,) * 6
_UNSEEN_REASON: Final = {RowStatus.MISSING: IvReason.NO_QUOTE, RowStatus.CLOSED: IvReason.EXPIRED}


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a cycle; a quote is live when it is younger than one interval.

    `answered_ms` is when the cycle had its last answer; where that is not known yet, the end of its interval.
    """

    time_ms: int
    interval_ms: int
    answered_ms: int | None = None

    def is_live(self, quote: MarketQuote) -> bool:
        """A stamp after the cycle time happens: the calls of a cycle take a second each. One after its answer is of a
        clock that nobody knows, so its age is not known either."""
        until_ms = self.time_ms + self.interval_ms if self.answered_ms is None else self.answered_ms
        return self.time_ms - self.interval_ms < quote.exchange_ms <= until_ms + STAMP_AHEAD_MAX_MS


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


class _Judged(NamedTuple):
    """One side: the first cells of `SideCells`, and why it has no volatility or what to solve."""

    quoted: _Quoted
    reason: str | None
    asked: _Asked | None


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
    sides_of = _sides_of([view for view in views.values() if view is not None], quotes, moment)
    rows: list[OptionRow] = []
    for code, view in views.items():
        pairs = view.pairs if view is not None else ()
        minutes = None if view is None else max(view.expires_ms - moment.time_ms, 0) / MINUTE_MS
        for place, offset in enumerate(offsets):
            if view is None:
                call = put = SideCells(RowStatus.NO_CONTRACT.value, iv_reason=IvReason.NO_QUOTE.value)
            elif not pairs:
                unseen = _unseen(view, moment)
                call = put = SideCells(unseen.value, iv_reason=_UNSEEN_REASON[unseen].value)
            else:
                call, put = sides_of[view.expiry][place]
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
                    minutes_to_expiry=minutes,
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


def _sides_of(
    views: Iterable[ExpiryView], quotes: Quotes, moment: Moment
) -> dict[date, list[tuple[SideCells, SideCells]]]:
    """(call, put) of every pair by expiry; all volatilities and greeks of the cycle come from one compiled call."""
    judged = [
        (view.expiry, _judge(side, view, pair, quotes, moment))
        for view in {view.expiry: view for view in views}.values()
        for pair in view.pairs
        for side in pair.sides()
    ]
    figures = iter(_solve([one.asked for _, one in judged if one.asked is not None]))
    cells: dict[date, list[SideCells]] = {}
    for expiry, one in judged:
        known = _UNKNOWN if one.asked is None else next(figures)
        cells.setdefault(expiry, []).append(SideCells._make((*one.quoted, *known, one.reason)))
    return {expiry: list(zip(found[::2], found[1::2], strict=True)) for expiry, found in cells.items()}


def _judge(side: Instrument | None, view: ExpiryView, pair: Pair, quotes: Quotes, moment: Moment) -> _Judged:
    if side is None:
        return _Judged(_blank(RowStatus.NO_CONTRACT, None), IvReason.NO_QUOTE.value, None)
    unseen = _unseen(view, moment)
    quote = quotes.get(side.kite_key)
    if quote is None or unseen is RowStatus.CLOSED:
        return _Judged(_blank(unseen, side.tradingsymbol), _UNSEEN_REASON[unseen].value, None)
    live, strike = moment.is_live(quote), pair.strike_paise / 100
    years, is_call = (view.expires_ms - moment.time_ms) / YEAR_MS, side is pair.call
    reason = iv_reason(
        quote.bid, quote.ask, is_live=live, forward=view.forward, strike=strike, t_years=years, is_call=is_call
    )
    middle = _middle(quote)
    asked = None
    if reason is None and middle is not None and view.forward is not None:
        asked = (middle, view.forward, strike, years, is_call)
    quoted = (
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
    )
    return _Judged(quoted, None if reason is None else reason.value, asked)


def _blank(status: RowStatus, symbol: str | None) -> _Quoted:
    return (status.value, symbol, None, None, None, None, None, None, None, None)


def _solve(asked: Sequence[_Asked]) -> list[list[float]]:
    """(iv percent, delta, gamma, theta, vega, rho) of each, to six decimals."""
    if not asked:
        return []
    prices, forwards, strikes, years, is_call = np.array(asked, np.float64).T.copy()
    found = np.empty((len(asked), 6))
    vols_and_greeks(prices, forwards, strikes, years, np.ones(len(asked)), is_call.astype(np.bool_), found)
    found[:, 0] *= 100
    table: list[list[float]] = np.round(found, 6).tolist()
    return table
