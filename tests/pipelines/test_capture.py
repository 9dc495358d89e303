"""Capture before expiry: every strike that expires is kept with its whole history, or named as missing."""

import json
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import requests

from g6_core.adapters.candle_archive import CandleArchive, Question, read_answers
from g6_core.adapters.kite_history import Candle
from g6_core.adapters.kite_market import Market
from g6_core.adapters.lake import lake_schema
from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, at, ist_date
from g6_core.schema.accounting import NOT_RECORDED
from g6_core.schema.closing import CLOSING_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_core.sim.modelled import ModelledSource
from g6_core.site import Day, Site
from g6_pipelines.stages.capture import (
    CAPTURE_DAYS_MAX,
    Captured,
    answers_of,
    candles_follow,
    capture,
    captured,
    expiring,
    first_listed,
    in_order,
    publish,
    unanswered,
    whole_life,
)
from g6_pipelines.stages.prepare import store_dump
from tests.pipelines.evening import Evening, evening, no_history, too_many

NAME = "NIFTY"
EXPIRY = date(2026, 11, 23)
EXPIRY_MS = at(EXPIRY, time(16))
STRIKES = 3


@pytest.fixture(scope="module")
def market(rules: MarketRules) -> ModelledSource:
    return ModelledSource((NAME,), EXPIRY, rules, 7)


@pytest.fixture
def last_evening(market: ModelledSource, rules: MarketRules, settings: Settings, tmp_path: Path) -> Evening:
    """After the close of an expiry day, with a dump of three strikes so that it takes little time."""
    found = evening(market, rules, settings, tmp_path)
    # A modelled market has this day only.
    mark_simulated(found.paths, EXPIRY, Simulated(market.label, 7))
    store_dump(found.kite, found.site, EXPIRY, (NAME,))
    path = found.paths.instruments(EXPIRY)
    strikes = market.instruments.strikes(NAME, EXPIRY)
    middle = [strike / 100 for strike in strikes[len(strikes) // 2 :][:STRIKES]]
    dump = pl.read_parquet(path)
    keep = (pl.col("expiry") != EXPIRY) | pl.col("expiry").is_null() | pl.col("strike").is_in(middle)
    dump.filter(keep).write_parquet(path)
    found.clock.sleep_until(market.session.close_ms)
    return found


def listed(found: Evening) -> InstrumentBook:
    from g6_core.adapters.instrument_store import load_book

    return load_book(found.paths.instruments(EXPIRY), found.rules, (NAME,))


def kept_of(found: Evening) -> Captured:
    kept = captured(found.index_day)
    assert kept is not None
    return kept


def run(found: Evening, book: InstrumentBook | None = None, *, calls: int | None = None) -> None:
    """Drive the stage, or kill it before it makes more than that many calls."""
    market, book = Market(found.kite, found.clock), listed(found) if book is None else book
    stage = capture(market, found.index_day, book, "sim")
    for wake_ms in stage:
        if calls is not None and len(found.wire.times_ms) >= calls:
            stage.close()
            return
        found.clock.sleep_until(wake_ms)


def test_every_strike_that_expires_is_kept_with_its_minutes_and_the_dump(last_evening: Evening) -> None:
    run(last_evening)
    kept = kept_of(last_evening)
    assert (kept.contracts, kept.missing, kept.traded) == (2 * STRIKES, (), 2 * STRIKES)
    folder = last_evening.paths.expired(NAME, EXPIRY)
    candles = pl.read_parquet(folder / "candles.parquet")
    assert len(candles) == kept.candles > 300
    assert candles.group_by("strike", "side").len().height == 2 * STRIKES
    assert candles["oi"].null_count() == 0
    assert (folder / "dump.parquet").read_bytes() == last_evening.paths.instruments(EXPIRY).read_bytes()


def test_a_strike_that_was_not_answered_is_named(last_evening: Evening) -> None:
    refused = expiring(listed(last_evening), last_evening.index_day)[:2]

    def some(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        return too_many(request, number) if any(f"/{row.token}/" in str(request.url) for row in refused) else None

    last_evening.wire.fault = some
    run(last_evening)
    assert kept_of(last_evening).missing == tuple(row.tradingsymbol for row in refused)


def test_killed_and_run_again_it_asks_only_for_the_rest_and_ends_with_the_same_bytes(last_evening: Evening) -> None:
    run(last_evening, calls=3)
    run(last_evening)
    path = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"
    asked = len(last_evening.wire.times_ms)
    assert asked <= 2 * STRIKES + 1, "each once, and the control of the second run"
    kept = path.read_bytes()
    run(last_evening)
    assert len(last_evening.wire.times_ms) == asked and path.read_bytes() == kept
    answers_of(last_evening.index_day).unlink()
    run(last_evening)
    assert path.read_bytes() == kept


def test_a_broker_that_refuses_leaves_everything_missing(last_evening: Evening) -> None:
    last_evening.wire.fault = too_many
    run(last_evening)
    assert len(kept_of(last_evening).missing) == 2 * STRIKES


@pytest.mark.parametrize("away", [2, 10_000])
def test_a_history_without_one_candle_is_no_answer(last_evening: Evening, away: int) -> None:
    """The broker's history is away for the first calls, or all the time; who is asked then is asked again."""
    last_evening.wire.fault = lambda request, number: no_history(request) if number < away else None
    run(last_evening)
    kept = kept_of(last_evening)
    assert kept.contracts == 2 * STRIKES and len(kept.missing) == min(away, 2 * STRIKES)
    last_evening.wire.fault = lambda request, number: None
    run(last_evening)
    assert (kept_of(last_evening).missing, kept_of(last_evening).traded) == ((), 2 * STRIKES)


def closing(paths: DataPaths, day: date, volumes: dict[str, int], stamp: time = time(15, 41)) -> None:
    """Write the closing state of a day."""
    stamp_ms = at(day, stamp)
    path = paths.closing(day, NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"timestamp": stamp_ms, "exchange_time": stamp_ms, "expiry": day, "symbol": symbol, "volume": volume}
        for symbol, volume in volumes.items()
    ]
    pl.DataFrame(rows, schema=lake_schema(CLOSING_COLUMNS)).write_parquet(path)


def traded(found: Evening) -> dict[str, int]:
    """What was traded of each contract that expires."""
    contracts = expiring(listed(found), found.index_day)
    tokens = np.array([row.token for row in contracts], np.int64)
    volumes = found.source.quotes(tokens, found.source.session.close_ms)["volume"]
    return {row.tradingsymbol: int(volume) for row, volume in zip(contracts, volumes, strict=True)}


@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_an_answer_of_less_than_was_traded_is_named_and_asked_again(last_evening: Evening, damage: str) -> None:
    wire, volumes = last_evening.wire, traded(last_evening)
    victim = min(volumes, key=lambda symbol: volumes[symbol])
    closing(last_evening.paths, EXPIRY, volumes)
    token = next(row.token for row in listed(last_evening) if row.tradingsymbol == victim)

    def cut(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        if f"/{token}/" not in str(request.url):
            return None
        answer = wire.inner.send(request)
        body = answer.json()
        del body["data"]["candles"][0 if damage == "empty" else 100 :]
        answer._content = json.dumps(body).encode()
        return answer

    wire.fault = cut
    run(last_evening)
    assert (kept_of(last_evening).missing, kept_of(last_evening).short) == ((), (victim,))
    kept, calls = answers_of(last_evening.index_day).read_bytes(), len(wire.times_ms)
    run(last_evening)
    # With its control; the second time of the same answer nothing more is kept.
    assert len(wire.times_ms) == calls + 2
    assert answers_of(last_evening.index_day).read_bytes() == kept
    wire.fault = lambda request, number: None
    run(last_evening)
    assert (kept_of(last_evening).missing, kept_of(last_evening).short) == ((), ())
    run(last_evening)
    assert len(wire.times_ms) == calls + 4


def test_a_control_comes_first_and_only_where_something_is_asked(last_evening: Evening) -> None:
    contracts = expiring(listed(last_evening), last_evening.index_day)
    life = whole_life(last_evening.index_day, contracts)
    closing(last_evening.paths, EXPIRY, {contracts[3].tradingsymbol: 900, contracts[1].tradingsymbol: 5})
    state = pl.read_parquet(last_evening.paths.closing(EXPIRY, NAME))
    assert in_order(life, set(), state) == []
    assert in_order(life, {life[0], life[3]}, state) == [life[3], life[0]]
    assert in_order(life, {life[0]}, state.clear())[0] == life[STRIKES]


def test_a_question_is_answered_when_no_minute_of_it_is_left(tmp_path: Path) -> None:
    minute = 60_000
    one, other = Question("A", 1, 0, 9 * minute), Question("A", 1, 10 * minute, 19 * minute)
    with CandleArchive.open(tmp_path / "a.arrows") as archive:
        for first, last, origin in ((5, 9, "sim"), (0, 4, NOT_RECORDED), (10, 18, "sim")):
            archive.add([(Question("A", 1, first * minute, last * minute), (), origin)], 0)
    answers = read_answers(tmp_path / "a.arrows")
    assert unanswered([one, other], answers) == [other]
    assert unanswered([one, other], answers.clear()) == [one, other]


@pytest.mark.parametrize("dump", ["gone", "without the expiry"])
def test_an_expiry_of_the_rules_without_its_strikes_in_a_dump_of_the_day_is_missing(
    last_evening: Evening, dump: str
) -> None:
    path = last_evening.paths.instruments(EXPIRY)
    if dump == "gone":
        path.unlink()
    else:
        rows = pl.read_parquet(path)
        rows.filter(pl.col("expiry").is_null() | (pl.col("expiry") != EXPIRY)).write_parquet(path)
    kept = captured(last_evening.index_day)
    assert kept is not None and len(kept.missing) == 1
    assert ("was not kept" if dump == "gone" else "lists none of them") in kept.missing[0]


def test_on_another_day_nothing_expires(last_evening: Evening) -> None:
    path = last_evening.paths.instruments(EXPIRY)
    path.rename(last_evening.paths.instruments(EXPIRY - timedelta(days=1)))
    assert captured(replace(last_evening.index_day, date=EXPIRY - timedelta(days=1))) is None


def test_before_the_close_it_is_refused(market, rules, settings, tmp_path: Path) -> None:
    early = evening(market, rules, settings, tmp_path)
    with pytest.raises(DataError, match="not over"):
        run(early, market.instruments)


@pytest.mark.parametrize(
    ("expiry", "earliest", "latest"),
    [
        # A weekly is listed some weeks before, a monthly three months; half-yearlies are cut off.
        (date(2026, 11, 9), date(2026, 9, 20), date(2026, 10, 25)),
        (date(2026, 11, 23), date(2026, 8, 1), date(2026, 9, 1)),
        # Listed for the 31st until a holiday was announced.
        (date(2026, 3, 30), date(2026, 3, 30) - timedelta(days=CAPTURE_DAYS_MAX), date(2025, 11, 1)),
        (date(2026, 6, 30), date(2026, 6, 30) - timedelta(days=CAPTURE_DAYS_MAX), date(2026, 1, 10)),
    ],
)
def test_the_history_begins_where_the_rules_list_the_expiry(rules: MarketRules, expiry, earliest, latest) -> None:
    assert earliest <= first_listed(rules, NAME, expiry) <= latest


def test_a_file_that_is_gone_is_made_again_from_the_answers(last_evening: Evening) -> None:
    run(last_evening)
    path = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"
    whole = path.read_bytes()
    path.unlink()
    publish(last_evening.index_day)
    assert path.read_bytes() == whole


def test_questions_cover_the_whole_life_in_windows_of_sixty_days(
    market, settings, rules: MarketRules, tmp_path: Path
) -> None:
    day = Day(Site(settings, rules, DataPaths(tmp_path)), EXPIRY, NAME)
    found = whole_life(day, expiring(market.instruments, day)[:1])
    assert ist_date(found[0].from_ms) == first_listed(rules, NAME, EXPIRY)
    assert found[-1].to_ms == rules.session(EXPIRY, "NFO", EXPIRY).close_ms - MINUTE_MS
    assert len(found) == 2 and found[1].from_ms == found[0].to_ms + MINUTE_MS
    assert all(one.to_ms - one.from_ms < 60 * 24 * 60 * MINUTE_MS for one in found)


def test_candles_that_were_changed_do_not_follow_from_the_answers(last_evening: Evening) -> None:
    run(last_evening)
    answers = read_answers(answers_of(last_evening.index_day))
    path = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"

    def follows() -> bool:
        return candles_follow(last_evening.index_day, answers)

    assert follows()
    sound = pl.read_parquet(path)
    sound.with_columns(pl.col("close") + 0.05).write_parquet(path)
    assert not follows()
    path.write_bytes(b"torn")
    assert not follows()
    path.unlink()
    assert not follows()


def test_a_contract_that_closes_before_the_session_is_held_against_its_volume(
    rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    """From December 2026 an expiring contract stops at 15:30, the others at 15:45."""
    day = date(2026, 12, 8)
    found = evening(ModelledSource((NAME,), day, rules, 7), rules, settings, tmp_path)
    mark_simulated(found.paths, day, Simulated("modelled", 7))
    store_dump(found.kite, found.site, day, (NAME,))
    (life,) = whole_life(found.index_day, expiring(found.source.instruments, found.index_day)[:1])
    candle = Candle(at(day, time(11)), 10.0, 10.0, 10.0, 10.0, 1, 75)
    with CandleArchive.open(answers_of(found.index_day)) as archive:
        archive.add([(life, (candle,), "sim")], 0)
    closing(found.paths, day, {life.symbol: 1_000_000}, time(15, 46))
    kept = captured(found.index_day)
    assert kept is not None and kept.short == (life.symbol,) and life.symbol not in kept.missing
