"""Repair after the close: gaps are filled from the broker's candles, once, the same bytes however often it dies."""

import json
from datetime import time
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import requests

from g6_core.adapters.candle_archive import CandleArchive, Question, read_answers
from g6_core.adapters.kite_history import CALL_INTERVAL_MS
from g6_core.adapters.lake import Lake, read_lake, remove_lake
from g6_core.adapters.world import Simulated, claim_answers, clear_collected, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at
from g6_core.schema.accounting import ANSWER_COLUMNS
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_core.sim.recorded import RecordedSource
from g6_pipelines.collection.accounting import minutes_to_ask
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.candles import UNVOUCHED, Part
from g6_pipelines.stages.prepare import store_dump
from g6_pipelines.stages.reconcile_candles import priced_by_candles, reconcile_candles
from g6_pipelines.stages.repair import GONE_NAMED_MAX, NOT_LISTED, windows
from tests.pipelines.collecting import narrowed, refusal
from tests.pipelines.evening import DAY, NAME, Evening, Fault, evening, live_through, no_history


def test_a_day_with_a_dead_collector_is_whole_after_the_repair(after: Evening) -> None:
    before = after.account()
    assert not before.complete and before.first_unverified is not None and before.first_unverified.endswith("10:00")
    lake = after.paths.lake(DAY, NAME).read_bytes()
    asked = after.repair()
    assert asked is not None
    found = after.account()
    assert found.complete and found.repaired > 0
    assert asked.reasons == {} and asked.calls == asked.answered
    checks = reconcile_candles(after.index_day)
    assert [one.passed for one in checks] == [True] * 4 and int(checks[1].figures["compared"]) > 300
    interest = checks[3]
    assert interest.name == "candle_open_interest" and "not compared" in interest.detail
    assert interest.figures == {"compared": 0, "differences": 0}
    assert priced_by_candles(after.index_day).passed
    assert after.paths.lake(DAY, NAME).read_bytes() == lake, "the lake holds what was seen, nothing else"


def test_repaired_minutes_are_what_the_market_did_with_open_interest_and_without_a_touch(after: Evening) -> None:
    assert after.repair() is not None
    rows = after.repaired().filter(pl.col("account") == "repaired")
    assert not {"bid", "ask", "iv"} & set(rows.columns)
    for row in rows.sample(5, seed=1).iter_rows(named=True):
        contract = next(one for one in after.source.instruments if one.tradingsymbol == row["symbol"])
        start = round(row["timestamp"].timestamp() * 1000)
        token = pl.Series([contract.token]).to_numpy()
        quotes = [after.source.quotes(token, start + second * SECOND_MS)[0] for second in range(60)]
        prices = [quote["ltp_paise"] / 100 for quote in quotes]
        assert row["close"] == prices[-1] and row["oi"] == quotes[-1]["oi"]
        assert min(prices) <= row["low"] <= row["high"] <= max(prices)


def test_calls_keep_to_three_a_second_and_one_a_contract(after: Evening) -> None:
    asked = after.repair()
    assert asked is not None
    times = after.wire.times_ms
    assert min(later - earlier for earlier, later in pairwise(times)) >= CALL_INTERVAL_MS
    answers = read_answers(after.paths.answers(DAY, NAME))
    assert answers["symbol"].n_unique() == len(times) == asked.calls


def test_asked_again_the_broker_hears_nothing_and_no_byte_changes(after: Evening) -> None:
    assert after.repair() is not None
    kept = [path.read_bytes() for path in (after.paths.answers(DAY, NAME), after.paths.repaired(DAY, NAME))]
    calls = len(after.wire.times_ms)
    assert calls > 0
    asked = after.repair()
    assert asked is not None and asked.calls == 0 and len(after.wire.times_ms) == calls
    assert [path.read_bytes() for path in (after.paths.answers(DAY, NAME), after.paths.repaired(DAY, NAME))] == kept


def test_killed_before_any_call_it_goes_on_and_ends_with_the_same_bytes(after: Evening) -> None:
    deaths = 0
    while after.repair(dies_after=len(after.wire.times_ms) + 2) is None:
        deaths += 1
        # Killed in the middle of a write: the last answer is torn.
        path = after.paths.answers(DAY, NAME)
        if deaths % 3 == 0:
            path.write_bytes(path.read_bytes()[:-40])
    torn = after.repaired().clear() if deaths == 0 else after.repaired()
    kept = after.paths.repaired(DAY, NAME).read_bytes()
    after.paths.answers(DAY, NAME).unlink()
    assert deaths > 3 and after.repair() is not None
    assert after.paths.repaired(DAY, NAME).read_bytes() == kept and len(torn)


@pytest.mark.parametrize("origin", ["kite", "recorded 7"])
def test_a_day_with_answers_of_the_first_version_is_read_and_repaired_anew(after: Evening, origin: str) -> None:
    """They name what was asked, not what they vouch for: a silence in them may be a recording's."""
    assert after.repair() is not None
    whole, path = after.account(), after.paths.answers(DAY, NAME)
    session = after.rules.session(DAY, "NFO")
    asked = {"from": session.open_ms, "to": session.close_ms - MINUTE_MS}
    old = read_lake(path).with_columns(
        *(pl.lit(time_ms).cast(pl.Datetime("ms", "UTC")).alias(name) for name, time_ms in asked.items()),
        origin=pl.lit(origin),
        answer_sha256="old " + pl.col("answer_sha256"),
    )
    # Every other candle lacks.
    rows = old.filter(pl.col("timestamp").dt.minute() % 2 == 0).rows()
    path.unlink()
    (path.parent / "_schema.json").unlink()
    with Lake.open(path, ANSWER_COLUMNS, 1) as lake:
        lake.append(rows)
    found = after.account()
    assert not found.complete and found.no_trade == 0 and (found.repaired > 0) is (origin == "kite")
    assert after.repair() is not None and after.account() == whole


def html(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    answer = refusal(request, 502, "", "")
    answer.headers["Content-Type"], answer._content = "text/html", b"<html>Bad gateway</html>"
    return answer


def foreign_minutes(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    answer = refusal(request, 200, "", "")
    answer._content = b'{"status":"success","data":{"candles":[["2025-08-28T09:15:00+0530",1,1,1,1,1,1]]}}'
    return answer


def no_candles_key(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    answer = refusal(request, 200, "", "")
    answer._content = b'{"status":"success","data":{}}'
    return answer


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (html, "Unknown Content-Type"),
        (foreign_minutes, "not asked for"),
        (no_candles_key, "odd reply"),
    ],
)
def test_what_the_broker_does_not_answer_stays_unverified_until_it_does(
    after: Evening, fault: Fault, said: str
) -> None:
    before = after.account()
    after.wire.fault = fault
    asked = after.repair()
    assert asked is not None
    assert after.account() == before
    assert said in " ".join(asked.reasons) and asked.answered == 0
    after.wire.fault = lambda request, number: None
    after.repair()
    assert after.account().complete


def test_a_history_that_is_away_in_the_evening_is_no_silence(after: Evening) -> None:
    """It answers with code 200 and no candles, as one in whose market nobody trades; then it is cut in the gap."""
    before = after.account()
    for fault in (no_history, lambda request: cut(after, request)):
        after.wire.fault = lambda request, number, fault=fault: fault(request)
        asked = after.repair()
        assert asked is not None and asked.reasons[UNVOUCHED] > 0
        day = after.account()
        assert (day.no_trade, day.complete) == (0, False)
    assert day.repaired > before.repaired == 0, "the candles that it has are kept"
    after.wire.fault = lambda request, number: None
    after.repair()
    assert after.account().complete
    calls = len(after.wire.times_ms)
    after.repair()
    assert len(after.wire.times_ms) == calls, "what is settled is not asked again"


def test_a_history_that_goes_away_in_the_middle_is_held_against_what_was_traded(after: Evening) -> None:
    """The index and the control are answered."""
    after.wire.fault = lambda request, number: no_history(request) if number > 1 else None
    assert after.repair() is not None
    day = after.account()
    assert not day.complete and day.short > 0 and "hold less than was traded" in day.line()
    after.wire.fault = lambda request, number: None
    after.repair()
    assert after.account().complete


def cut(after: Evening, request: requests.PreparedRequest) -> requests.Response:
    """A history that ends at twenty past ten."""
    answer = after.wire.inner.send(request)
    body = answer.json()
    body["data"]["candles"] = [one for one in body["data"]["candles"] if one[0][11:16] < "10:20"]
    answer._content = json.dumps(body).encode()
    return answer


@pytest.mark.parametrize(("cycles", "is_sound"), [(1, True), (12, False)])
def test_a_contract_that_is_priced_like_another_for_some_minutes_fails_the_chain(
    after: Evening, cycles: int, is_sound: bool
) -> None:
    """Of the busiest contract, in lake and CSV alike; a single stray price is named and stops nothing."""
    assert after.repair() is not None
    path = after.paths.lake(DAY, NAME)
    rows = read_lake(path)
    busiest = rows.sort("call_volume", descending=True, nulls_last=True)["call_symbol"][0]
    times = rows.filter((pl.col("call_symbol") == busiest) & (pl.col("call_status") == "live"))["timestamp"]
    strange = pl.col("timestamp").is_in(times[30 : 30 + cycles].implode()) & (pl.col("call_symbol") == busiest)
    priced = pl.when(strange).then(pl.col("call_ltp") * 0.3).otherwise("call_ltp").round(2).alias("call_ltp")
    changed = rows.with_columns(priced).with_columns(pl.col(pl.Datetime).dt.timestamp("ms"))
    remove_lake(path)
    with Lake.open(path, OPTION_COLUMNS) as lake:
        lake.append(changed.rows())
    found = priced_by_candles(after.index_day)
    assert found.passed is is_sound
    prices = reconcile_candles(after.index_day)[1]
    assert not prices.passed and f"{cycles} of" in prices.detail and busiest in prices.detail
    assert busiest in found.detail or is_sound


def test_before_the_close_nothing_is_a_gap(market, rules, small, holed: Path, tmp_path: Path) -> None:
    early = evening(market, rules, small, holed)
    with pytest.raises(DataError, match=r"2025-08-29 is not over for NIFTY; ask .* after 2025-08-29 15:30 \(IST\)"):
        early.repair()


def test_a_contract_that_is_not_listed_any_more_is_named_and_not_asked_for(after: Evening) -> None:
    asked = after.repair(InstrumentBook.of([]))
    assert asked is not None
    assert after.wire.times_ms == [] and not after.account().complete
    symbols = sorted(minutes_to_ask(account_day(after.index_day).minutes))
    said = {why.removesuffix(f" {NOT_LISTED}") for why in asked.reasons}
    assert said == {"NIFTY 50", *symbols[:GONE_NAMED_MAX], f"{len(symbols) - GONE_NAMED_MAX} more"}


def test_an_index_that_the_dump_lacks_is_named(after: Evening) -> None:
    for path in (after.paths.lake(DAY, NAME), after.paths.answers(DAY, NAME)):
        path.unlink(missing_ok=True)
    options = InstrumentBook.of(row for row in after.source.instruments if row.is_option)
    asked = after.repair(options)
    assert asked is not None and dict(asked.reasons) == {f"NIFTY 50 {NOT_LISTED}": 1}


def test_a_day_that_was_not_collected_is_backfilled_from_candles(market, rules, small, tmp_path: Path) -> None:
    found = evening(market, rules, narrowed(small, codes=("this_week",), offsets=(0, 0), interval_s=900), tmp_path)
    found.clock.sleep_until(market.session.close_ms)
    store_dump(found.kite, found.site, DAY, (NAME,))
    found.paths.instruments(DAY).rename(found.paths.root / "dump")
    found.paths.listed_later(DAY).parent.mkdir(parents=True)
    (found.paths.root / "dump").rename(found.paths.listed_later(DAY))
    assert found.repair() is not None
    day = found.account()
    assert (day.live, day.expected, day.complete) == (0, 25 * 2, True)
    assert day.repaired > 25


def test_a_simulated_day_that_is_made_anew_forgets_its_answers(after: Evening) -> None:
    assert after.repair() is not None
    made = Simulated("modelled", 7)
    mark_simulated(after.paths, DAY, made)
    clear_collected(after.paths, DAY, (NAME,), made)
    left = [path for path in (after.paths.root / "lake").rglob("*") if path.suffix in (".arrows", ".parquet")]
    assert left == []


def test_two_repairs_of_a_day_do_not_run_at_once(after: Evening) -> None:
    first = after.stage()
    next(first)
    with pytest.raises(DataError, match="another process"):
        next(after.stage())
    first.close()


REAL, MODELLED = None, Simulated("modelled", 7)


@pytest.mark.parametrize(
    ("collected_from", "asked", "refused"),
    [
        (REAL, REAL, None),
        (MODELLED, MODELLED, None),
        (REAL, MODELLED, "is from a real market; candles of modelled, seed 7"),
        (MODELLED, REAL, "is from modelled, seed 7; candles of a real market"),
        (MODELLED, Simulated("modelled", 8), "seed 8"),
        (MODELLED, Simulated("recorded", 7), "recorded"),
    ],
)
def test_a_day_is_completed_from_its_own_market_only(tmp_path: Path, collected_from, asked, refused) -> None:
    paths = DataPaths(tmp_path)
    paths.lake(DAY, NAME).parent.mkdir(parents=True)
    paths.lake(DAY, NAME).touch()
    if collected_from is not None:
        mark_simulated(paths, DAY, collected_from)
    if refused is None:
        claim_answers(paths, DAY, (NAME,), asked)
        return
    with pytest.raises(DataError, match=refused):
        claim_answers(paths, DAY, (NAME,), asked)


@pytest.mark.parametrize(
    ("days", "groups"),
    [((0,), [1]), ((0, 1, 2), [3]), ((0, 59), [2]), ((0, 60), [1, 1]), ((0, 30, 61, 90), [2, 2]), ((), [])],
)
def test_a_call_covers_as_many_days_as_a_window_allows(
    days: tuple[int, ...], groups: list[int], tmp_path: Path
) -> None:
    day_ms = 24 * 60 * MINUTE_MS
    with CandleArchive.open(tmp_path / "a.arrows") as archive:
        parts = [
            Part(archive, Question("A", 1, number * day_ms, number * day_ms + 5 * MINUTE_MS), 0)
            for number in reversed(days)
        ]
        found = windows(parts)
    assert [len(own) for _, own in found] == groups
    assert all((one.from_ms, one.to_ms) == (own[0].question.from_ms, own[-1].question.to_ms) for one, own in found)


@pytest.mark.slow
@pytest.mark.parametrize("until", [None, time(13, 30)])
def test_what_a_recording_does_not_hold_is_unverified_and_the_rest_is_accounted_for(
    shared_data: Path, rules: MarketRules, settings: Settings, tmp_path: Path, until: time | None
) -> None:
    """The silences are read off the file itself; the collector was away for a while in which the record was not."""
    path = shared_data / "nse-chain-20250829" / "NIFTY.parquet"
    rows = pl.read_parquet(path).filter(pl.col("coll_ts").dt.date() == DAY)
    if until is not None:
        rows = rows.filter(pl.col("coll_ts").dt.time() < until)
        path = tmp_path / "cut.parquet"
        rows.write_parquet(path)
    stamps = rows["coll_ts"].unique().sort().dt.replace_time_zone("Asia/Kolkata").dt.timestamp("ms").to_list()
    source = RecordedSource(path, rules, DAY, NAME, 7)
    chain = narrowed(settings, codes=("this_week",), offsets=(-1, 1), interval_s=60)
    found = evening(source, rules, chain, tmp_path / "data")
    away = at(DAY, time(12, 0)), at(DAY, time(12, 10))
    live_through(found, down=away)
    assert found.repair() is not None
    day = found.account()
    assert not day.complete
    assert f"{day.unverified:,} of {day.expected:,} unverified ({day.not_recorded:,} not recorded)" in day.line()
    assert day.unverified == day.not_recorded == day.expected - day.live - day.repaired - day.no_trade
    filled = found.repaired()["timestamp"].dt.timestamp("ms").unique().sort().to_list()
    assert [one for one in filled if away[0] <= one < away[1]] == list(range(*away, MINUTE_MS))
    silences = [(a, b) for a, b in pairwise([at(DAY, time(9, 15)), *stamps, at(DAY, time(15, 30))]) if b - a > 120_000]
    assert len(silences) >= 4
    assert not [one for one in filled for a, b in silences if one < b and one + MINUTE_MS > a]
    calls = len(found.wire.times_ms)
    assert found.repair() is not None and len(found.wire.times_ms) == calls, "what is not recorded is not asked again"
