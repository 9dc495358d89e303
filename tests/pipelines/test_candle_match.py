"""The lake against the broker's candles: what must agree, what is no difference, and when a silent history is a lie."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from g6_core.adapters.lake import lake_schema
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at
from g6_core.schema.accounting import ANSWER_COLUMNS
from g6_core.schema.closing import CLOSING_COLUMNS
from g6_core.schema.options import OPTION_COLUMNS
from g6_pipelines.collection.candle_match import (
    MATCH_COLUMNS,
    Grid,
    denied_minutes,
    final_volumes,
    heard,
    match_candles,
    most_traded,
    witnesses,
)

DAY, EXPIRY = date(2025, 8, 29), date(2025, 9, 2)
OPEN = at(DAY, time(9, 15))
NAME = "N24500CE"
CLOSE = OPEN + 10 * MINUTE_MS
GRID = Grid(OPEN, CLOSE, MINUTE_MS, {EXPIRY: CLOSE})

UNCLOSED = pl.DataFrame(schema=lake_schema(CLOSING_COLUMNS))

Quote = tuple[float, float, int, int]
"""(minutes since the open, last price, volume of the day, open interest)"""
Candle = tuple[int, float, float, float, float, int, int]
"""(minute, open, high, low, close, volume, open interest)"""


def moment(minutes: float) -> datetime:
    return datetime.fromtimestamp((OPEN + minutes * MINUTE_MS) / 1000, UTC)


def lake(quotes: Sequence[Quote], symbol: str = NAME) -> pl.DataFrame:
    """Live quotes of a call; its put is never seen."""
    schema = lake_schema({name: OPTION_COLUMNS[name] for name in MATCH_COLUMNS})
    unseen = (None, "missing", None, None, None)
    rows = [(moment(when), EXPIRY, symbol, "live", ltp, volume, oi, *unseen) for when, ltp, volume, oi in quotes]
    return pl.DataFrame(rows, schema=schema, orient="row")


def answer(candles: Sequence[Candle], first: int = 0, last: int = 9, symbol: str = NAME) -> pl.DataFrame:
    head = (moment(400), "sim", symbol, 1, moment(first), moment(last), f"sha of {symbol} {first} {len(candles)}")
    rows = [(*head, moment(number), *figures) for number, *figures in candles] or [(*head, *(None,) * 7)]
    return pl.DataFrame(rows, schema=lake_schema(ANSWER_COLUMNS), orient="row")


# A contract that rises by a rupee a minute and trades 100 units in each: the quote of a minute is the close before it.
CANDLES: list[Candle] = [(n, 10.0 + n, 11.0 + n, 10.0 + n, 11.0 + n, 100, 5_000 + n) for n in range(10)]
QUOTES: list[Quote] = [(n, 10.0 + n, 100 * n, 5_000 + n - 1) for n in range(1, 10)]


def changed(at_minute: int, change: Callable[[Quote], Quote]) -> list[Quote]:
    return [change(one) if one[0] == at_minute else one for one in QUOTES]


def without(*minutes: int) -> list[Candle]:
    return [one for one in CANDLES if one[0] not in minutes]


def test_the_same_market_seen_twice_agrees_everywhere() -> None:
    found = match_candles(lake(QUOTES), answer(CANDLES), GRID, UNCLOSED)
    assert (found.contracts, found.prices, found.open_interests) == (1, {NAME: 9}, 9)
    assert found.volumes == 9 + 1, "each since the one before, and the day as a whole"
    assert not (found.price_differences + found.volume_differences + found.oi_differences)


@pytest.mark.parametrize(
    ("quotes", "prices", "volumes"),
    [
        (changed(5, lambda q: (5, 18.0, *q[2:])), [f"{NAME} 09:20: last price 18.00, candles 14.00 to 16.00"], []),
        (changed(5, lambda q: (5, 13.95, *q[2:])), [f"{NAME} 09:20: last price 13.95, candles 14.00 to 16.00"], []),
        # Another contract's volume for a minute: too much when it comes, and it falls when it goes.
        (
            changed(5, lambda q: (*q[:2], 9_500, q[3])),
            [],
            [
                f"{NAME} 09:20: volume grew by 9,100 since 09:19, candles hold 0 to 300",
                f"{NAME} 09:21: volume fell by 8,900 since 09:20, candles hold 0 to 300",
            ],
        ),
        # Counted in lots of 75: no minute grows too much, the day as a whole too little.
        (
            [(when, ltp, volume // 75, oi) for when, ltp, volume, oi in QUOTES],
            [],
            [f"{NAME} 09:24: volume grew by 12 since the open, candles hold 800 to 1,000"],
        ),
        # A price that stands still while the market goes on.
        (
            [(when, 11.0, volume, oi) for when, _, volume, oi in QUOTES],
            [f"{NAME} 09:{15 + n}: last price 11.00, candles {9 + n}.00 to {11 + n}.00" for n in range(3, 10)],
            [],
        ),
    ],
    ids=["above", "below", "another contract", "lots", "standing still"],
)
def test_each_difference_is_named_by_contract_and_minute(quotes, prices, volumes) -> None:
    found = match_candles(lake(quotes), answer(CANDLES), GRID, UNCLOSED)
    assert [str(one) for one in found.price_differences] == prices
    assert [str(one) for one in found.volume_differences] == volumes


def test_open_interest_is_told() -> None:
    found = match_candles(lake(changed(5, lambda q: (*q[:3], 4_000))), answer(CANDLES), GRID, UNCLOSED)
    assert [str(one) for one in found.oi_differences] == [f"{NAME} 09:20: open interest 4,000, candles 5,003 to 5,005"]


@pytest.mark.parametrize(
    ("quotes", "candles", "first", "prices", "volumes"),
    [
        # Not traded yet: the last price is yesterday's.
        ([(1, 99.0, 0, 0), (2, 99.0, 0, 0)], [], 0, 0, 0),
        # Asked for from 09:20 only: what was before is not known, the first growth neither.
        (QUOTES, CANDLES[5:], 5, 3, 3),
        # Nobody asked.
        (QUOTES, None, 0, 0, 0),
    ],
    ids=["untraded", "asked for late", "not asked"],
)
def test_what_cannot_be_known_is_not_compared(quotes, candles, first, prices, volumes) -> None:
    answers = pl.DataFrame(schema=lake_schema(ANSWER_COLUMNS)) if candles is None else answer(candles, first)
    found = match_candles(lake(quotes), answers, GRID, UNCLOSED)
    assert (found.prices.get(NAME, 0), found.volumes) == (prices, volumes)
    assert not (found.price_differences + found.volume_differences)


def test_an_old_last_price_is_the_close_of_the_last_candle() -> None:
    quotes = [(when, 13.0, 300, 5_002) if when > 3 else (when, ltp, volume, oi) for when, ltp, volume, oi in QUOTES]
    found = match_candles(lake(quotes), answer(CANDLES[:3]), GRID, UNCLOSED)
    assert (found.prices, found.price_differences, found.volume_differences) == ({NAME: 9}, (), ())


@pytest.mark.parametrize(("interval_s", "times"), [(15, [n / 4 for n in range(40)]), (180, [0, 3, 6, 9])])
def test_other_intervals_agree_as_well(interval_s: int, times: list[float]) -> None:
    # Between two minutes the price is on its way and a part of the volume has traded.
    quotes = [(when, 10.0 + when, round(100 * when), 5_000) for when in times]
    grid = Grid(OPEN, CLOSE, interval_s * SECOND_MS, {EXPIRY: CLOSE})
    found = match_candles(lake(quotes), answer(CANDLES), grid, UNCLOSED)
    assert found.prices[NAME] >= len(times) - 1 and found.volumes == len(times) + 1
    assert not (found.price_differences + found.volume_differences)


HOLE = [one for one in QUOTES if one[0] not in (4, 5, 6)]
# As `HOLE`, with nothing traded from 09:18 to 09:21.
QUIET: list[Quote] = [(n, 10.0 + n, 100 * n if n < 4 else 100 * n - 400, 0) for n in (1, 2, 3, 7, 8, 9)]


def denied(
    quotes: list[Quote], answers: pl.DataFrame, closing: pl.DataFrame = UNCLOSED, grid: Grid = GRID
) -> list[int]:
    found = denied_minutes(lake(quotes), answers, grid, closing)
    assert set(found["symbol"]) <= {NAME}
    return sorted((found["minute"].dt.timestamp("ms") - OPEN) // MINUTE_MS)


@pytest.mark.parametrize(
    ("quotes", "candles", "minutes"),
    [
        # Nothing was seen at 09:19 to 09:21, and the broker has no candle there though 300 were traded.
        (HOLE, without(3, 4, 5, 6), [4, 5, 6]),
        (HOLE, CANDLES, []),
        # A stray candle in it, or one that is too small, does not make the rest of it true.
        (HOLE, without(3, 4, 6), [4, 6]),
        (HOLE, [*without(3, 4, 5, 6), (4, 14.0, 15.0, 14.0, 15.0, 10, 0)], [5, 6]),
        (QUIET, without(3, 4, 5, 6), []),
        # Traded elsewhere without a candle: where the volume stood still nothing was traded, whatever else is lacking.
        (QUIET, without(1, 3, 4, 5, 6), []),
        # From the open to the first quote.
        ([(5, 15.0, 500, 0), (6, 16.0, 600, 0)], without(0, 1, 2, 3, 4), [0, 1, 2, 3, 4]),
        # Every minute was seen: then there is nothing to deny, the comparison names it.
        (QUOTES, without(3, 4, 5, 6), []),
    ],
    ids=["silent", "whole", "stray", "too small", "no trade", "elsewhere", "from the open", "all seen"],
)
def test_a_silence_in_which_the_volume_grew_is_no_answer(quotes, candles, minutes) -> None:
    assert denied(quotes, answer(candles)) == minutes


def closed(volume: int | None, *, expiry: date = EXPIRY, stamp_minute: float = 11, symbol: str = NAME) -> pl.DataFrame:
    """A closing state of one contract, and of another that nobody asks about."""
    cells = {"exchange_time": moment(stamp_minute), "expiry": expiry, "symbol": symbol, "volume": volume}
    rows = [cells, cells | {"symbol": "OTHER", "volume": 9_999}]
    return pl.DataFrame(rows, schema=lake_schema({name: CLOSING_COLUMNS[name] for name in cells}))


@pytest.mark.parametrize(
    ("final", "candles", "minutes"),
    [
        (1_000, without(6, 7, 8, 9), [6, 7, 8, 9]),
        (500, without(6, 7, 8, 9), []),
        (1_000, CANDLES, []),
        (1_000, without(6, 8, 9), [6, 8, 9]),
        (None, without(6, 7, 8, 9), []),
    ],
    ids=["traded on", "no trade any more", "whole", "stray", "unknown"],
)
def test_after_the_last_quote_the_closing_state_tells_whether_the_silence_is_true(final, candles, minutes) -> None:
    assert denied(QUOTES[:5], answer(candles), closed(final)) == minutes


def test_a_day_of_candles_that_adds_up_to_the_closing_state_is_whole() -> None:
    # Quotes that strayed: the growth is more than the candles of these minutes, and of the day it is not.
    strayed = [(when, ltp, volume + 600 if when in (7, 8) else volume, oi) for when, ltp, volume, oi in QUIET]
    assert denied(strayed, answer(without(3, 4, 5, 6))) == [4, 5, 6]
    assert denied(strayed, answer(without(3, 4, 5, 6)), closed(600)) == []
    assert denied(HOLE, answer([]), closed(0)) == [0, 4, 5, 6], "a closing state that forgot the day"
    # One that was asked for from 09:17 on only says nothing of the day, nor does one of less than was traded.
    assert denied(strayed, answer(without(0, 1, 3, 4, 5, 6), first=2), closed(400)) == [4, 5, 6]
    assert denied(strayed, answer(without(3, 4, 5, 6)), closed(590)) == [4, 5, 6]


def test_of_a_day_that_is_known_to_lack_something_one_silent_minute_is_enough() -> None:
    assert denied(HOLE, answer(without(5)), closed(1_000)) == [5]
    # It may have traded in the seconds before the quotes.
    assert denied(HOLE, answer(without(5))) == []
    late = [(when, ltp, volume + 90 if when == 7 else volume, oi) for when, ltp, volume, oi in QUIET]
    assert denied(late, answer(without(3, 4, 5, 6))) == []
    # Known to lack something elsewhere: what came just before a quote is in the candle by the next one.
    assert denied(late, answer(without(3, 4, 5, 6)), closed(675)) == []
    lacks_elsewhere = [*without(1, 3, 4, 5, 6), (1, 11.0, 12.0, 11.0, 12.0, 25, 0)]
    assert denied(late, answer(lacks_elsewhere), closed(600)) == []
    # Another gap after it, of a hundred times its trades, hides nothing.
    busy = [(1, 11.0, 100, 0), (4, 14.0, 400, 0), (8, 18.0, 40_400, 0), (9, 19.0, 40_500, 0)]
    candles = [(*one[:5], 13_300 if 5 <= one[0] <= 7 else 100, 0) for one in CANDLES]
    assert denied(busy, answer([one for one in candles if one[0] != 2]), closed(40_600)) == [2]
    assert denied(busy, answer(candles), closed(40_600)) == []


@pytest.mark.parametrize("final", [0, 300, 590, 899, 900, 1_000])
def test_a_closing_state_of_less_than_the_last_quote_acquits_nobody(final: int) -> None:
    seen = [one for one in QUOTES if one[0] not in (4, 5, 6, 7, 8)]
    assert denied(seen, answer(without(4, 5, 6, 7, 8)), closed(final)) == [4, 5, 6, 7, 8]
    strayed = [(when, ltp, 900 if when == 9 else volume, oi) for when, ltp, volume, oi in QUIET]
    assert denied(strayed, answer(without(4, 5, 6, 8, 9)), closed(400)) == [], "one that the candles add up to does"


@pytest.mark.parametrize("closing", [UNCLOSED, closed(1_000)], ids=["unclosed", "closed"])
def test_a_next_quote_that_candles_prove_too_low_acquits_nobody(closing: pl.DataFrame) -> None:
    fallen = [(when, ltp, 100 if when == 8 else volume, oi) for when, ltp, volume, oi in HOLE]
    assert denied(fallen, answer(without(4, 5, 6)), closing) == [4, 5, 6]


@pytest.mark.parametrize("fallen", [0, 300, 400, 500, 600, 690])
def test_a_snapshot_from_before_the_gap_that_comes_after_it_acquits_nobody(fallen: int) -> None:
    repeated = [(when, ltp, fallen if when == 8 else volume, oi) for when, ltp, volume, oi in HOLE]
    assert denied(repeated, answer(without(4, 5, 6))) == [4, 5, 6]
    assert denied(repeated, answer(without(4, 5, 6)), closed(1_000)) == [4, 5, 6]


@pytest.mark.parametrize("burst", [100, 500, 700, 2_000])
def test_a_quote_that_is_too_high_for_once_denies_nothing_when_the_next_ones_are_what_candles_hold(burst: int) -> None:
    candles = [(*one[:5], burst, one[6]) if one[0] == 8 else one for one in without(3, 4, 5, 6)]
    more = {7: 600, 9: burst - 100}
    strayed = [(when, ltp, volume + more.get(int(when), 0), oi) for when, ltp, volume, oi in QUIET]
    assert denied(strayed, answer(candles)) == []


def test_a_closing_state_from_long_before_the_close_vouches_for_nothing() -> None:
    quotes, grid = lake(QUOTES[:2]), Grid(OPEN, OPEN + 60 * MINUTE_MS, MINUTE_MS, {EXPIRY: OPEN + 60 * MINUTE_MS})
    for stamp_minute, volumes in ((54.9, {}), (55, {NAME: 1_000, "OTHER": 9_999}), (61, {NAME: 1_000, "OTHER": 9_999})):
        assert final_volumes(quotes, closed(1_000, stamp_minute=stamp_minute), grid) == volumes
    assert NAME not in final_volumes(quotes, closed(100, stamp_minute=61), grid), "one of less than the last quote"
    # Frozen at a moment up to which the candles go.
    strayed = [(when, ltp, volume + 600 if when in (7, 8) else volume, oi) for when, ltp, volume, oi in QUIET]
    assert denied(strayed, answer(without(3, 4, 5, 6)), closed(600, stamp_minute=4)) == [4, 5, 6]


@pytest.mark.parametrize("burst", [700, 2_900, 13_300])
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_busy_minute_after_the_gap_hides_nothing_of_it(burst: int, is_closed: bool) -> None:
    candles = [(*one[:5], burst, 0) if one[0] == 8 else one for one in without(4, 5, 6)]
    seen = [(when, ltp, 800 + burst if when == 9 else volume, oi) for when, ltp, volume, oi in HOLE]
    closing = closed(900 + burst) if is_closed else UNCLOSED
    assert denied(seen, answer(candles), closing) == [4, 5, 6]


def test_candles_that_always_hold_a_little_less_do_not_deny_a_silence() -> None:
    """Should the broker's candles lack half a percent by habit, one silent minute is still seen."""
    hundredfold = [(when, ltp, 100 * volume, oi) for when, ltp, volume, oi in HOLE]
    candles = [(*one[:5], 100 * one[5] - 50, one[6]) for one in CANDLES]
    assert denied(hundredfold, answer(candles), closed(100_000)) == []
    assert denied(hundredfold, answer([one for one in candles if one[0] != 5]), closed(100_000)) == [5]


def test_a_quote_in_the_middle_of_a_minute_has_seen_a_part_of_it() -> None:
    grid = Grid(OPEN, CLOSE, 15 * SECOND_MS, {EXPIRY: CLOSE})
    quotes: list[Quote] = [(when, 10.0, round(100 * when), 0) for when in (2.25, 2.5, 2.75, 6.25, 6.5)]
    assert denied(quotes, answer(CANDLES), closed(1_001), grid) == []
    assert denied(quotes, answer(without(4)), closed(1_000), grid) == [4]


def test_a_closing_state_of_another_day_says_nothing() -> None:
    assert denied(QUOTES[:5], answer(without(6, 7, 8, 9)), closed(1_000, stamp_minute=-60)) == []


def test_what_was_never_seen_live_is_held_against_its_closing_state() -> None:
    assert denied([], answer([CANDLES[2]]), closed(1_000)) == [0, 1, *range(3, 10)]
    assert denied([], answer([CANDLES[2]]), closed(100)) == []


def test_a_contract_that_stops_trading_before_the_others_is_judged_to_its_own_close() -> None:
    early = Grid(OPEN, OPEN + 15 * MINUTE_MS, MINUTE_MS, {EXPIRY: CLOSE})
    for asked_to in (9, 11, 14):
        answers = answer(without(6, 7, 8, 9), last=asked_to)
        assert denied(QUOTES[:5], answers, closed(1_000), early) == [6, 7, 8, 9]
    differences = match_candles(lake(QUOTES), answer(CANDLES, last=14), early, closed(1_000)).volume_differences
    assert differences == ()


def test_the_volume_after_the_last_quote_is_compared_as_well() -> None:
    found = match_candles(lake(QUOTES[:5]), answer(without(6, 7, 8, 9)), GRID, closed(1_000))
    assert [str(one) for one in found.volume_differences] == [
        f"{NAME} 09:25: volume grew by 500 since 09:20, candles hold 0 to 200",
        f"{NAME} 09:25: volume grew by 1,000 since the open, candles hold 0 to 600",
    ]
    assert not match_candles(lake(QUOTES[:5]), answer(CANDLES), GRID, closed(1_000)).volume_differences


def test_a_second_answer_that_is_whole_ends_the_denial() -> None:
    twice = pl.concat([answer(without(3, 4, 5, 6)), answer(CANDLES[2:8], 2, 7)])
    assert denied(HOLE, twice) == []


def test_witnesses_are_what_was_traded_most_and_is_still_listed() -> None:
    busy, idle, quiet = (lake([(1, 10.0, volume, 0)], name) for name, volume in (("B", 900), ("I", 5), ("Q", 5)))
    gone = lake([(1, 10.0, 5_000, 0)], "GONE").with_columns(expiry=pl.lit(date(2025, 8, 28)))
    rows = pl.concat([quiet, gone, idle, busy])
    assert witnesses(rows, 3, DAY) == {"B", "I"}, "of equal ones the first by name; who is gone has no deputy"
    assert witnesses(rows, 0, DAY) == set()
    assert witnesses(rows.clear(), 5, DAY) == set()
    assert most_traded(rows, DAY) == ["B", "I", "Q"]


def test_heard_is_who_was_asked_for_every_minute_of_the_session() -> None:
    halves = pl.concat([answer([], 0, 4, "TWICE"), answer([], 5, 9, "TWICE")])
    answers = pl.concat([answer(CANDLES), answer([], 1, 9, "LATE"), halves])
    assert heard(answers, GRID) == {NAME, "TWICE"}
