"""Capture before expiry: every strike that expires is kept with its whole history, or named as missing."""

import json
from datetime import date, time, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl
import pytest
import requests

from g6_core.adapters.candle_archive import CandleArchive, read_answers
from g6_core.adapters.kite_history import Candle
from g6_core.adapters.lake import Lake, lake_schema
from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, at, ist_date
from g6_core.schema.closing import CLOSING_COLUMNS
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_core.sim.modelled import ModelledSource
from g6_pipelines.stages.capture import (
    CAPTURE_DAYS_MAX,
    answers_of,
    candles_follow,
    capture,
    captured,
    days_again,
    expiring,
    first_listed,
    remake,
    seen_volumes,
    unanswered,
    whole_life,
)
from g6_pipelines.stages.prepare import store_dump
from tests.pipelines.evening import Evening, evening, no_history, too_many

NAME = "NIFTY"
EXPIRY = date(2026, 11, 23)
EXPIRY_MS = at(EXPIRY, time(16))
STRIKES = 3
NOTHING_LACKS = pl.DataFrame(schema={"symbol": pl.String, "day": pl.Date})
# A monthly is listed for three months: two windows a contract. The market of these tests has one day, so the first
# window of each is silent and has to be said again, between two questions to one that was traded to the end.
CALLS = 2 * 2 * STRIKES + 2 * STRIKES + 2


@pytest.fixture(scope="module")
def market(rules: MarketRules) -> ModelledSource:
    return ModelledSource((NAME,), EXPIRY, rules, 7)


@pytest.fixture
def last_evening(market: ModelledSource, rules: MarketRules, settings: Settings, tmp_path: Path) -> Evening:
    """After the close of an expiry day, with a dump of three strikes so that it takes little time."""
    found = evening(market, rules, settings, tmp_path)
    # A modelled market has this day only.
    mark_simulated(found.paths, EXPIRY, Simulated(market.label, 7))
    store_dump(found.kite, rules, found.paths, EXPIRY, (NAME,))
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


def run(found: Evening, book: InstrumentBook | None = None, *, calls: int | None = None) -> None:
    """Drive the stage, or kill it before it makes more than that many calls."""
    stage = capture(
        found.kite, found.clock, found.rules, found.paths, EXPIRY, NAME, listed(found) if book is None else book, "sim"
    )
    for wake_ms in stage:
        if calls is not None and len(found.wire.times_ms) >= calls:
            stage.close()
            return
        found.clock.sleep_until(wake_ms)


def test_every_strike_that_expires_is_kept_with_its_minutes_and_the_dump(last_evening: Evening) -> None:
    run(last_evening)
    kept = captured(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert kept is not None
    assert (kept.contracts, kept.missing, kept.traded) == (2 * STRIKES, (), 2 * STRIKES)
    folder = last_evening.paths.expired(NAME, EXPIRY)
    candles = pl.read_parquet(folder / "candles.parquet")
    assert len(candles) == kept.candles > 300
    assert candles.group_by("strike", "side").len().height == 2 * STRIKES
    assert candles["oi"].null_count() == 0
    assert (folder / "dump.parquet").read_bytes() == last_evening.paths.instruments(EXPIRY).read_bytes()


def test_a_strike_that_was_not_answered_is_named(last_evening: Evening) -> None:
    refused = expiring(listed(last_evening), NAME, EXPIRY)[:2]

    def some(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        return too_many(request, number) if any(f"/{row.token}/" in str(request.url) for row in refused) else None

    last_evening.wire.fault = some
    run(last_evening)
    kept = captured(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert kept is not None and kept.missing == tuple(row.tradingsymbol for row in refused)


def test_killed_and_run_again_it_asks_only_for_the_rest_and_ends_with_the_same_bytes(last_evening: Evening) -> None:
    run(last_evening, calls=5)
    run(last_evening)
    path = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"
    # Two were traded to the end; what was silent nobody had confirmed.
    asked = 5 + CALLS - 2
    assert len(last_evening.wire.times_ms) == asked
    kept = path.read_bytes()
    run(last_evening)
    assert len(last_evening.wire.times_ms) == asked and path.read_bytes() == kept
    answers_of(last_evening.paths, NAME, EXPIRY).unlink()
    run(last_evening)
    assert path.read_bytes() == kept


def test_a_history_that_does_not_go_back_to_the_listing_is_kept_and_no_answer(last_evening: Evening) -> None:
    """A real broker: the index has no candle on the first day of the older window, so nobody's silence there counts."""
    paths, rules, index = last_evening.paths, last_evening.rules, listed(last_evening).index(NAME)
    paths.simulated.unlink()
    assert index is not None
    known_from = str(EXPIRY - timedelta(days=60))

    def told(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        """The index was at one rupee on every day that is known."""
        start = parse_qs(urlsplit(str(request.url)).query)["from"][0][:10]
        if f"/{index.token}/" not in str(request.url) or start < known_from:
            return None
        answer = no_history(request)
        candle = [f"{start}T09:15:00+0530", 1.0, 1.0, 1.0, 1.0, 0, 0]
        answer._content = json.dumps({"status": "success", "data": {"candles": [candle]}}).encode()
        return answer

    last_evening.wire.fault = told
    run(last_evening)
    kept = captured(paths, rules, EXPIRY, NAME)
    assert kept is not None and len(kept.missing) == kept.contracts and kept.candles > 300
    known_from = ""
    run(last_evening)
    again = captured(paths, rules, EXPIRY, NAME)
    assert again is not None and (again.missing, again.candles) == ((), kept.candles)
    calls = len(last_evening.wire.times_ms)
    run(last_evening)
    assert len(last_evening.wire.times_ms) == calls


def test_a_broker_that_refuses_leaves_everything_missing(last_evening: Evening) -> None:
    last_evening.wire.fault = too_many
    run(last_evening)
    kept = captured(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert kept is not None and len(kept.missing) == kept.contracts


@pytest.mark.parametrize("away", [8, 10_000])
def test_a_history_without_one_candle_is_no_answer(last_evening: Evening, away: int) -> None:
    """The broker's history is away for the first calls, or all the time."""
    last_evening.wire.fault = lambda request, number: no_history(request) if number < away else None
    run(last_evening)
    kept = captured(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert kept is not None and kept.contracts == 2 * STRIKES
    assert (len(kept.missing), kept.traded) == ((2 * STRIKES, 0) if away > CALLS else (0, 2 * STRIKES))
    last_evening.wire.fault = lambda request, number: None
    run(last_evening)
    kept = captured(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert kept is not None and (kept.missing, kept.traded) == ((), 2 * STRIKES)


def closing(paths: DataPaths, day: date, volumes: dict[str, int], stamp: time = time(15, 41)) -> None:
    """Write the closing state of a day."""
    stamp_ms = at(day, stamp)
    path = paths.closing(day, NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"timestamp": stamp_ms, "exchange_time": stamp_ms, "index": NAME, "symbol": symbol, "volume": volume}
        for symbol, volume in volumes.items()
    ]
    pl.DataFrame(rows, schema=lake_schema(CLOSING_COLUMNS)).write_parquet(path)


def lake(paths: DataPaths, volumes: dict[str, int]) -> None:
    """Write two cycles of a lake in which these contracts were seen."""
    nothing = dict.fromkeys(OPTION_COLUMNS)
    rows = [
        {**nothing, "timestamp": at(EXPIRY, when), "index": NAME, "call_symbol": symbol, "call_status": "live",
         "call_volume": volume // part}
        for when, part in ((time(10), 2), (time(11), 1)) for symbol, volume in volumes.items()
    ]  # fmt: skip
    with Lake.open(paths.lake(EXPIRY, NAME), OPTION_COLUMNS) as opened:
        opened.append([tuple(row.values()) for row in rows])


def traded(found: Evening) -> dict[str, int]:
    """What was traded of each contract that expires."""
    contracts = expiring(listed(found), NAME, EXPIRY)
    tokens = np.array([row.token for row in contracts], np.int64)
    volumes = found.source.quotes(tokens, found.source.session.close_ms)["volume"]
    return {row.tradingsymbol: int(volume) for row, volume in zip(contracts, volumes, strict=True)}


@pytest.mark.parametrize("evidence", ["closing", "lake"])
@pytest.mark.parametrize("damage", ["empty", "cut", "one minute is less"])
def test_an_answer_of_less_than_was_traded_is_named_and_asked_again(
    last_evening: Evening, evidence: str, damage: str
) -> None:
    wire, paths, rules = last_evening.wire, last_evening.paths, last_evening.rules
    volumes = traded(last_evening)
    victim = sorted(volumes)[2]
    assert min(volumes.values()) > 0
    if evidence == "closing":
        closing(paths, EXPIRY, volumes)
    else:
        lake(paths, volumes)
    token = next(row.token for row in listed(last_evening) if row.tradingsymbol == victim)

    def cut(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        if f"/{token}/" not in str(request.url):
            return None
        answer = wire.inner.send(request)
        body = answer.json()
        candles = body["data"]["candles"]
        if damage == "one minute is less" and candles:
            biggest = max(candles, key=lambda one: one[5])
            biggest[5] //= 2
        else:
            del candles[0 if damage == "empty" else 100 :]
        answer._content = json.dumps(body).encode()
        return answer

    wire.fault = cut
    run(last_evening)
    found = captured(paths, rules, EXPIRY, NAME)
    assert found is not None
    assert (found.missing, found.short) == (((victim,), ()) if damage == "empty" else ((), (victim,)))
    run(last_evening)
    # The day is asked for alone now, and the second time of the same answer nothing more is kept.
    calls = len(wire.times_ms)
    assert captured(paths, rules, EXPIRY, NAME) == found
    kept = answers_of(paths, NAME, EXPIRY).read_bytes()
    run(last_evening)
    assert len(wire.times_ms) == calls + 1 and answers_of(paths, NAME, EXPIRY).read_bytes() == kept
    wire.fault = lambda request, number: None
    run(last_evening)
    found = captured(paths, rules, EXPIRY, NAME)
    assert found is not None and (found.missing, found.short, found.traded) == ((), (), 2 * STRIKES)
    run(last_evening)
    assert len(wire.times_ms) == calls + 2


def test_a_damaged_file_of_another_day_bears_no_witness_and_keeps_nothing_from_being_asked(
    last_evening: Evening,
) -> None:
    paths, rules = last_evening.paths, last_evening.rules
    for path in (paths.lake(date(2026, 11, 19), NAME), paths.closing(date(2026, 11, 20), NAME)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"torn")
    closing(paths, EXPIRY, traded(last_evening))
    run(last_evening)
    paths.simulated.unlink()
    found = captured(paths, rules, EXPIRY, NAME)
    assert found is not None
    assert (found.missing, found.short, found.traded) == ((), (), 2 * STRIKES)
    assert ["2026-11-19" in found.unread[0], "2026-11-20" in found.unread[1]] == [True, True]


def test_what_lacks_a_day_is_asked_for_that_day(market, rules: MarketRules, tmp_path: Path) -> None:
    contracts = expiring(market.instruments, NAME, EXPIRY)[:1]
    whole = whole_life(contracts, rules, NAME, EXPIRY)
    assert unanswered(whole, read_answers(tmp_path / "none")) == whole
    candle = Candle(whole[0].from_ms, 10.0, 10.0, 10.0, 10.0, 75, 0)
    with CandleArchive.open(tmp_path / "answers.arrows") as archive:
        for one in whole:
            archive.add(one, [candle], EXPIRY_MS, "sim")
    answers = read_answers(tmp_path / "answers.arrows")
    assert (unanswered(whole, answers), days_again(whole, NOTHING_LACKS)) == ([], [])
    days = [date(2026, 11, 18), date(2026, 11, 20)]
    lacking = pl.DataFrame({"symbol": [contracts[0].tradingsymbol] * 2, "day": days})
    (again,) = days_again(whole, lacking)
    assert (again.from_ms, again.to_ms) == (at(days[0], time()), at(days[1], time(23, 59)))


def test_every_day_of_a_real_market_bears_witness_and_of_a_simulated_one_its_own(
    last_evening: Evening,
) -> None:
    paths, rules, before = last_evening.paths, last_evening.rules, date(2026, 11, 20)
    paths.simulated.unlink()
    closing(paths, EXPIRY, {"A": 200})
    closing(paths, before, {"A": 100, "B": 5})
    # Asked on the 20th, and not quoted since the day before.
    closing(paths, date(2026, 11, 19), {"A": 50})
    closing(paths, date(2026, 11, 18), {"A": 40}, stamp=time())
    path = paths.closing(date(2026, 11, 18), NAME)
    pl.read_parquet(path).with_columns(pl.col("exchange_time") - pl.duration(minutes=1)).write_parquet(path)

    def seen() -> list[tuple[str, int, date]]:
        return sorted(seen_volumes(paths, rules, EXPIRY, NAME).volumes.rows())

    both = [("A", 50, date(2026, 11, 19)), ("A", 100, before), ("A", 200, EXPIRY), ("B", 5, before)]
    assert seen() == both
    mark_simulated(paths, before, Simulated("modelled", 7))
    assert seen() == [both[0], both[2]]
    mark_simulated(paths, EXPIRY, Simulated("modelled", 7))
    assert seen() == [both[2]]


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
    kept = captured(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert kept is not None and len(kept.missing) == 1
    assert ("was not kept" if dump == "gone" else "lists none of them") in kept.missing[0]


@pytest.mark.parametrize("content", [None, b""])
def test_a_file_that_is_gone_or_empty_is_made_again_from_the_answers(last_evening: Evening, content) -> None:
    run(last_evening)
    path = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    remake(last_evening.paths, last_evening.rules, EXPIRY, NAME)
    assert path.read_bytes() == whole


def test_on_another_day_nothing_expires(last_evening: Evening) -> None:
    path = last_evening.paths.instruments(EXPIRY)
    path.rename(last_evening.paths.instruments(EXPIRY - timedelta(days=1)))
    assert captured(last_evening.paths, last_evening.rules, EXPIRY - timedelta(days=1), NAME) is None


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


def test_questions_cover_the_whole_life_in_windows_of_sixty_days(market, rules: MarketRules, tmp_path: Path) -> None:
    contracts = expiring(market.instruments, NAME, EXPIRY)[:1]
    found = whole_life(contracts, rules, NAME, EXPIRY)
    assert ist_date(found[0].from_ms) == first_listed(rules, NAME, EXPIRY)
    assert found[-1].to_ms == rules.session(EXPIRY, "NFO", EXPIRY).close_ms - MINUTE_MS
    assert len(found) == 2 and found[1].from_ms == found[0].to_ms + MINUTE_MS
    assert all(one.to_ms - one.from_ms < 60 * 24 * 60 * MINUTE_MS for one in found)


def test_candles_that_were_changed_do_not_follow_from_the_answers(last_evening: Evening) -> None:
    run(last_evening)
    answers = read_answers(answers_of(last_evening.paths, NAME, EXPIRY))
    path = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"

    def follows() -> bool:
        return candles_follow(last_evening.paths, last_evening.rules, EXPIRY, NAME, answers)

    assert follows()
    sound = pl.read_parquet(path)
    sound.with_columns(pl.col("close") + 0.05).write_parquet(path)
    assert not follows()
    path.write_bytes(b"torn")
    assert not follows()
    path.unlink()
    assert not follows()
