"""The account of a day: which contracts are expected in which minute, and how each minute ends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from g6_core.adapters.lake import lake_schema
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.schema.accounting import ANSWER_COLUMNS, NOT_RECORDED, Account
from g6_core.schema.closing import CLOSING_COLUMNS
from g6_core.schema.options import OPTION_COLUMNS
from g6_pipelines.collection.accounting import (
    LAKE_COLUMNS,
    Contract,
    Scope,
    dark_minutes,
    minutes_to_ask,
    summary,
)
from g6_pipelines.collection.accounting import account as account_of
from g6_pipelines.collection.candles import Grid

DAY, EXPIRY, GONE = date(2025, 8, 29), date(2025, 9, 2), date(2025, 8, 29)
OPEN = at(DAY, time(9, 15))
STEP = 50_00
LIVE, STALE, MISSING, CLOSED = "live", "stale", "missing", "closed"

Cells = tuple[int, int | None, str, str]
"""(minute of the day, strike at the money or None when it is not known, call status, put status)"""


def minute(number: int) -> datetime:
    return datetime.fromtimestamp((OPEN + number * MINUTE_MS) / 1000, UTC)


def around(atm_paise: int, expiry: date = EXPIRY) -> list[Contract]:
    """A universe of one pair: the strike at the money."""
    strike = atm_paise // 100
    return [(expiry, float(strike), side, f"N{strike}{side}") for side in ("CE", "PE")]


def scope(minutes: int = 3, *, dump: bool = True, expiry: date = EXPIRY, closes: int = 375) -> Scope:
    return Scope(
        index="NIFTY",
        day=DAY,
        index_symbol="NIFTY 50",
        step_paise=STEP,
        grid=Grid(OPEN, OPEN + closes * MINUTE_MS, MINUTE_MS, {expiry: OPEN + closes * MINUTE_MS}),
        minutes=[OPEN + number * MINUTE_MS for number in range(minutes)],
        universe=(lambda atm: around(atm, expiry)) if dump else None,
        shortfall_pct=2.0,
    )


def lake(*cells: Cells, strike: int | None = None) -> pl.DataFrame:
    """Rows of one pair a cycle; without known money they stand at `strike`."""
    rows = []
    for number, atm, call, put in cells:
        at_strike = atm or strike
        spot = float(atm) if atm else None
        names = (None, None) if at_strike is None else (f"N{at_strike}CE", f"N{at_strike}PE")
        place = None if at_strike is None else float(at_strike)
        rows.append((minute(number), EXPIRY, place, spot, names[0], call, 0, names[1], put, 0))
    schema = lake_schema({name: OPTION_COLUMNS[name] for name in LAKE_COLUMNS})
    return pl.DataFrame(rows, schema=schema, orient="row")


NO_CLOSING = pl.DataFrame(schema=lake_schema(CLOSING_COLUMNS))


def account(lake: pl.DataFrame, answers: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Without a closing state."""
    return account_of(lake, answers, scope, NO_CLOSING)


def answers(*told: tuple[str, int, int, Sequence[int]], level: float = 10.0, origin: str = "sim") -> pl.DataFrame:
    """(symbol, first minute, last minute, minutes with a candle)."""
    rows = []
    for symbol, first, last, traded in told:
        head = (minute(400), origin, symbol, 1, minute(first), minute(last), f"sha of {symbol} {first}")
        rows += [(*head, minute(one), level, level, level, level, 75, 900) for one in traded] or [(*head, *(None,) * 7)]
    return pl.DataFrame(rows, schema=lake_schema(ANSWER_COLUMNS), orient="row")


def ended(found: pl.DataFrame) -> dict[tuple[int, str], str]:
    """State by (minute, symbol)."""
    numbers = ((found["minute"].dt.timestamp("ms") - OPEN) // MINUTE_MS).to_list()
    return dict(zip(zip(numbers, found["symbol"].to_list(), strict=True), found["account"].to_list(), strict=True))


WHOLE = ((0, 24_500, LIVE, LIVE), (1, 24_500, LIVE, LIVE), (2, 24_500, LIVE, LIVE))
CALL, PUT = "N24500CE", "N24500PE"


@pytest.mark.parametrize(
    ("cell", "told", "state"),
    [
        (LIVE, (), Account.LIVE),
        (STALE, (), Account.UNVERIFIED),
        (MISSING, (), Account.UNVERIFIED),
        (STALE, ((CALL, 1, 1, [1]),), Account.REPAIRED),
        (MISSING, ((CALL, 0, 2, [0, 2]),), Account.NO_TRADE),
        (MISSING, ((CALL, 1, 1, []),), Account.NO_TRADE),
        (MISSING, ((CALL, 0, 0, [0]),), Account.UNVERIFIED),
        (MISSING, ((PUT, 1, 1, [1]),), Account.UNVERIFIED),
        (LIVE, ((CALL, 1, 1, [1]),), Account.LIVE),
    ],
)
def test_a_minute_ends_by_what_was_seen_and_what_was_answered(cell: str, told, state: Account) -> None:
    rows = lake(WHOLE[0], (1, 24_500, cell, LIVE), WHOLE[2])
    found = account(rows, answers(*told), scope())
    assert ended(found)[1, CALL] == state
    assert len(found) == 6 and summary(found, scope()).complete == (state is not Account.UNVERIFIED)
    candle = found.filter((pl.col("symbol") == CALL) & (pl.col("minute") == minute(1))).row(0, named=True)
    assert (candle["open"], candle["oi"]) == ((10.0, 900) if state is Account.REPAIRED else (None, None))


def test_the_universe_moves_with_the_money_and_what_has_left_it_is_not_expected() -> None:
    rows = lake(WHOLE[0], (1, 24_550, LIVE, LIVE), WHOLE[2])
    found = ended(account(rows, answers(), scope()))
    assert set(found) == {(0, CALL), (0, PUT), (1, "N24550CE"), (1, "N24550PE"), (2, CALL), (2, PUT)}


def test_in_a_minute_without_money_the_universes_before_and_after_are_both_expected() -> None:
    rows = lake(WHOLE[0], (2, 24_600, LIVE, LIVE))
    found = ended(account(rows, answers(), scope()))
    assert {symbol for number, symbol in found if number == 1} == {CALL, PUT, "N24600CE", "N24600PE"}
    assert {state for (number, _), state in found.items() if number == 1} == {Account.UNVERIFIED}


def test_rows_around_a_money_that_was_only_remembered_do_not_say_what_is_expected() -> None:
    rows = pl.concat([lake(WHOLE[0]), lake((1, None, MISSING, MISSING), strike=24_500), lake((2, 24_600, LIVE, LIVE))])
    found = ended(account(rows, answers(("NIFTY 50", 1, 1, [1]), level=24_610.0), scope()))
    assert {symbol for number, symbol in found if number == 1} == {"N24600CE", "N24600PE"}


def test_the_edges_of_the_day_carry_the_nearest_universe() -> None:
    found = ended(account(lake(WHOLE[1]), answers(), scope()))
    assert found == {
        (number, symbol): Account.LIVE if number == 1 else Account.UNVERIFIED
        for number in range(3)
        for symbol in (CALL, PUT)
    }


def test_what_was_seen_live_is_expected_even_without_known_money() -> None:
    rows = pl.concat([lake((0, None, LIVE, MISSING), strike=24_700), lake(WHOLE[1])])
    found = ended(account(rows, answers(), scope()))
    assert found[0, "N24700CE"] == Account.LIVE
    assert (0, "N24700PE") not in found


def test_after_its_close_a_contract_is_not_expected() -> None:
    rows = lake(WHOLE[0], (1, 24_500, CLOSED, CLOSED))
    assert {number for number, _ in ended(account(rows, answers(), scope(closes=1)))} == {0}


def test_an_expiry_under_two_codes_counts_once_and_one_live_cycle_makes_the_minute_live() -> None:
    rows = pl.concat([lake(*WHOLE), lake(*WHOLE), lake((1, 24_500, STALE, MISSING))])
    day = summary(account(rows, answers(), scope()), scope())
    assert (day.live, day.expected, day.complete) == (6, 6, True)


def test_a_day_of_which_nothing_was_collected_follows_the_candles_of_the_index() -> None:
    told = answers(("NIFTY 50", 0, 2, [0, 1, 2]), level=24_512.0)
    nothing = lake()
    assert dark_minutes(nothing, answers(), scope()) == tuple(scope().minutes)
    assert dark_minutes(nothing, told, scope()) == ()
    found = account(nothing, told, scope())
    assert minutes_to_ask(found) == {CALL: 3, PUT: 3}


@pytest.mark.parametrize("dump", [True, False])
def test_a_day_of_which_nothing_is_known_is_not_complete(dump: bool) -> None:
    found = scope(dump=dump)
    day = summary(account(lake(), answers(), found), found)
    assert (day.expected, day.complete) == (0, False)
    assert "nothing was collected" in day.line()


def test_an_expiry_that_is_gone_stays_unverified_and_cannot_be_asked_for() -> None:
    unlisted = scope(1, expiry=GONE)
    gone = Scope(
        unlisted.index, DAY, "NIFTY 50", STEP, unlisted.grid, unlisted.minutes,
        lambda atm: [(expiry, strike, side, None) for expiry, strike, side, _ in around(atm, GONE)], 2.0,
    )  # fmt: skip
    found = account(lake(), answers(("NIFTY 50", 0, 0, [0]), level=24_500.0), gone)
    day = summary(found, gone)
    assert (day.unverified, minutes_to_ask(found)) == (2, {})
    assert day.line().endswith("first NIFTY 2025-08-29 24500 CE (not listed any more) 09:15")


def test_the_line_says_how_the_minutes_ended_or_where_the_first_hole_is() -> None:
    rows = lake(WHOLE[0], (1, 24_500, STALE, MISSING), WHOLE[2])
    short = summary(account(rows, answers(), scope()), scope())
    assert short.line() == "NIFTY 2025-08-29: INCOMPLETE: 2 of 6 unverified, first N24500CE 09:16"
    told = answers((CALL, 1, 1, [1]), (PUT, 1, 1, []))
    whole = summary(account(rows, told, scope()), scope())
    assert whole.line() == "NIFTY 2025-08-29: complete, 6 contract-minutes: 4 live, 1 repaired, 1 no trade"


def test_minutes_in_which_nobody_saw_anything_are_named() -> None:
    rows = lake(WHOLE[0], (1, 24_500, MISSING, MISSING), WHOLE[2])
    told = answers((CALL, 1, 1, []), (PUT, 1, 1, []))
    assert summary(account(rows, told, scope()), scope()).silent_minutes == (OPEN + MINUTE_MS,)


@pytest.mark.parametrize(("volumes", "level"), [((75, 75), 99.0), ((75, 74), 10.0), ((75, 150), 99.0)])
def test_of_two_answers_about_a_minute_the_one_with_more_volume_counts(volumes: tuple[int, int], level: float) -> None:
    both = (answers((CALL, 1, 1, [1])), answers((CALL, 0, 2, [1]), level=99.0))
    told = pl.concat([one.with_columns(volume=pl.lit(volume)) for one, volume in zip(both, volumes, strict=True)])
    rows = lake(WHOLE[0], (1, 24_500, MISSING, LIVE), WHOLE[2])
    repaired = account(rows, told.cast(both[0].schema), scope()).filter(pl.col("account") == Account.REPAIRED)
    assert repaired["open"].to_list() == [level]


@pytest.mark.parametrize("told", [(), ((CALL, 0, 2, []),), ((CALL, 1, 1, [1]),)])
def test_what_was_not_recorded_is_unverified_whatever_else_is_said_and_not_asked_for(told) -> None:
    """A recorded silence of one minute, in which the volume grew; the put is silent for the same reason."""
    rows = lake(WHOLE[0], (1, 24_500, MISSING, MISSING), WHOLE[2])
    silences = answers((CALL, 1, 1, []), (PUT, 1, 1, []), origin=NOT_RECORDED)
    found = account(rows, pl.concat([silences, answers(*told)]), scope())
    day = summary(found, scope())
    assert ended(found)[1, CALL] == ended(found)[1, PUT] == Account.UNVERIFIED
    assert (day.unverified, day.not_recorded, day.complete, minutes_to_ask(found)) == (2, 2, False, {})
    assert "2 of 6 unverified (2 not recorded)" in day.line()
    assert day.counts()["unverified"] == day.counts()["open"] == 2


def closing(volume: int | None, stamp_minute: int = 376) -> pl.DataFrame:
    cells = {"exchange_time": minute(stamp_minute), "expiry": EXPIRY, "symbol": CALL, "volume": volume}
    return pl.DataFrame([cells], schema=lake_schema({name: CLOSING_COLUMNS[name] for name in cells}))


@pytest.mark.parametrize(
    ("volume", "seen", "state"),
    [
        # Its one candle holds 75 units; 2 per cent less than was traded are borne.
        (75, 0, Account.NO_TRADE),
        (76, 0, Account.NO_TRADE),
        (77, 0, Account.UNVERIFIED),
        (0, 0, Account.NO_TRADE),
        (5_000, 0, Account.UNVERIFIED),
        # Without a closing state the last quote says what was traded at least.
        (None, 75, Account.NO_TRADE),
        (None, 80, Account.UNVERIFIED),
        (75, 80, Account.NO_TRADE),
    ],
)
def test_a_contract_whose_candles_fall_short_of_its_volume_has_no_believed_silence(volume, seen, state) -> None:
    rows = lake(WHOLE[0], (1, 24_500, MISSING, LIVE), WHOLE[2]).with_columns(call_volume=pl.lit(seen, pl.Int64))
    told = answers((CALL, 0, 374, [2]))
    found = account_of(rows, told, scope(), closing(volume))
    day = summary(found, scope())
    assert (ended(found)[1, CALL], day.short) == (state, int(state is Account.UNVERIFIED))
    assert minutes_to_ask(found) == ({} if day.complete else {CALL: 1}), "asked again"
    assert ("hold less than was traded" in day.line()) is not day.complete


def test_a_shortfall_is_judged_where_the_whole_session_is_vouched_for_and_the_state_is_of_the_day() -> None:
    rows = lake(WHOLE[0], (1, 24_500, MISSING, LIVE), WHOLE[2])
    part, whole = answers((CALL, 0, 100, [2])), answers((CALL, 0, 374, [2]))
    for told, state in ((part, closing(5_000)), (whole, closing(5_000, stamp_minute=-60))):
        assert summary(account_of(rows, told, scope(), state), scope()).complete


def test_a_shortfall_is_judged_of_an_expiry_that_closes_before_the_session() -> None:
    early = replace(scope(), grid=Grid(OPEN, OPEN + 375 * MINUTE_MS, MINUTE_MS, {EXPIRY: OPEN + 360 * MINUTE_MS}))
    rows, told = lake(WHOLE[0], (1, 24_500, MISSING, LIVE), WHOLE[2]), answers((CALL, 0, 359, [2]))
    found = account_of(rows, told, early, closing(5_000))
    assert ended(found)[1, CALL] == Account.UNVERIFIED and summary(found, early).short == 1
