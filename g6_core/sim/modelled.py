"""The modelled market source: a seeded trading day of one or more indices and their option chains.

Everything dated (expiries, lots, ticks, hours) comes from the market rules, the scale of prices, volatility,
volume and open interest from `rules.modelled`; the rest is the model described in `index_path` (the indices),
`smile` (fair values) and `modelled_quotes` (touch, trades, depth, open interest).
"""

from datetime import date

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import IndexSpec, MarketRules, ModelledLevel, Session
from g6_core.domain.errors import ConfigError, UserError
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.market import DEPTH_LEVELS, QUOTE, ticks_of
from g6_core.domain.money import tick_floor
from g6_core.domain.options import YEAR_MS
from g6_core.sim import modelled_quotes as mq
from g6_core.sim.counter_random import unit_at
from g6_core.sim.dump import DUMP_LABEL, INDEX_TICK_PAISE, synthetic_book
from g6_core.sim.index_path import IndexPath, index_path
from g6_core.sim.keys import key_of
from g6_core.sim.smile import fair_value

STRIKES_EACH_SIDE = 40
FAR_EXPIRY_DAYS = 100
"""Expiries beyond this list every second strike over twice the width."""

# How a day's volume and the open interest fall on expiries, by rank from the nearest and by rank among monthlies.
_VOLUME_BY_RANK, _VOLUME_OF_MONTHLY, _VOLUME_BY_MONTHLY_RANK = 0.03, 0.015, 0.12
_OI_BY_RANK, _OI_OF_MONTHLY, _OI_BY_MONTHLY_RANK = 0.11, 0.28, 0.2
# (strike is a multiple of so many steps, how much more is traded there); the first that fits counts.
_ROUND_STRIKES = ((20, 2.8), (10, 2.0), (2, 1.0), (1, 0.4))
_VOLUME_NOISE, _OI_NOISE = 101, 102


class ModelledSource:
    """A `MarketSource` that models the day: a pure function of (seed, contract, virtual time).

    Indices are quoted from their modelled level (`spot_kind` "index"). Quotes change every second, indices move
    between seconds too; `exchange_ms` is the whole second. Before the open nothing is known; after a contract's
    close its last second stands. A contract that has not traded today has volume 0, the previous close as last
    price and no day's prices, as at the broker. Not to be shared between threads.
    """

    label = "modelled"
    spot_kind = "index"
    touch_kind = "modelled"
    dump_label = DUMP_LABEL

    def __init__(self, underlyings: tuple[str, ...], trade_date: date, rules: MarketRules, seed: int = 0) -> None:
        """UserError for an unknown index, CalendarError for a day without trading, ConfigError without a level."""
        if not underlyings:
            raise UserError(f"no index to model; choose one or more of {', '.join(rules.underlyings)}")
        rules.require_trading_day(trade_date)
        self.trade_date = trade_date
        self.underlyings = tuple(dict.fromkeys(underlyings))
        markets = [_Market(rules, trade_date, underlying, seed) for underlying in self.underlyings]
        self.session = Session(
            min(market.session.open_ms for market in markets), max(market.session.close_ms for market in markets)
        )
        self.instruments: InstrumentBook = synthetic_book(
            rules, trade_date, {market.spec.underlying: market.listing for market in markets}
        )
        self._load_paths(markets)
        self._load_contracts(markets, seed)

    def quotes(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """QUOTE rows, one per token in the same order; `exchange_ms` 0 for unknown tokens and before the open."""
        return self._filled(tokens, time_ms, DEPTH_LEVELS)

    def ticks(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """TICK rows of those of `tokens` that have data."""
        return ticks_of(self._filled(tokens, time_ms, 1))

    def _filled(self, tokens: NDArray[np.int64], time_ms: int, book_levels: int) -> NDArray[np.void]:
        out = np.zeros(len(tokens), QUOTE)
        # Tokens are copied because compiled code takes no read-only or strided array.
        mq.fill_quotes(
            out.view(np.int64).reshape(len(tokens), mq.QUOTE_WIDTH),
            np.array(tokens, np.int64),
            time_ms,
            book_levels,
            *self._arrays,
        )
        return out

    def series(self, token: int, moments_ms: range) -> NDArray[np.void]:
        """QUOTE rows of one token, one per moment."""
        out = np.zeros(len(moments_ms), QUOTE)
        mq.fill_series(
            out.view(np.int64).reshape(len(moments_ms), mq.QUOTE_WIDTH),
            np.array([token], np.int64),
            np.arange(moments_ms.start, moments_ms.stop, moments_ms.step, dtype=np.int64),
            *self._arrays,
        )
        return out

    def _load_paths(self, markets: list["_Market"]) -> None:
        """Stack the paths of all indices, padded at the end to the longest session."""
        seconds = max(market.seconds for market in markets)
        self._spots = _stacked([market.path.spot_paise for market in markets], seconds + 1)
        self._factors = _stacked([market.path.vol_factor for market in markets], seconds + 1)
        self._activity = _stacked([market.path.activity for market in markets], seconds)
        ticks = np.array([[market.index_tick_paise] for market in markets])
        quoted = np.rint(self._spots / ticks).astype(np.int64) * ticks
        highs, lows = np.maximum.accumulate(quoted, axis=1), np.minimum.accumulate(quoted, axis=1)
        self._extremes = np.ascontiguousarray(np.stack([highs, lows], axis=2))
        self._days = np.array([[market.session.open_ms, market.path.previous_close_paise] for market in markets])
        self._levels = np.array([market.level.atm_iv_pct / 100.0 for market in markets])
        self._marks_per_contract = seconds // mq.MARK_EVERY_S + 1

    def _load_contracts(self, markets: list["_Market"], seed: int) -> None:
        by_underlying = {market.spec.underlying: (place, market) for place, market in enumerate(markets)}
        rows = sorted(self.instruments, key=lambda row: row.token)
        terms = np.zeros((len(rows), mq.TERMS_WIDTH), np.int64)
        sizes = np.zeros((len(rows), 2))
        for i, row in enumerate(rows):
            place, market = by_underlying[row.underlying]
            terms[i, mq.TOKEN], terms[i, mq.MARKET], terms[i, mq.TICK] = row.token, place, row.tick_paise
            terms[i, mq.LAST_SECOND] = market.seconds - 1
            if row.is_option:
                market.describe(row, seed, terms[i], sizes[i])
        for place, market in enumerate(markets):
            here = (terms[:, mq.MARKET] == place) & (terms[:, mq.KIND] != mq.INDEX)
            market.scale(terms[here], sizes, np.flatnonzero(here))
        # Untouched pages of these two cost no memory: only contracts that are asked for use theirs.
        state = np.zeros((len(rows), mq.STATE_WIDTH), np.int64)
        marks = np.zeros((len(rows), self._marks_per_contract, mq.STATE_WIDTH), np.int64)
        self._arrays = (
            terms,
            sizes,
            state,
            marks,
            self._spots,
            self._factors,
            self._activity,
            self._extremes,
            self._days,
            self._levels,
        )


class _Market:
    """One underlying on the day: its path, what is listed and how large things are. Used while building only."""

    def __init__(self, rules: MarketRules, day: date, underlying: str, seed: int) -> None:
        self.spec: IndexSpec = rules.index(underlying)
        if underlying not in rules.modelled:
            raise ConfigError(f"config/market/modelled.yaml: levels.{underlying}: missing; add spot, IV, volume and OI")
        self.level: ModelledLevel = rules.modelled[underlying]
        self.session: Session = rules.session(day, self.spec.option_exchange)
        self.index_tick_paise = INDEX_TICK_PAISE
        self.path: IndexPath = index_path(
            seed,
            underlying,
            day,
            self.seconds,
            level_paise=self.level.spot_paise,
            atm_iv_pct=self.level.atm_iv_pct,
            tick_paise=self.index_tick_paise,
        )
        expiries = rules.expiries(underlying, day)
        self.step_paise: int = rules.strike_step_paise(underlying, day)
        self.listing = {expiry: self._strikes((expiry - day).days) for expiry in expiries}
        monthlies = [expiry for expiry in expiries if rules.is_monthly(underlying, expiry)]
        self._monthly_rank = {expiry: rank for rank, expiry in enumerate(monthlies)}
        self._rank = {expiry: rank for rank, expiry in enumerate(expiries)}
        self._expiry_ms = {expiry: rules.expiry_close_ms(day, self.spec.option_exchange, expiry) for expiry in expiries}
        today = rules.session(day, self.spec.option_exchange, day)
        self._last_second_today = (today.close_ms - today.open_ms) // SECOND_MS - 1
        previous = rules.previous_trading_day(day)
        self._previous_close_ms = rules.session(previous, self.spec.option_exchange).close_ms
        self._day = day

    @property
    def seconds(self) -> int:
        """Whole seconds of the session."""
        return (self.session.close_ms - self.session.open_ms) // SECOND_MS

    def describe(self, row: Instrument, seed: int, terms: NDArray[np.int64], sizes: NDArray[np.float64]) -> None:
        """Fill the terms of an option and its unscaled sizes."""
        expiry = row.expiry
        assert expiry is not None, "options have an expiry"
        is_call = row.instrument_type == "CE"
        key = key_of(seed, row.underlying, self._day, expiry, row.strike_paise, row.instrument_type)
        years = (self._expiry_ms[expiry] - self._previous_close_ms) / YEAR_MS
        value, log_moneyness, total_vol = fair_value(
            float(self.path.previous_close_paise),
            float(row.strike_paise),
            years,
            self.level.atm_iv_pct / 100.0,
            float(self.path.vol_factor[0]),
            is_call,
        )
        terms[mq.KEY] = key
        terms[mq.KIND] = mq.CALL if is_call else mq.PUT
        terms[mq.STRIKE], terms[mq.LOT] = row.strike_paise, row.lot_size
        terms[mq.EXPIRY_MS] = self._expiry_ms[expiry]
        terms[mq.CLOSE] = max(tick_floor(int(value), row.tick_paise), row.tick_paise)
        if expiry == self._day:
            terms[mq.LAST_SECOND] = self._last_second_today
        steps = row.strike_paise // self.step_paise
        popular = next((weight for multiple, weight in _ROUND_STRIKES if steps % multiple == 0), 1.0)
        distance = mq.otm_distance(log_moneyness, total_vol, is_call)
        volume, interest = self._expiry_weights(expiry)
        uneven_volume = 0.6 + 0.8 * unit_at(key, _VOLUME_NOISE, 0)
        uneven_oi = 0.5 + unit_at(key, _OI_NOISE, 0)
        sizes[mq.DAY_LOTS] = popular * volume * uneven_volume
        sizes[mq.MORNING_OI_LOTS] = popular * interest * uneven_oi * mq.oi_shape(distance)

    def scale(self, terms: NDArray[np.int64], sizes: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Scale the sizes in `rows` so that the chain adds up to the volume and open interest of the rules."""
        lots = terms[:, mq.LOT].astype(float)
        traded = sum(
            lot * size * mq.volume_shape(self._distance(term))
            for term, lot, size in zip(terms, lots, sizes[rows, mq.DAY_LOTS], strict=True)
        )
        sizes[rows, mq.DAY_LOTS] *= self.level.day_option_volume / traded
        held = float(np.sum(lots * sizes[rows, mq.MORNING_OI_LOTS]))
        sizes[rows, mq.MORNING_OI_LOTS] *= self.level.day_option_oi / held

    def _distance(self, term: NDArray[np.int64]) -> float:
        is_call = bool(term[mq.KIND] == mq.CALL)
        years = (int(term[mq.EXPIRY_MS]) - self.session.open_ms) / YEAR_MS
        _, log_moneyness, total_vol = fair_value(
            float(self.path.spot_paise[0]),
            float(term[mq.STRIKE]),
            years,
            self.level.atm_iv_pct / 100.0,
            float(self.path.vol_factor[0]),
            is_call,
        )
        return float(mq.otm_distance(log_moneyness, total_vol, is_call))

    def _expiry_weights(self, expiry: date) -> tuple[float, float]:
        """Volume and open interest of an expiry over those of the nearest."""
        rank = self._rank[expiry]
        volume, interest = _VOLUME_BY_RANK**rank, _OI_BY_RANK**rank
        monthly_rank = self._monthly_rank.get(expiry)
        if monthly_rank is not None:
            volume = max(volume, _VOLUME_OF_MONTHLY * _VOLUME_BY_MONTHLY_RANK**monthly_rank)
            interest = max(interest, _OI_OF_MONTHLY * _OI_BY_MONTHLY_RANK**monthly_rank)
        return volume, interest

    def _strikes(self, days_left: int) -> tuple[int, ...]:
        step = self.step_paise * (2 if days_left > FAR_EXPIRY_DAYS else 1)
        middle = round(self.path.previous_close_paise / step) * step
        return tuple(middle + place * step for place in range(-STRIKES_EACH_SIDE, STRIKES_EACH_SIDE + 1))


def _stacked(rows: list[NDArray[np.float64]], length: int) -> NDArray[np.float64]:
    """Rows under each other, each continued with its last value up to `length`."""
    return np.array([np.pad(row, (0, length - len(row)), mode="edge") for row in rows])
