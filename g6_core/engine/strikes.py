"""Strike selection: filters, and a score from 0 to 210 for what is left.

Score: nearness to the money 100, liquidity 50, delta 30, implied volatility 20, price efficiency 10.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date

import numpy as np

from g6_core.domain.chain import parity_forward
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.market import Quote
from g6_core.domain.options import YEAR_MS, greeks, implied_vol
from g6_core.domain.records import Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine.board import QuoteBoard
from g6_core.engine.params import StrikeParams

# Strikes on each side of the money whose pairs are asked for the forward.
FORWARD_REACH = 5
_ATM_STEP_COST = 25.0
_GOOD_OI = 500_000
_IV_SWEET_SPOT_PCT = (15.0, 25.0)
_IV_FADE_PCT = 15.0
_GOOD_LEVERAGE = 100.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One contract on the side of the signal. `iv_pct` and `delta` are None when no volatility fits its price."""

    instrument: Instrument
    quote: Quote
    steps_otm: int
    forward_paise: float
    iv_pct: float | None
    delta: float | None

    @property
    def spread_paise(self) -> int:
        """Ask less bid; only meaningful when both sides are there."""
        return self.quote.ask_paise - self.quote.bid_paise


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with its verdicts and its score (0 when a verdict blocks)."""

    candidate: Candidate
    verdicts: tuple[Verdict, ...]
    score: float

    @property
    def passed(self) -> bool:
        """True when no filter blocks."""
        return not any(verdict.blocks for verdict in self.verdicts)


def score_candidate(
    steps_otm: int, spread_pct: float, oi: int, abs_delta: float, iv_pct: float, leverage: float, params: StrikeParams
) -> float:
    """Score from 0 to 210. `leverage` is |delta| * forward / price (units of premium per unit of index)."""
    atm = max(100.0 - _ATM_STEP_COST * abs(steps_otm), 0.0)
    tightness = max(1.0 - spread_pct / params.max_spread_pct, 0.0)
    liquidity = 30.0 * min(oi / _GOOD_OI, 1.0) + 20.0 * tightness
    span = params.delta_max - params.delta_min
    delta = 30.0 * min(max((abs_delta - params.delta_min) / span, 0.0), 1.0)
    low, high = _IV_SWEET_SPOT_PCT
    distance = max(low - iv_pct, iv_pct - high, 0.0)
    volatility = 20.0 * max(1.0 - distance / _IV_FADE_PCT, 0.0)
    efficiency = 10.0 * min(leverage / _GOOD_LEVERAGE, 1.0)
    return round(atm + liquidity + delta + volatility + efficiency, 4)


def nearest_place(strikes: tuple[int, ...], price_paise: float) -> int:
    """Index of the strike nearest to a price, the lower of two at the same distance; `strikes` is not empty."""
    above = bisect_left(strikes, price_paise)
    if above == 0 or above == len(strikes):
        return min(above, len(strikes) - 1)
    return above if strikes[above] - price_paise < price_paise - strikes[above - 1] else above - 1


def forward_of(book: InstrumentBook, board: QuoteBoard, underlying: str, expiry: date, near_paise: int) -> float | None:
    """Put-call parity forward in paise from the quoted pairs around the money; None when no pair has both sides."""
    strikes = book.strikes(underlying, expiry)
    centre = nearest_place(strikes, near_paise)
    pairs = []
    for strike in strikes[max(centre - FORWARD_REACH, 0) : centre + FORWARD_REACH + 1]:
        sides = [book.option(underlying, expiry, strike, side) for side in ("CE", "PE")]
        call, put = (board.quote(one.token) if one is not None else None for one in sides)
        if call is None or put is None or min(call.bid_paise, call.ask_paise, put.bid_paise, put.ask_paise) <= 0:
            continue
        pairs.append((strike, call.mid_paise, put.mid_paise))
    if not pairs:
        return None
    columns = np.array(pairs, np.float64).T
    return parity_forward(columns[0].astype(np.int64), columns[1], columns[2])


def volatility_of(
    quote: Quote, instrument: Instrument, forward_paise: float, t_years: float
) -> tuple[float | None, float | None]:
    """(IV in percent, delta) from the middle of the touch; (None, None) when no volatility fits."""
    is_call = instrument.instrument_type == "CE"
    strike = float(instrument.strike_paise)
    sigma = implied_vol(quote.mid_paise, forward_paise, strike, t_years, 1.0, is_call)
    if not sigma > 0:
        return None, None
    return sigma * 100, greeks(forward_paise, strike, sigma, t_years, 1.0, is_call)[0]


def candidates(
    book: InstrumentBook,
    board: QuoteBoard,
    underlying: str,
    expiry: date,
    direction: Direction,
    forward_paise: float,
    ms_to_expiry: int,
    steps_max: int,
) -> list[Candidate]:
    """ATM and up to `steps_max` listed strikes out of the money on the side of the signal that have a quote."""
    strikes = book.strikes(underlying, expiry)
    atm = nearest_place(strikes, forward_paise)
    side, step = ("CE", 1) if direction is Direction.BULLISH else ("PE", -1)
    found = []
    for steps in range(steps_max + 1):
        place = atm + step * steps
        if not 0 <= place < len(strikes):
            break
        instrument = book.option(underlying, expiry, strikes[place], side)
        quote = board.quote(instrument.token) if instrument is not None else None
        if instrument is None or quote is None:
            continue
        iv_pct, delta = volatility_of(quote, instrument, forward_paise, ms_to_expiry / YEAR_MS)
        found.append(Candidate(instrument, quote, steps, forward_paise, iv_pct, delta))
    return found


def delta_floor(params: StrikeParams, of_day_ms: int) -> float:
    """Smallest |delta| allowed at this time of day."""
    floors = [floor.delta_min for floor in params.delta_floors if of_day_ms >= floor.from_of_day_ms]
    return max([params.delta_min, *floors])


def _check(rule: str, value: float | None, low: float | None, high: float | None, note: str = "") -> Verdict:
    if value is None:
        return Verdict(rule, Outcome.UNKNOWN, True, None, low if low is not None else high, note)
    passed = (low is None or value >= low) and (high is None or value <= high)
    limit = low if low is not None and value < low else high if high is not None else low
    return Verdict(rule, Outcome.PASS if passed else Outcome.FAIL, not passed, round(value, 4), limit, note)


def judge(candidate: Candidate, underlying: str, params: StrikeParams, of_day_ms: int) -> Judged:
    """Every filter's answer, and the score when all of them pass."""
    quote = candidate.quote
    two_sided = quote.bid_paise > 0 and quote.ask_paise > quote.bid_paise
    spread = candidate.spread_paise if two_sided else None
    spread_pct = 100 * spread / quote.mid_paise if spread is not None else None
    abs_delta = abs(candidate.delta) if candidate.delta is not None else None
    floor = delta_floor(params, of_day_ms)
    verdicts = (
        _check("strike_iv", candidate.iv_pct, params.iv_floor_pct[underlying], params.iv_ceiling_pct[underlying]),
        _check("strike_oi", float(quote.oi), float(params.min_oi), None),
        _check("strike_spread_pct", spread_pct, None, params.max_spread_pct, "" if two_sided else "no two-sided touch"),
        _check("strike_spread_paise", spread, None, float(params.max_spread_paise)),
        _check("strike_delta", abs_delta, floor, params.delta_max),
    )
    if any(verdict.blocks for verdict in verdicts) or spread_pct is None or abs_delta is None:
        return Judged(candidate, verdicts, 0.0)
    leverage = abs_delta * candidate.forward_paise / quote.mid_paise
    assert candidate.iv_pct is not None
    score = score_candidate(candidate.steps_otm, spread_pct, quote.oi, abs_delta, candidate.iv_pct, leverage, params)
    return Judged(candidate, verdicts, score)


def rank(judged: list[Judged], keep: int) -> list[Judged]:
    """The best candidates that passed, best first; nearer the money wins a tie."""
    passed = [one for one in judged if one.passed]
    return sorted(passed, key=lambda one: (-one.score, one.candidate.steps_otm))[:keep]
