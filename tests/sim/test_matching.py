"""Matching against a displayed book."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.domain.orders import Side
from g6_core.sim.matching import (
    Book,
    Taken,
    aggressive_fills,
    passive_fill,
    protected_limit,
    trigger_reached,
)

TICK = 5
LEVELS = st.lists(st.integers(1, 40), min_size=0, max_size=5)


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]], exchange_ms: int = 1_000) -> Book:
    return Book(7, exchange_ms, 100_00, tuple(bids), tuple(asks))


def ladder(start: int, step: int, sizes: list[int]) -> list[tuple[int, int]]:
    return [(start + step * place, size * 75) for place, size in enumerate(sizes)]


def test_an_arriving_buy_walks_the_asks_up_to_its_limit() -> None:
    shown = book([], [(100_00, 75), (100_05, 150), (100_20, 75)])
    assert aggressive_fills(shown, Side.BUY, 100_10, 600, [0]) == [(100_00, 75), (100_05, 150)]


def test_an_arriving_sell_walks_the_bids_down_to_its_limit() -> None:
    shown = book([(99_00, 75), (98_95, 150), (98_50, 75)], [])
    assert aggressive_fills(shown, Side.SELL, 98_90, 150, [0]) == [(99_00, 75), (98_95, 75)]


def test_a_resting_order_fills_at_its_own_limit_for_what_the_touch_shows() -> None:
    shown = book([], [(99_00, 75), (99_05, 500)])
    assert passive_fill(shown, Side.BUY, 100_00, 300, [0]) == [(100_00, 75)]
    assert passive_fill(shown, Side.BUY, 98_95, 300, [0]) == []


def test_displayed_quantity_is_sold_once_in_a_second_and_again_in_the_next() -> None:
    taken = Taken()
    first = book([], [(100_00, 100)], exchange_ms=5_000)
    later = book([], [(100_00, 100)], exchange_ms=5_900)
    fresh = book([], [(100_00, 100)], exchange_ms=6_000)
    assert aggressive_fills(first, Side.BUY, 100_00, 75, taken.at(first, Side.BUY)) == [(100_00, 75)]
    assert passive_fill(later, Side.BUY, 101_00, 75, taken.at(later, Side.BUY)) == [(101_00, 25)]
    assert aggressive_fills(later, Side.BUY, 100_00, 75, taken.at(later, Side.BUY)) == []
    assert aggressive_fills(fresh, Side.BUY, 100_00, 75, taken.at(fresh, Side.BUY)) == [(100_00, 75)]


def test_size_is_not_for_sale_again_because_the_price_moved_within_its_second() -> None:
    taken = Taken()
    first = book([], [(100_00, 100), (100_05, 100)], exchange_ms=5_000)
    moved = book([], [(100_10, 100), (100_15, 100)], exchange_ms=5_400)
    assert aggressive_fills(first, Side.BUY, 101_00, 150, taken.at(first, Side.BUY)) == [(100_00, 100), (100_05, 50)]
    assert aggressive_fills(moved, Side.BUY, 101_00, 150, taken.at(moved, Side.BUY)) == [(100_15, 50)]


@given(bids=LEVELS, asks=LEVELS, side=st.sampled_from(Side), offset=st.integers(-60, 60), lots=st.integers(1, 100))
def test_nothing_fills_better_than_the_touch_nor_beyond_the_limit_nor_more_than_is_shown(
    bids: list[int], asks: list[int], side: Side, offset: int, lots: int
) -> None:
    shown = book(ladder(99_00, -TICK, bids), ladder(100_00, TICK, asks))
    limit = 99_50 + offset * TICK
    for fills in (
        aggressive_fills(shown, side, limit, lots * 75, [0]),
        passive_fill(shown, side, limit, lots * 75, [0]),
    ):
        levels = shown.against(side)
        assert sum(quantity for _, quantity in fills) <= min(lots * 75, sum(quantity for _, quantity in levels))
        for price, quantity in fills:
            assert quantity > 0
            assert levels[0][0] <= price <= limit if side is Side.BUY else limit <= price <= levels[0][0]


@pytest.mark.parametrize(
    ("exchange_ms", "now_ms", "live"),
    [(0, 10_000, False), (10_000, 10_000, True), (10_000, 70_000, True), (10_000, 70_001, False)],
)
def test_a_book_older_than_a_minute_or_unknown_trades_nothing(exchange_ms: int, now_ms: int, live: bool) -> None:
    assert book([], [], exchange_ms).is_live(now_ms) is live


@pytest.mark.parametrize(
    ("side", "ltp_paise", "reached"),
    [
        (Side.SELL, 80_05, False),
        (Side.SELL, 80_00, True),
        (Side.SELL, 60_00, True),
        (Side.SELL, 0, False),
        (Side.BUY, 79_95, False),
        (Side.BUY, 80_00, True),
        (Side.BUY, 0, False),
    ],
)
def test_the_last_price_releases_a_stop(side: Side, ltp_paise: int, reached: bool) -> None:
    assert trigger_reached(side, 80_00, ltp_paise) is reached


@pytest.mark.parametrize(
    ("side", "ltp_paise", "pct", "limit"),
    [
        (Side.BUY, 99_50, 3.0, 102_45),
        (Side.SELL, 99_50, 3.0, 96_55),
        (Side.BUY, 500_05, 1.0, 505_05),
        (Side.SELL, 5, 100.0, 5),
        (Side.BUY, 5, 5.0, 5),
    ],
)
def test_a_market_order_becomes_a_limit_on_a_tick_inside_its_protection(
    side: Side, ltp_paise: int, pct: float, limit: int
) -> None:
    assert protected_limit(side, ltp_paise, pct, TICK) == limit
