"""Candles beside live quotes: which prices are compared, whose volume, and who bears witness."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from g6_core.adapters.lake import lake_schema
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at
from g6_core.schema.accounting import ANSWER_COLUMNS, NOT_RECORDED
from g6_core.schema.options import OPTION_COLUMNS
from g6_pipelines.collection.candles import (
    PRICED_COLUMNS,
    Grid,
    answered,
    compared_volumes,
    falls_short,
    priced,
    witnesses,
)

DAY, EXPIRY = date(2025, 8, 29), date(2025, 9, 2)
OPEN = at(DAY, time(9, 15))
CLOSE = OPEN + 10 * MINUTE_MS
GRID = Grid(OPEN, CLOSE, MINUTE_MS, {EXPIRY: CLOSE})
NAME = "N24500CE"

Quote = tuple[float, float, int]
"""(minutes since the open, last price, volume of the day)"""


def moment(minutes: float) -> datetime:
    return datetime.fromtimestamp((OPEN + minutes * MINUTE_MS) / 1000, UTC)


def lake(quotes: Sequence[Quote]) -> pl.DataFrame:
    """Live quotes of a call; its put is never seen."""
    schema = lake_schema({name: OPTION_COLUMNS[name] for name in PRICED_COLUMNS})
    rows = [
        (moment(when), EXPIRY, NAME, "live", ltp, volume, None, "missing", None, None) for when, ltp, volume in quotes
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def answer(
    minutes: Sequence[int], first: int = 0, last: int = 9, *, symbol: str = NAME, origin: str = "sim"
) -> pl.DataFrame:
    """A contract that rises by a rupee a minute and trades 100 units in each that has a candle."""
    head = (moment(400), origin, symbol, 1, moment(first), moment(last), f"sha of {symbol} {first} {len(minutes)}")
    rows = [(*head, moment(n), 10.0 + n, 11.0 + n, 10.0 + n, 11.0 + n, 100, 5_000 + n) for n in minutes]
    return pl.DataFrame(rows or [(*head, *(None,) * 7)], schema=lake_schema(ANSWER_COLUMNS), orient="row")


# The quote of a minute is the close before it.
QUOTES: list[Quote] = [(n, 10.0 + n, 100 * n) for n in range(1, 10)]
ALL = range(10)
SILENCE = answer([], 3, 5, origin=NOT_RECORDED)


def outside(quotes: Sequence[Quote], answers: pl.DataFrame, grid: Grid = GRID) -> tuple[int, list[float]]:
    """How many quotes were compared, and the minutes of those whose price is none of their candles'."""
    found = priced(lake(quotes), answers, grid)
    strange = found.filter("is_outside")["timestamp"].dt.timestamp("ms")
    return found.height, [(one - OPEN) / MINUTE_MS for one in strange]


@pytest.mark.parametrize(
    ("change", "minutes"),
    [
        ({}, []),
        ({5: 18.0}, [5]),
        ({5: 13.95}, [5]),
        # A price that stands still while the market goes on.
        (dict.fromkeys(range(1, 10), 11.0), [3, 4, 5, 6, 7, 8, 9]),
    ],
    ids=["agrees", "above", "below", "standing still"],
)
def test_a_price_that_its_candles_do_not_have_is_found(change: dict[int, float], minutes: list[float]) -> None:
    quotes = [(when, change.get(int(when), ltp), volume) for when, ltp, volume in QUOTES]
    assert outside(quotes, answer(ALL)) == (9, minutes)


@pytest.mark.parametrize(
    ("quotes", "answers", "compared"),
    [
        # Not traded yet: the last price is yesterday's.
        ([(1, 99.0, 0), (2, 99.0, 0)], answer(ALL), 0),
        # Nobody asked, or about later minutes only.
        (QUOTES, answer([]), 0),
        (QUOTES, answer(range(5, 10), 5), 4),
        # Behind a silence the last price may be as old as the silence.
        (
            QUOTES,
            pl.concat([answer(range(3), 0, 2), answer([], 3, 5, origin=NOT_RECORDED), answer(range(6, 10), 6)]),
            5,
        ),
    ],
    ids=["untraded", "not asked", "asked for late", "not recorded"],
)
def test_what_cannot_be_known_is_not_compared(quotes, answers: pl.DataFrame, compared: int) -> None:
    assert outside(quotes, answers) == (compared, [])


@pytest.mark.parametrize(("interval_s", "times"), [(15, [n / 4 for n in range(1, 40)]), (180, [3, 6, 9])])
def test_other_intervals_agree_as_well(interval_s: int, times: list[float]) -> None:
    quotes = [(when, 10.0 + when, round(100 * when)) for when in times]
    assert outside(quotes, answer(ALL), Grid(OPEN, CLOSE, interval_s * SECOND_MS, {EXPIRY: CLOSE})) == (len(times), [])


def volumes(**by_symbol: int) -> pl.DataFrame:
    rows = [(symbol, EXPIRY, volume) for symbol, volume in by_symbol.items()]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "expiry": pl.Date, "volume": pl.Int64}, orient="row")


def test_the_candles_of_a_whole_session_are_held_against_the_volume_of_the_day() -> None:
    answers = pl.concat([
        answer([1, 2], symbol="A"),
        answer([], symbol="B"),
        # In two answers; with what is before the open, which is no part of the session.
        answer([1], 0, 4, symbol="C"), answer([], 5, 9, symbol="C"),
        answer([1], 0, 8, symbol="PART"),
        answer([1], 0, 4, symbol="LACKS"), answer([], 5, 9, symbol="LACKS", origin=NOT_RECORDED),
    ])  # fmt: skip
    found = compared_volumes(answers, volumes(A=204, B=5, C=103, PART=900, LACKS=900, D=1), GRID)
    assert found.rows() == [("A", 204, 200), ("B", 5, 0), ("C", 103, 100)]
    assert found.filter(falls_short(2))["symbol"].to_list() == ["B", "C"]
    assert found.filter(falls_short(100)).is_empty()
    assert answered(answers, GRID) == {"A", "B", "C", "LACKS"}, "also who is known not to be recorded"


def test_witnesses_are_what_was_traded_most_and_is_still_listed() -> None:
    gone = volumes(GONE=5_000).with_columns(expiry=pl.lit(date(2025, 8, 28)))
    ranked = pl.concat([volumes(Q=5, I=5, B=900), gone])
    assert witnesses(ranked, 3, DAY) == ["B", "I"], "of equal ones the first by name; who is gone has no deputy"
    assert witnesses(ranked, 0, DAY) == witnesses(ranked.clear(), 5, DAY) == []


def test_a_contract_that_closes_before_the_session_is_held_against_its_volume_too() -> None:
    grid = Grid(OPEN, CLOSE, MINUTE_MS, {EXPIRY: CLOSE - 3 * MINUTE_MS})
    answers = pl.concat([answer([1], 0, 6, symbol="WHOLE"), answer([1], 0, 5, symbol="PART")])
    assert compared_volumes(answers, volumes(WHOLE=900, PART=900), grid).rows() == [("WHOLE", 900, 100)]
    later = volumes(WHOLE=900).with_columns(expiry=pl.lit(date(2025, 9, 9)))
    assert compared_volumes(answers, later, grid).is_empty(), "of another expiry the session's last minutes lack"
