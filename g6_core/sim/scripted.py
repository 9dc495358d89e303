"""A market that does exactly what a script says: the test kit of the simulated exchange.

The index follows `spot_path`. Options that are not scripted are priced around it (normal model, flat volatility), so
that whole chains exist, keep put-call parity and allow no arbitrage across strikes. Prices move by steps or lines.

    source = ScriptedSource.of(
        "NIFTY", date(2025, 8, 29), rules,
        spot_path=[(at(day, time(9, 15)), 24_500_00)],
        options={(date(2025, 9, 2), 24_500_00, "CE"): [(at(day, time(9, 15)), 99_00, 100_00)]},
    )
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.market import DEPTH_LEVELS, QUOTE, ticks_of
from g6_core.domain.money import tick_ceil, tick_floor
from g6_core.sim.dump import synthetic_book
from g6_core.sim.source import asked_one_by_one

YEAR_MS = 365 * 24 * 3_600_000
HOUR_MS = 3_600_000
STRIKES_EACH_SIDE = 15
EXPIRIES = 2
DEPTH_LOTS = 10
OPEN_INTEREST_LOTS = 20_000
VOLUME_LOTS_PER_SECOND = 2
VOLATILITY_PCT = 12.0
SPREAD_PCT = 0.5

OptionKey = tuple[date, int, str]


@dataclass(frozen=True, slots=True)
class Point:
    """An option's market from `time_ms` on. A side that is 0 is empty.

    What is None is derived: the last price is the middle (or the side there is), sizes and OI are the defaults.
    """

    time_ms: int
    bid_paise: int
    ask_paise: int
    ltp_paise: int | None = None
    bid_qty: int | None = None
    ask_qty: int | None = None
    oi: int | None = None


@dataclass(frozen=True, slots=True)
class ScriptedSource:
    """A `MarketSource` of one underlying. Build it with `of`.

    `silences` are (from_ms, to_ms) spans without news: prices and stamps stay those of `from_ms`. Before the first
    point of an instrument nothing is known about it; after the session its last moment stays.
    """

    label: str
    trade_date: date
    underlyings: tuple[str, ...]
    instruments: InstrumentBook
    session: Session
    spot_path: tuple[tuple[int, int], ...]
    scripts: Mapping[int, tuple[Point, ...]]
    close_of_expiry_ms: Mapping[date, int]
    linear: bool
    prices_chain: bool
    silences: tuple[tuple[int, int], ...]

    @classmethod
    def of(
        cls,
        underlying: str,
        trade_date: date,
        rules: MarketRules,
        *,
        spot_path: Sequence[tuple[int, int]],
        options: Mapping[OptionKey, Sequence[Point | tuple[int, ...]]] | None = None,
        linear: bool = False,
        prices_chain: bool = True,
        silences: Sequence[tuple[int, int]] = (),
    ) -> "ScriptedSource":
        """Script a day. `spot_path` is (time_ms, paise); options are keyed by (expiry, strike in paise, side).

        A tuple stands for a `Point`. `linear` moves prices in lines between the points instead of steps.
        `prices_chain=False` leaves contracts that are not scripted without data.
        """
        scripted = {key: tuple(_point(entry) for entry in path) for key, path in (options or {}).items()}
        spec = rules.index(underlying)
        step = rules.strike_step_paise(underlying, trade_date)
        centre = (spot_path[0][1] + step // 2) // step * step
        around = {centre + place * step for place in range(-STRIKES_EACH_SIDE, STRIKES_EACH_SIDE + 1)}
        expiries = {*rules.expiries(underlying, trade_date)[:EXPIRIES], *(expiry for expiry, _, _ in scripted)}
        strikes = {
            expiry: sorted(around | {strike for listed, strike, _ in scripted if listed == expiry})
            for expiry in sorted(expiries)
        }
        book = synthetic_book(rules, trade_date, {underlying: strikes})
        scripts: dict[int, tuple[Point, ...]] = {}
        for (expiry, strike, side), path in scripted.items():
            instrument = book.option(underlying, expiry, strike, side)
            assert instrument is not None, (expiry, strike, side)
            scripts[instrument.token] = path
        return cls(
            label="scripted",
            trade_date=trade_date,
            underlyings=(underlying,),
            instruments=book,
            session=rules.session(trade_date, spec.option_exchange),
            spot_path=tuple(spot_path),
            scripts=scripts,
            close_of_expiry_ms={
                expiry: rules.expiry_close_ms(trade_date, spec.option_exchange, expiry) for expiry in strikes
            },
            linear=linear,
            prices_chain=prices_chain,
            silences=tuple(silences),
        )

    def quotes(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """QUOTE rows, one per token; stamps are whole seconds. See `MarketSource`."""
        rows = np.zeros(len(tokens), QUOTE)
        rows["token"] = tokens
        seen_ms = self._seen_ms(time_ms)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            instrument = self.instruments.by_token(token)
            if instrument is None:
                continue
            if instrument.is_option:
                self._fill_option(row, instrument, seen_ms)
            elif seen_ms >= self.spot_path[0][0]:
                _fill_prices(row, seen_ms, [self._spot(seen_ms), self._spot(self._first_ms(self.spot_path[0][0]))])
        return rows

    def ticks(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """TICK rows of those of `tokens` that have data."""
        return ticks_of(self.quotes(tokens, time_ms))

    def series(self, token: int, moments_ms: range) -> NDArray[np.void]:
        """QUOTE rows of one token, one per moment."""
        return asked_one_by_one(self, token, moments_ms)

    def _seen_ms(self, time_ms: int) -> int:
        seen_ms = min(time_ms, self.session.close_ms)
        for from_ms, to_ms in self.silences:
            if from_ms <= seen_ms < to_ms:
                seen_ms = from_ms
        return seen_ms

    def _first_ms(self, path_start_ms: int) -> int:
        return max(path_start_ms, self.session.open_ms)

    def _spot(self, time_ms: int) -> int:
        return self._value([moment for moment, _ in self.spot_path], [paise for _, paise in self.spot_path], time_ms)

    def _value(self, moments: Sequence[int], values: Sequence[int], time_ms: int) -> int:
        place = max(bisect_right(moments, time_ms) - 1, 0)
        if not self.linear or place + 1 == len(moments):
            return values[place]
        share = max(time_ms - moments[place], 0) / (moments[place + 1] - moments[place])
        return round(values[place] + (values[place + 1] - values[place]) * share)

    def _fill_option(self, row: np.void, instrument: Instrument, seen_ms: int) -> None:
        script = self.scripts.get(instrument.token)
        if script is None and not self.prices_chain:
            return
        start_ms = script[0].time_ms if script else self.spot_path[0][0]
        if seen_ms < start_ms:
            return
        now = self._point_at(instrument, script, seen_ms)
        first = self._point_at(instrument, script, self._first_ms(start_ms))
        _fill_prices(row, seen_ms, [_last_price(now, instrument), _last_price(first, instrument)])
        lot = instrument.lot_size
        row["last_qty"] = lot
        row["volume"] = max(seen_ms - self.session.open_ms, 0) // SECOND_MS * VOLUME_LOTS_PER_SECOND * lot
        row["oi"] = row["oi_day_high"] = row["oi_day_low"] = now.oi if now.oi is not None else OPEN_INTEREST_LOTS * lot
        for side, sign, price, quantity in (
            ("bid", -1, now.bid_paise, now.bid_qty),
            ("ask", 1, now.ask_paise, now.ask_qty),
        ):
            size = DEPTH_LOTS * lot if quantity is None else quantity
            prices = [price + sign * level * instrument.tick_paise for level in range(DEPTH_LEVELS)] if price else []
            shown = [level for level in prices if level > 0]
            row[f"{side}_paise"][: len(shown)] = shown
            row[f"{side}_qty"][: len(shown)] = size
            row[f"{side}_orders"][: len(shown)] = 1
        row["buy_qty"], row["sell_qty"] = row["bid_qty"].sum(), row["ask_qty"].sum()

    def _point_at(self, instrument: Instrument, script: tuple[Point, ...] | None, time_ms: int) -> Point:
        if script is None:
            return self._priced(instrument, time_ms)
        moments = [point.time_ms for point in script]
        last = script[max(bisect_right(moments, time_ms) - 1, 0)]
        if not self.linear:
            return last
        tick = instrument.tick_paise
        ltps = [_last_price(point, instrument) for point in script]
        return Point(
            time_ms,
            tick_floor(self._value(moments, [point.bid_paise for point in script], time_ms), tick),
            tick_ceil(self._value(moments, [point.ask_paise for point in script], time_ms), tick),
            tick_floor(self._value(moments, ltps, time_ms), tick),
            last.bid_qty,
            last.ask_qty,
            last.oi,
        )

    def _priced(self, instrument: Instrument, time_ms: int) -> Point:
        assert instrument.expiry is not None, instrument
        spot = self._spot(time_ms)
        left_ms = max(self.close_of_expiry_ms[instrument.expiry] - time_ms, HOUR_MS)
        deviation = spot * VOLATILITY_PCT / 100 * math.sqrt(left_ms / YEAR_MS)
        tick = instrument.tick_paise
        value = _normal_price(spot, instrument.strike_paise, deviation, is_call=instrument.instrument_type == "CE")
        middle = max(tick_floor(round(value), tick), tick)
        half = max(tick, tick_floor(round(value * SPREAD_PCT / 200), tick))
        return Point(time_ms, max(middle - half, 0), middle + half, middle)


def _point(entry: Point | tuple[int, ...]) -> Point:
    return entry if isinstance(entry, Point) else Point(*entry)


def _last_price(point: Point, instrument: Instrument) -> int:
    if point.ltp_paise is not None:
        return point.ltp_paise
    if point.bid_paise and point.ask_paise:
        return tick_floor((point.bid_paise + point.ask_paise) // 2, instrument.tick_paise)
    return point.bid_paise or point.ask_paise


def _fill_prices(row: np.void, seen_ms: int, prices: Sequence[int]) -> None:
    """Stamp and prices from (now, first of the day); the script has no memory of what was between."""
    now, first = prices
    row["exchange_ms"] = row["last_trade_ms"] = seen_ms // SECOND_MS * SECOND_MS
    row["ltp_paise"] = row["average_paise"] = now
    row["open_paise"] = row["close_paise"] = first
    row["high_paise"], row["low_paise"] = max(prices), min(prices)


def _normal_price(spot: float, strike: float, deviation: float, *, is_call: bool) -> float:
    """Price of an option when the index moves normally with this standard deviation until expiry."""
    distance = spot - strike if is_call else strike - spot
    score = distance / deviation
    density = math.exp(-score * score / 2) / math.sqrt(2 * math.pi)
    return distance * (1 + math.erf(score / math.sqrt(2))) / 2 + deviation * density
