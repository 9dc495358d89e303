"""Repair after the close: gaps are filled from the broker's candles, once, the same bytes however often it dies."""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests
from requests.adapters import BaseAdapter

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.kite_history import CALL_INTERVAL_MS
from g6_core.adapters.world import Simulated, claim_answers, clear_collected, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at, to_ms
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.recorded import RecordedSource
from g6_core.sim.source import MarketSource
from g6_core.sim.transport import KITE_ROOT, SimTransport, connect
from g6_pipelines.collection.accounting import DayAccount, Gap
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.collect import collect
from g6_pipelines.stages.prepare import store_dump
from g6_pipelines.stages.reconcile_candles import reconcile_candles
from g6_pipelines.stages.repair import RepairReport, repair, windows
from tests.pipelines.collecting import narrowed, refusal

DAY = date(2025, 8, 29)
NAME = "NIFTY"
DOWN_FROM, DOWN_UNTIL = at(DAY, time(10, 0)), at(DAY, time(10, 50))
ORIGIN = "modelled 7"

Fault = Callable[[requests.PreparedRequest, int], requests.Response | None]


@dataclass
class Wire(BaseAdapter):
    """The simulated transport with something in the way of historical calls; notes when each was made."""

    inner: SimTransport
    clock: VirtualClock
    fault: Fault = lambda request, number: None
    times_ms: list[int] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if "/historical/" in str(request.url):
            self.times_ms.append(self.clock.now_ms())
            answer = self.fault(request, len(self.times_ms) - 1)
            if answer is not None:
                return answer
        return self.inner.send(request)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Evening:
    """A collected day with holes, and the broker after its close."""

    paths: DataPaths
    settings: Settings
    rules: MarketRules
    source: MarketSource
    clock: VirtualClock
    wire: Wire
    kite: Any

    def account(self) -> DayAccount:
        return account_day(self.paths, self.settings, self.rules, self.source.trade_date, NAME).day

    def stage(self, listed: InstrumentBook | None = None) -> Generator[int, None, RepairReport]:
        book = self.source.instruments if listed is None else listed
        days = [self.source.trade_date]
        return repair(
            self.kite, self.clock, self.settings, self.rules, self.paths, days, NAME, book, ORIGIN
        )  # fmt: skip

    def repair(self, listed: InstrumentBook | None = None, *, dies_after: int | None = None) -> RepairReport | None:
        """Run the stage; None when it was killed before its call of that number."""
        stage = self.stage(listed)
        while True:
            try:
                wake_ms = next(stage)
            except StopIteration as end:
                report: RepairReport = end.value
                return report
            if dies_after is not None and len(self.wire.times_ms) >= dies_after:
                stage.close()
                return None
            self.clock.sleep_until(wake_ms)

    def repaired(self) -> pl.DataFrame:
        return pl.read_parquet(self.paths.repaired(self.source.trade_date, NAME))


def evening(source: MarketSource, rules: MarketRules, settings: Settings, root: Path) -> Evening:
    """The broker of a day, before its open, with a client whose historical calls are seen."""
    clock = VirtualClock(source.session.open_ms - MINUTE_MS)
    exchange = Exchange(source, rules, clock, seed=7, cash_paise=300_000_00, order_latency_ms=80, latency_jitter_ms=40)
    kite, wire = connect(exchange), Wire(SimTransport(exchange), clock)
    kite.reqsession.mount(KITE_ROOT, wire)
    return Evening(DataPaths(root), settings, rules, source, clock, wire, kite)


def live_through(found: Evening, *, down: tuple[int, int] | None = None) -> None:
    """Collect the day; the collector is dead from the first moment of `down` to the second."""
    store_dump(found.kite, found.rules, found.paths, found.source.trade_date, (NAME,))
    kind = getattr(found.source, "spot_kind", "index")
    for until in (*(down[:1] if down else ()), None):
        stage = collect(
            found.kite, found.clock, found.settings, found.rules, found.paths, found.source.trade_date,
            found.source.instruments, (NAME,), index_kind=kind,
        )  # fmt: skip
        for wake_ms in stage:
            if until is not None and wake_ms >= until:
                stage.close()
                break
            found.clock.sleep_until(wake_ms)
        if until is not None and down is not None:
            found.clock.sleep_until(down[1])
    found.clock.sleep_until(found.source.session.close_ms)


@pytest.fixture(scope="module")
def market(rules: MarketRules) -> ModelledSource:
    return ModelledSource((NAME,), DAY, rules, 7)


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    return narrowed(settings, codes=("this_week", "next_week"), offsets=(-1, 1), interval_s=300)


@pytest.fixture(scope="module")
def holed(
    market: ModelledSource, rules: MarketRules, small: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Data of a modelled day whose collector was dead for ten cycles."""
    root = tmp_path_factory.mktemp("holed")
    live_through(evening(market, rules, small, root), down=(DOWN_FROM, DOWN_UNTIL))
    return root


@pytest.fixture
def after(market: ModelledSource, rules: MarketRules, small: Settings, holed: Path, tmp_path: Path) -> Evening:
    """A copy of the day with holes, after its close."""
    found = evening(market, rules, small, tmp_path / "data")
    for path in holed.rglob("*"):
        if path.is_file() and "lock" not in path.name:
            target = tmp_path / "data" / path.relative_to(holed)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    found.clock.sleep_until(market.session.close_ms)
    return found


def test_a_day_with_a_dead_collector_is_whole_after_the_repair(after: Evening) -> None:
    before = after.account()
    assert not before.complete and before.first_open is not None and before.first_open.endswith("10:00")
    lake = after.paths.lake(DAY, NAME).read_bytes()
    report = after.repair()
    assert report is not None
    found = after.account()
    assert found.complete and found.repaired > 0
    assert (report.before[DAY], report.after[DAY], report.gone) == (before, found, 0)
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


def test_witnesses_are_asked_for_the_whole_session_and_agree_with_what_was_collected(after: Evening) -> None:
    assert after.repair() is not None
    windows = read_answers(after.paths.answers(DAY, NAME)).select("symbol", "from", "to").unique()
    session = after.source.session
    minutes = (pl.col("to") - pl.col("from")).dt.total_minutes() + 1
    whole = windows.filter(minutes == (session.close_ms - session.open_ms) // MINUTE_MS)
    assert len(whole) == after.settings.collection.witnesses
    checks = reconcile_candles(after.paths, after.settings, after.rules, DAY, NAME)
    assert [(check.name, check.passed) for check in checks] == [
        (name, True) for name in ("candles_known", "candle_prices", "candle_volumes", "candle_open_interest")
    ]
    assert all(int(check.figures["compared"]) > 300 for check in checks[1:])


def test_a_history_with_a_hole_where_volume_grew_is_no_answer_and_asked_again(after: Evening) -> None:
    """The broker tells of no trade while the collector was dead, and its own volumes before and after say otherwise."""
    inner = after.wire.inner

    def holed_history(request: requests.PreparedRequest, number: int) -> requests.Response:
        answer = inner.send(request)
        candles = answer.json()["data"]["candles"]
        kept = [one for one in candles if not DOWN_FROM <= to_ms(datetime.fromisoformat(one[0])) < DOWN_UNTIL]
        answer._content = json.dumps({"status": "success", "data": {"candles": kept}}).encode()
        return answer

    after.wire.fault = holed_history
    report = after.repair()
    assert report is not None and report.asked.answered > 0
    found = after.account()
    assert not found.complete and found.repaired == 0
    volumes = reconcile_candles(after.paths, after.settings, after.rules, DAY, NAME)[2]
    assert not volumes.passed and "CE 10:50: volume grew by" in volumes.detail
    after.wire.fault = lambda request, number: None
    assert after.repair() is not None
    assert after.account().complete and after.account().repaired > 0
    calls = len(after.wire.times_ms)
    assert after.repair() is not None and len(after.wire.times_ms) == calls


def too_many(request: requests.PreparedRequest, number: int) -> requests.Response | None:
    return refusal(request, 429, "NetworkException", "Too many requests")


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
    assert report.asked.calls <= 3 + 5 * 3, "a broker that refuses everything is left in peace"
    after.wire.fault = lambda request, number: None
    after.repair()
    assert after.account().complete


def test_a_passing_refusal_costs_a_call_and_no_minute(after: Evening) -> None:
    after.wire.fault = lambda request, number: too_many(request, number) if number % 3 == 0 else None
    report = after.repair()
    assert report is not None and report.asked.reasons == {}
    assert after.account().complete


def test_before_the_close_nothing_is_a_gap(market, rules, small, holed: Path, tmp_path: Path) -> None:
    early = evening(market, rules, small, holed)
    with pytest.raises(DataError, match=r"2025-08-29 is not over for NIFTY; ask .* after 2025-08-29 15:30 \(IST\)"):
        early.repair()


def test_a_contract_that_is_not_listed_any_more_is_counted_and_not_asked_for(after: Evening) -> None:
    report = after.repair(InstrumentBook.of([]))
    assert report is not None
    assert report.gone > 0 and after.wire.times_ms == [] and not after.account().complete


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
    spans = [(DAY, Gap("A", number * day_ms, number * day_ms + 5 * MINUTE_MS, 6)) for number in reversed(days)]
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
