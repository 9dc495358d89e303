"""Repair after the close: gaps are filled from the broker's candles, once, the same bytes however often it dies."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import requests

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.kite_history import CALL_INTERVAL_MS
from g6_core.adapters.world import Simulated, claim_answers, clear_collected, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_core.sim.recorded import RecordedSource
from g6_pipelines.collection.accounting import Gap, open_minutes
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.prepare import store_dump
from g6_pipelines.stages.repair import GONE_NAMED_MAX, NOT_LISTED, windows
from tests.pipelines.collecting import narrowed, refusal
from tests.pipelines.evening import DAY, NAME, Evening, Fault, evening, live_through, too_many


def test_a_day_with_a_dead_collector_is_whole_after_the_repair(after: Evening) -> None:
    before = after.account()
    assert not before.complete and before.first_open is not None and before.first_open.endswith("10:00")
    lake = after.paths.lake(DAY, NAME).read_bytes()
    report = after.repair()
    assert report is not None
    found = after.account()
    assert found.complete and found.repaired > 0
    assert (report.before[DAY], report.after[DAY]) == (before, found)
    assert report.asked.reasons == {} and report.asked.calls == report.asked.answered
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
    report = after.repair()
    assert report is not None
    times = after.wire.times_ms
    assert min(later - earlier for earlier, later in pairwise(times)) >= CALL_INTERVAL_MS
    answers = read_answers(after.paths.answers(DAY, NAME))
    assert answers["symbol"].n_unique() == len(times) == report.asked.calls


def test_asked_again_the_broker_hears_nothing_and_no_byte_changes(after: Evening) -> None:
    assert after.repair() is not None
    kept = [path.read_bytes() for path in (after.paths.answers(DAY, NAME), after.paths.repaired(DAY, NAME))]
    calls = len(after.wire.times_ms)
    assert calls > 0
    report = after.repair()
    assert report is not None and report.asked.calls == 0 and len(after.wire.times_ms) == calls
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


def html(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    answer = refusal(request, 502, "", "")
    answer.headers["Content-Type"], answer._content = "text/html", b"<html>Bad gateway</html>"
    return answer


def expired_token(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    return refusal(request, 403, "TokenException", "Incorrect `api_key` or `access_token`.")


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
        (too_many, "Too many requests"),
        (html, "Unknown Content-Type"),
        (expired_token, "access_token"),
        (foreign_minutes, "not asked for"),
        (no_candles_key, "odd reply"),
    ],
)
def test_what_the_broker_does_not_answer_stays_open_until_it_does(after: Evening, fault: Fault, said: str) -> None:
    before = after.account()
    after.wire.fault = fault
    report = after.repair()
    assert report is not None
    assert after.account() == before
    assert said in " ".join(report.asked.reasons) and report.asked.answered == 0
    assert report.asked.calls <= 3 + 2 * 5 * 3, "a broker that refuses everything is left in peace"
    after.wire.fault = lambda request, number: None
    after.repair()
    assert after.account().complete


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (slice(0, 6), (403, "PermissionException", "Insufficient permission for that call.")),
        (slice(0, 6), (400, "InputException", "invalid token")),
        # As many at each end as are taken for the broker's word on everything.
        (slice(-5, 5), (400, "InputException", "invalid token")),
    ],
)
def test_contracts_that_are_always_refused_keep_no_other_from_being_asked_for(
    after: Evening, places: slice, said: tuple[int, str, str]
) -> None:
    symbols = sorted(open_minutes(account_day(after.paths, after.settings, after.rules, DAY, NAME).minutes))
    by_name = {row.tradingsymbol: row.token for row in after.source.instruments}
    chosen = symbols[places] or symbols[places.start :] + symbols[: places.stop]
    refused = [str(by_name[symbol]) for symbol in chosen]

    def some(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        if any(f"/{token}/" in str(request.url) for token in refused):
            return refusal(request, *said)
        return None

    after.wire.fault = some
    report = after.repair()
    assert report is not None
    left = set(open_minutes(account_day(after.paths, after.settings, after.rules, DAY, NAME).minutes))
    assert left <= set(chosen) and report.asked.answered >= len(symbols) - len(chosen) > 0


def test_a_passing_refusal_costs_a_call_and_no_minute(after: Evening) -> None:
    after.wire.fault = lambda request, number: too_many(request, number) if number % 3 == 0 else None
    report = after.repair()
    assert report is not None and report.asked.reasons == {}
    assert after.account().complete


def test_before_the_close_nothing_is_a_gap(market, rules, small, holed: Path, tmp_path: Path) -> None:
    early = evening(market, rules, small, holed)
    with pytest.raises(DataError, match=r"2025-08-29 is not over for NIFTY; ask .* after 2025-08-29 15:30 \(IST\)"):
        early.repair()


def test_a_contract_that_is_not_listed_any_more_is_named_and_not_asked_for(after: Evening) -> None:
    report = after.repair(InstrumentBook.of([]))
    assert report is not None
    assert after.wire.times_ms == [] and not after.account().complete
    symbols = sorted(open_minutes(account_day(after.paths, after.settings, after.rules, DAY, NAME).minutes))
    said = {why.removesuffix(f" {NOT_LISTED}") for why in report.asked.reasons}
    assert said == {"NIFTY 50", *symbols[:GONE_NAMED_MAX], f"{len(symbols) - GONE_NAMED_MAX} more"}


def test_an_index_that_the_dump_lacks_is_named(after: Evening) -> None:
    for path in (after.paths.lake(DAY, NAME), after.paths.answers(DAY, NAME)):
        path.unlink(missing_ok=True)
    options = InstrumentBook.of(row for row in after.source.instruments if row.is_option)
    report = after.repair(options)
    assert report is not None and dict(report.asked.reasons) == {f"NIFTY 50 {NOT_LISTED}": 1}


def test_a_day_that_was_not_collected_is_backfilled_from_candles(market, rules, small, tmp_path: Path) -> None:
    found = evening(market, rules, narrowed(small, codes=("this_week",), offsets=(0, 0), interval_s=900), tmp_path)
    found.clock.sleep_until(market.session.close_ms)
    store_dump(found.kite, rules, found.paths, DAY, (NAME,))
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
def test_a_call_covers_as_many_days_as_a_window_allows(days: tuple[int, ...], groups: list[int]) -> None:
    day_ms = 24 * 60 * MINUTE_MS
    spans = [
        (DAY, Gap("A", number * day_ms, number * day_ms + 5 * MINUTE_MS, 6, number * day_ms, None))
        for number in reversed(days)
    ]
    assert [len(group) for group in windows(spans)] == groups


def test_the_recorded_day_is_accounted_for_to_the_minute(
    shared_data: Path, rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    """33 of its 375 minutes have no snapshot; the exchange that replays it has candles for a few of them."""
    path = shared_data / "nse-chain-20250829" / "NIFTY.parquet"
    source = RecordedSource(path, rules, DAY, NAME, 7)
    chain = narrowed(settings, codes=("this_week",), offsets=(-1, 1), interval_s=60)
    found = evening(source, rules, chain, tmp_path)
    live_through(found)
    before = found.account()
    assert (before.expected - before.live, len(before.silent_minutes)) == (before.open, 33)
    assert found.repair() is not None
    day = found.account()
    assert (day.complete, day.expected, day.live) == (True, 375 * 6, before.live)
    assert len(day.silent_minutes) < 33 and day.repaired > 0
    dark = {*before.silent_minutes}
    rows = found.repaired().with_columns(pl.col("timestamp").dt.timestamp("ms").alias("ms"))
    assert dark <= set(rows["ms"].to_list())
    # Where a whole minute passed in silence nothing traded on the replaying exchange either.
    assert set(rows.filter(pl.col("account") == "repaired")["ms"].to_list()).isdisjoint(day.silent_minutes)
    assert replace(day, silent_minutes=()) == replace(found.account(), silent_minutes=())
