"""What must hold in the modelled market at any time of any day: no arbitrage, sane books, sums that only grow."""

import math
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS
from g6_core.domain.options import YEAR_MS
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.smile import CARRY_PER_YEAR, fair_value

NEAR_STEPS = 16
# (underlying, day, seed): usual days, an expiry day, the longer sessions, a short special session.
DAYS = [
    ("NIFTY", date(2025, 8, 29), 0),
    ("NIFTY", date(2025, 9, 2), 1),
    ("BANKNIFTY", date(2025, 8, 29), 2),
    ("FINNIFTY", date(2026, 7, 31), 3),
    ("MIDCPNIFTY", date(2026, 8, 3), 4),
    ("SENSEX", date(2026, 8, 13), 5),
    ("NIFTY", date(2026, 12, 8), 6),
    ("NIFTY", date(2024, 1, 20), 7),
]
IDS = [f"{underlying}-{day}-{seed}" for underlying, day, seed in DAYS]
# Of the others the same is asked in the slow tier.
FAST = (0, 1, 5, 7)
PARAMS = [day if number in FAST else pytest.param(day, marks=pytest.mark.slow) for number, day in enumerate(DAYS)]


@dataclass(frozen=True, slots=True)
class Chain:
    """One expiry around the money at one moment; all arrays by ascending strike."""

    strikes: NDArray[np.int64]
    calls: NDArray[np.void]
    puts: NDArray[np.void]
    discount: float
    spot: int


@dataclass(frozen=True, slots=True)
class Day:
    """A source with everything that was quoted at a handful of moments."""

    source: ModelledSource
    lot_size: int
    tick_paise: int
    by_expiry: dict[date, list[Chain]]

    @property
    def chains(self) -> list[Chain]:
        return [chain for chains in self.by_expiry.values() for chain in chains]

    @property
    def sides(self) -> list[NDArray[np.void]]:
        return [side for chain in self.chains for side in (chain.calls, chain.puts)]


BUILT: dict[tuple[str, date, int], Day] = {}


def moments_of(source: ModelledSource) -> list[int]:
    """Open, soon after, odd milliseconds through the day, the last moment, after the close."""
    start, end = source.session.open_ms, source.session.close_ms
    inside = [start + (end - start) * part // 11 + 137 * part for part in range(1, 11)]
    return [start, start + 61_000, *inside, end - 1, end + MINUTE_MS]


def expiry_ms(rules: MarketRules, source: ModelledSource, expiry: date) -> int:
    exchange = rules.index(source.underlyings[0]).option_exchange
    return rules.session(expiry, exchange, expiry).close_ms


def chains_of(rules: MarketRules, source: ModelledSource, expiry: date) -> list[Chain]:
    underlying, book = source.underlyings[0], source.instruments
    index = np.array([rules.index(underlying).index_token])
    level = int(source.quotes(index, source.session.open_ms)["ltp_paise"][0])
    nearest = sorted(book.strikes(underlying, expiry), key=lambda strike: abs(strike - level))
    strikes = sorted(nearest[: 2 * NEAR_STEPS + 1])
    sides = [[book.option(underlying, expiry, strike, side) for strike in strikes] for side in ("CE", "PE")]
    tokens = [np.array([row.token for row in rows if row is not None]) for rows in sides]
    chains = []
    stops = min(expiry_ms(rules, source, expiry), source.session.close_ms)
    for moment in moments_of(source):
        # After a contract's close its book stands as at the last millisecond, and so must the index it is held against.
        effective = min(moment, stops - 1)
        years = (expiry_ms(rules, source, expiry) - effective) / YEAR_MS
        calls, puts = source.quotes(tokens[0], moment), source.quotes(tokens[1], moment)
        spot = int(source.quotes(index, effective)["ltp_paise"][0])
        chains.append(Chain(np.array(strikes), calls, puts, math.exp(-CARRY_PER_YEAR * years), spot))
    return chains


def day_of(rules: MarketRules, underlying: str, trade_date: date, seed: int) -> Day:
    source = ModelledSource((underlying,), trade_date, rules, seed)
    expiries = source.instruments.expiries(underlying)[:2]
    lots = {rules.lot_size(underlying, trade_date, expiry) for expiry in expiries}
    assert len(lots) == 1
    by_expiry = {expiry: chains_of(rules, source, expiry) for expiry in expiries}
    return Day(source, lots.pop(), rules.tick_paise(underlying, trade_date), by_expiry)


@pytest.fixture(params=PARAMS, ids=IDS)
def day(request: pytest.FixtureRequest, rules: MarketRules) -> Day:
    # Kept here and not by a wider fixture scope, which random order would have set up again and again.
    if request.param not in BUILT:
        BUILT[request.param] = day_of(rules, *request.param)
    return BUILT[request.param]


def bid(quotes: NDArray[np.void]) -> NDArray[np.float64]:
    """Best bid; 0 where there is none, which is what selling would bring."""
    return quotes["bid_paise"][:, 0].astype(float)


def ask(quotes: NDArray[np.void]) -> NDArray[np.float64]:
    return quotes["ask_paise"][:, 0].astype(float)


def test_put_call_parity_holds_within_the_spreads_at_every_strike(day: Day) -> None:
    for chain in day.chains:
        bought = ask(chain.calls) - bid(chain.puts) + chain.strikes * chain.discount
        sold = bid(chain.calls) - ask(chain.puts) + chain.strikes * chain.discount
        # The index is quoted to its tick of five paise, hence up to half of one off.
        assert (sold <= chain.spot + 2.5001).all() and (bought >= chain.spot - 2.5001).all()
        assert sold.max() <= bought.min()


def test_calls_fall_and_puts_rise_with_the_strike_by_no_more_than_the_step(day: Day) -> None:
    for chain in day.chains:
        steps = np.diff(chain.strikes)
        assert (ask(chain.calls)[:-1] >= bid(chain.calls)[1:]).all()
        assert (ask(chain.puts)[1:] >= bid(chain.puts)[:-1]).all()
        assert (bid(chain.calls)[:-1] - ask(chain.calls)[1:] <= steps).all()
        assert (bid(chain.puts)[1:] - ask(chain.puts)[:-1] <= steps).all()


def test_no_butterfly_costs_less_than_nothing(day: Day) -> None:
    for chain in day.chains:
        for side in (chain.calls, chain.puts):
            for width in (1, 3, 8):
                wings = ask(side)[: -2 * width] + ask(side)[2 * width :]
                assert (wings - 2.0 * bid(side)[width:-width] >= 0.0).all()


def test_the_later_call_is_never_cheaper_than_the_earlier_one(day: Day) -> None:
    first, second = day.by_expiry.values()
    for early, late in zip(first, second, strict=True):
        if early.spot != late.spot:
            continue
        strikes, here, there = np.intersect1d(early.strikes, late.strikes, return_indices=True)
        assert len(strikes) > 20
        assert (ask(late.calls)[there] >= bid(early.calls)[here]).all()


def test_books_are_never_crossed_and_stand_on_ticks(day: Day) -> None:
    for quotes in day.sides:
        bids, asks = quotes["bid_paise"], quotes["ask_paise"]
        assert (asks[:, 0] > bids[:, 0]).all() and (asks[:, 0] >= day.tick_paise).all() and (bids >= 0).all()
        assert not (bids % day.tick_paise).any() and not (asks % day.tick_paise).any()
        assert not (quotes["ltp_paise"] % day.tick_paise).any() and (quotes["ltp_paise"] > 0).all()


def test_depth_steps_outward_in_whole_lots_and_ends_where_prices_end(day: Day) -> None:
    for quotes in day.sides:
        bids, asks = quotes["bid_paise"], quotes["ask_paise"]
        gaps_down, gaps_up = -np.diff(bids, axis=1), np.diff(asks, axis=1)
        there = bids[:, 1:] > 0
        assert (gaps_down[there] >= day.tick_paise).all() and (gaps_down[there] <= 3 * day.tick_paise).all()
        assert (gaps_up >= day.tick_paise).all() and (gaps_up <= 3 * day.tick_paise).all()
        for price, quantity, orders in (("bid_paise", "bid_qty", "bid_orders"), ("ask_paise", "ask_qty", "ask_orders")):
            assert ((quotes[price] > 0) == (quotes[quantity] > 0)).all()
            assert ((quotes[price] > 0) == (quotes[orders] > 0)).all()
            assert (quotes[orders] * day.lot_size <= quotes[quantity]).all()
            assert not (quotes[quantity] % day.lot_size).any()
        assert (quotes["buy_qty"] >= quotes["bid_qty"].sum(axis=1)).all()
        assert (quotes["sell_qty"] >= quotes["ask_qty"].sum(axis=1)).all()


def test_the_last_price_lies_between_the_days_extremes(day: Day) -> None:
    for quotes in day.sides:
        traded = quotes[quotes["volume"] > 0]
        for name in ("ltp_paise", "open_paise", "average_paise"):
            assert (traded["low_paise"] <= traded[name]).all() and (traded[name] <= traded["high_paise"]).all()
        assert (traded["last_trade_ms"] <= traded["exchange_ms"]).all()
        assert (traded["last_trade_ms"] >= day.source.session.open_ms).all()
        assert (traded["last_qty"] <= traded["volume"]).all() and (traded["last_qty"] >= day.lot_size).all()
        assert not (traded["volume"] % day.lot_size).any()


def test_volume_and_the_days_extremes_only_grow(day: Day) -> None:
    for chains in day.by_expiry.values():
        for before, after in pairwise(chains):
            for old, new in ((before.calls, after.calls), (before.puts, after.puts)):
                assert (new["volume"] >= old["volume"]).all()
                assert (new["last_trade_ms"] >= old["last_trade_ms"]).all()
                assert (new["high_paise"] >= old["high_paise"]).all()
                traded = old["volume"] > 0
                assert (new["low_paise"][traded] <= old["low_paise"][traded]).all()
                assert (new["open_paise"][traded] == old["open_paise"][traded]).all()
                assert (new["close_paise"] == old["close_paise"]).all()


def test_open_interest_is_whole_lots_and_moves_by_trades_only(day: Day) -> None:
    for quotes in day.sides:
        assert (quotes["oi"] >= 0).all() and not (quotes["oi"] % day.lot_size).any()
        assert (quotes["oi_day_low"] <= quotes["oi"]).all() and (quotes["oi"] <= quotes["oi_day_high"]).all()
    for chains in day.by_expiry.values():
        for before, after in pairwise(chains):
            moved = np.abs(after.calls["oi"] - before.calls["oi"])
            # Open interest is told once a minute, so trades of the minute before may still be in it.
            assert (moved <= after.calls["volume"]).all()
        assert (chains[0].calls["oi"] != chains[-1].calls["oi"]).any()


def test_near_the_money_the_spread_of_the_nearest_expiry_can_be_traded(day: Day) -> None:
    chains = next(iter(day.by_expiry.values()))
    for chain in chains[1:7]:
        middle = int(np.argmin(np.abs(chain.strikes - chain.spot)))
        for side in (chain.calls, chain.puts):
            spread = ask(side)[middle] - bid(side)[middle]
            assert spread <= max(0.03 * ask(side)[middle], 2 * day.tick_paise)


FACTORS = (0.67, 1.0, 1.65)
TERMS_DAYS = (1e-4, 0.01, 0.25, 1.0, 4.0, 11.0, 32.0, 120.0, 700.0, 1800.0)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("level", [0.07, 0.12, 0.3])
def test_fair_values_are_convex_in_the_strike_and_grow_with_time(level: float, factor: float) -> None:
    spot = 2_450_000.0
    strikes = spot * np.linspace(0.8, 1.2, 161)
    before = np.zeros(len(strikes))
    for days in TERMS_DAYS:
        calls, puts = (
            np.array([fair_value(spot, strike, days / 365.0, level, factor, is_call)[0] for strike in strikes])
            for is_call in (True, False)
        )
        rounding = 1e-6
        assert (np.diff(calls) <= rounding).all() and (np.diff(puts) >= -rounding).all()
        assert (np.diff(calls, 2) >= -rounding).all() and (np.diff(puts, 2) >= -rounding).all()
        assert (calls >= before - rounding).all()
        discount = math.exp(-CARRY_PER_YEAR * days / 365.0)
        assert np.allclose(calls - puts, spot - strikes * discount, rtol=0.0, atol=1e-4)
        before = calls
