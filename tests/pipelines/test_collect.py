"""The collect stage over a scripted session, a recorded one, and a broker that misbehaves."""

import re
from datetime import date, time

import numpy as np
import pytest
import requests

from g6_core.adapters.kite_market import MarketQuote
from g6_core.adapters.lake import read_lake
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at, to_ms, utc_text
from g6_core.domain.options import YEAR_MS, implied_vol
from g6_core.domain.universe import Pair
from g6_core.sim.recorded import RecordedSource
from g6_core.sim.scripted import ScriptedSource
from g6_pipelines.collection.rows import ExpiryView, Moment, forward_of, rows_of
from g6_pipelines.stages.reconcile_data import reconcile_data
from tests.pipelines.collecting import (
    CLOSE,
    DAY,
    EXPIRY,
    OPEN,
    Collecting,
    collecting,
    narrowed,
    refusal,
)

STEP = 900_000
MINUTES_5 = 300_000
CYCLES = 25


@pytest.fixture
def small(settings):
    return narrowed(settings)


def failed_checks(world: Collecting) -> list[str]:
    checks = reconcile_data(world.index_day)
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def test_a_quiet_day_has_every_row_live_and_reconciles(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    report = world.finish()
    assert (report.cycles, report.rows, report.coverage.pct) == (CYCLES, CYCLES * 2 * 5, 100.0)
    assert (report.keys_missing, report.reasons, report.coverage.minutes_missing) == (0, {}, ())
    rows = world.csv()
    assert [row["timestamp"] for row in rows] == [utc_text(OPEN + k * STEP) for k in range(CYCLES)]
    assert rows[-1]["timestamp"] == utc_text(CLOSE - STEP)
    assert failed_checks(world) == []


def test_a_row_says_what_the_exchange_quoted(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    world.finish()
    row = world.csv(offset=1)[3]
    call = world.book.option("NIFTY", EXPIRY, 24_550_00, "CE")
    time_ms = OPEN + 3 * STEP
    quote = world.source.quotes(np.array([call.token]), time_ms)[0]
    assert row["call_symbol"] == call.tradingsymbol
    assert row["call_bid"] == f"{quote['bid_paise'][0] / 100:.2f}"
    assert row["call_ask"] == f"{quote['ask_paise'][0] / 100:.2f}"
    assert row["call_ltp"] == f"{quote['ltp_paise'] / 100:.2f}"
    assert (int(row["call_volume"]), int(row["call_oi"])) == (quote["volume"], quote["oi"])
    assert (row["spot"], row["spot_kind"], row["atm_strike"], row["strike"]) == (
        "24512.35", "index", "24500.00", "24550.00",
    )  # fmt: skip
    assert (row["exchange_time"], row["dte"], row["expiry"]) == (utc_text(time_ms), "4", "2025-09-02")
    mid = (float(row["call_bid"]) + float(row["call_ask"])) / 2
    years = (at(EXPIRY, time(15, 30)) - time_ms) / YEAR_MS
    expected = 100 * implied_vol(mid, float(row["forward"]), 24_550.0, years, 1.0, True)
    assert float(row["call_iv"]) == pytest.approx(expected, abs=1e-6)
    assert 0 < float(row["call_delta"]) < 0.5
    assert (row["minutes_to_expiry"], row["call_iv_reason"]) == (f"{years * YEAR_MS / 60_000:.6f}", "")
    assert float(row["call_rho"]) == pytest.approx(-years * mid / 100, abs=1e-6)


def test_every_side_has_a_volatility_with_five_greeks_or_a_reason(rules, settings, tmp_path) -> None:
    wide = narrowed(settings, codes=("this_week", "next_month"), offsets=(-20, 20))
    world = collecting(rules, wide, tmp_path, silences=[(OPEN + 10 * STEP, OPEN + 12 * STEP)])
    world.finish()
    figures = ("iv", "delta", "gamma", "theta", "vega", "rho")
    seen = set()
    for cells in read_lake(world.paths.lake(DAY, "NIFTY")).iter_rows(named=True):
        for side in ("call", "put"):
            known = {cells[f"{side}_{name}"] is not None for name in figures}
            assert known == {cells[f"{side}_iv_reason"] is None}
            seen.add(cells[f"{side}_iv_reason"])
    assert {None, "no_quote", "stale"} <= seen


def test_an_unmoved_index_costs_one_call_a_cycle_and_a_new_strike_one_more(rules, small, tmp_path) -> None:
    moves = [(OPEN, 24_512_35), (OPEN + 20 * STEP, 24_612_35)]
    world = collecting(rules, small, tmp_path, spot_path=moves)
    world.finish()
    calls = [cycle.calls for cycle in world.cycles]
    assert calls == [2] + [1] * 19 + [2] + [1] * (CYCLES - 21)
    gaps = np.diff(world.transport.times_ms)
    assert gaps.min() >= 1_000
    assert world.csv()[20]["atm_strike"] == "24600.00"


def test_quotes_are_asked_for_in_batches_within_the_broker_s_limit(rules, settings, tmp_path) -> None:
    wide = narrowed(settings, offsets=(-15, 15))
    calls: list[int] = []

    def count(request: requests.PreparedRequest, number: int) -> None:
        calls.append(str(request.url).count("i="))

    source = ScriptedSource.of("NIFTY", DAY, rules, spot_path=[(OPEN, 24_512_35)])
    world = collecting(rules, wide, tmp_path, source, fault=count)
    world.run(until_ms=OPEN + STEP)
    assert max(calls) <= 500
    assert sum(calls) == 1 + 2 * 31 * 2


def test_identical_expiries_are_fetched_once_and_written_under_each_code(rules, settings, tmp_path) -> None:
    both = narrowed(settings, codes=("next_week", "this_month"))
    source = ScriptedSource.of(
        "NIFTY", date(2025, 9, 23), rules, spot_path=[(at(date(2025, 9, 23), time(9, 15)), 24_500_00)]
    )
    world = collecting(rules, both, tmp_path, source, start_ms=source.session.open_ms)
    report = world.finish()
    week, month = world.csv("next_week"), world.csv("this_month")
    assert [row["expiry"] for row in week[:1] + month[:1]] == ["2025-09-30", "2025-09-30"]
    assert [dict(row, expiry_code="") for row in week] == [dict(row, expiry_code="") for row in month]
    assert report.coverage.expected == CYCLES * 5 * 2
    assert world.cycles[5].calls == 1


def test_a_silence_makes_rows_stale_with_their_old_stamp_and_they_do_not_count(rules, small, tmp_path) -> None:
    start, end = OPEN + 10 * STEP, OPEN + 20 * STEP
    world = collecting(rules, small, tmp_path, silences=[(start, end)])
    report = world.finish()
    row = world.csv()[15]
    assert (row["call_status"], row["put_status"]) == ("stale", "stale")
    assert row["exchange_time"] == utc_text(start)
    assert row["call_bid"] != ""
    assert (row["call_iv"], row["spot"], row["forward"]) == ("", "", "")
    assert (row["call_iv_reason"], row["put_iv_reason"]) == ("stale", "stale")
    # At its first moment the silence is fresh, so nine cycles of ten are stale.
    assert report.coverage.pct == round(100 * (CYCLES - 9) / CYCLES, 2)
    assert report.coverage.minutes_missing == tuple(range(start + STEP, end, STEP))
    assert world.overview()[15]["contracts_live"] == "0"
    assert world.overview()[15]["pcr_oi"] == ""
    assert failed_checks(world) == []


def test_before_anything_is_known_the_rows_are_missing_but_there(rules, small, tmp_path) -> None:
    first_news = OPEN + 2 * STEP
    world = collecting(rules, small, tmp_path, spot_path=[(first_news, 24_512_35)])
    report = world.finish()
    assert [row["call_status"] for row in world.csv()[:3]] == ["missing", "missing", "live"]
    assert (world.csv()[0]["strike"], world.csv()[0]["put_iv_reason"]) == ("", "no_quote")
    assert report.coverage.minutes_missing == (OPEN, OPEN + STEP)
    assert report.keys_missing > 0


def test_an_offset_without_a_listed_strike_is_no_contract_and_not_expected(rules, settings, tmp_path) -> None:
    far = narrowed(settings, codes=("this_week",), offsets=(-1, 20))
    world = collecting(rules, far, tmp_path)
    report = world.finish()
    row = world.csv(offset=20)[0]
    assert (row["call_status"], row["put_status"], row["strike"]) == ("no_contract", "no_contract", "25500.00")
    assert row["call_iv_reason"] == "no_quote"
    assert report.coverage.pct == 100.0
    assert report.coverage.no_contract == CYCLES * 2 * 5
    assert failed_checks(world) == []


def test_a_code_without_a_listed_expiry_has_files_that_say_so(rules, settings, tmp_path) -> None:
    world = collecting(rules, narrowed(settings, codes=("this_week", "this_month")), tmp_path)
    report = world.finish()
    rows = world.csv("this_month")
    assert len(rows) == CYCLES
    assert (rows[0]["expiry"], rows[0]["call_status"]) == ("", "no_contract")
    assert report.coverage_by_code["NIFTY/this_month"].expected == 0
    assert report.coverage.pct == 100.0


def test_an_expiring_contract_is_closed_after_its_own_last_minute(rules, settings, tmp_path) -> None:
    day = date(2026, 12, 8)
    opens = at(day, time(9, 15))
    source = ScriptedSource.of("NIFTY", day, rules, spot_path=[(opens, 24_512_35)])
    one = narrowed(settings, codes=("this_week", "next_week"), offsets=(0, 0), interval_s=300)
    world = collecting(rules, one, tmp_path, source, start_ms=at(day, time(15, 20)))
    report = world.finish()
    expiring, other = world.csv("this_week"), world.csv("next_week")
    assert expiring[0]["expiry"] == "2026-12-08"
    ends = [(row["timestamp"][11:16], row["call_status"]) for row in expiring[-5:]]
    assert ends == [("09:50", "live"), ("09:55", "live"), ("10:00", "closed"), ("10:05", "closed"), ("10:10", "closed")]
    assert [row["put_status"] for row in other[-5:]] == ["live"] * 5
    assert (expiring[-1]["call_iv_reason"], expiring[-1]["minutes_to_expiry"]) == ("expired", "0.000000")
    assert report.coverage.closed == 3 * 2


def test_a_crossed_or_locked_book_makes_no_forward_and_no_volatility(rules, small, tmp_path) -> None:
    def quote(bid: float, ask: float) -> MarketQuote:
        return MarketQuote(OPEN, 100.0, bid, ask, 75, 75, 0, 0, None)

    world = collecting(rules, small, tmp_path)
    pairs = [
        Pair(place, strike, *(world.book.option("NIFTY", EXPIRY, strike, side) for side in ("CE", "PE")))
        for place, strike in enumerate((2_450_000, 2_455_000))
    ]
    moment = Moment(OPEN, 60_000)
    sound, other = ([side.kite_key for side in pair.sides() if side] for pair in pairs)
    quotes = {key: quote(100.0, 101.0) for key in sound}
    assert forward_of(pairs, quotes, moment) == 24_500.0
    for bid, ask in ((900.0, 101.0), (101.0, 101.0)):
        crossed = {**quotes, other[0]: quote(bid, ask), other[1]: quote(100.0, 101.0)}
        assert forward_of(pairs, crossed, moment) == 24_500.0
        assert forward_of(pairs[1:], crossed, moment) is None
        view = ExpiryView(EXPIRY, tuple(pairs), 24_500.0, at(EXPIRY, time(15, 30)), CLOSE)
        rows = rows_of("NIFTY", {"this_week": view}, (0, 1), DAY, 2_450_000, None, crossed, moment)
        assert rows[0].call.iv is not None
        assert (rows[1].call.bid, rows[1].call.ask, rows[1].call.iv, rows[1].call.delta) == (bid, ask, None, None)
        assert (rows[0].call.iv_reason, rows[1].call.iv_reason, rows[1].put.iv_reason) == (None, "crossed", None)


@pytest.mark.parametrize(
    ("stamped_s", "answered_s", "live"),
    [(-60, None, False), (-59, None, True), (64, None, True), (66, None, False), (7, 2, True), (8, 2, False)],
)
def test_a_quote_is_live_when_its_stamp_is_of_its_cycle(stamped_s, answered_s, live) -> None:
    quote = MarketQuote(OPEN + stamped_s * 1000, 100.0, 99.0, 101.0, 75, 75, 0, 0, None)
    answered_ms = None if answered_s is None else OPEN + answered_s * 1000
    assert Moment(OPEN, 60_000, answered_ms).is_live(quote) is live


def test_quotes_of_a_clock_ahead_of_ours_are_kept_and_not_called_live(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    asked = world.kite.reqsession.send

    def ahead(request, **options):
        answer = asked(request, **options)
        if "/quote" in str(request.url):
            answer._content = re.sub(
                rb"(\d{4}-\d\d-\d\d \d\d:)(\d\d)", lambda m: m[1] + b"%02d" % (int(m[2]) + 2), answer.content
            )
        return answer

    world.kite.reqsession.send = ahead
    world.run(OPEN + 900_000)
    row = world.csv()[0]
    assert (row["call_status"], row["call_iv_reason"]) == ("stale", "stale")
    assert row["call_ltp"]


def test_without_an_index_quote_the_parity_forward_stands_in(rules, small, tmp_path) -> None:
    def drop_index(request: requests.PreparedRequest, number: int) -> None:
        request.url = str(request.url).replace("NSE%3ANIFTY+50", "NSE%3ANOTHING").replace("NIFTY%2050", "NOTHING")

    world = collecting(rules, small, tmp_path, fault=drop_index)
    world.finish()
    row = world.csv()[0]
    assert (row["spot_kind"], row["call_status"]) == ("forward", "live")
    assert abs(float(row["spot"]) - 24_512.35) < 5
    assert world.cycles[0].calls == 3


@pytest.mark.parametrize(
    ("status", "error_type", "calls"),
    [(429, "NetworkException", 3), (503, "NetworkException", 3), (403, "TokenException", 1)],
)
def test_a_broker_that_refuses_is_asked_again_where_that_helps_and_the_reason_is_kept(
    rules, small, tmp_path, status: int, error_type: str, calls: int
) -> None:
    def refuse_all(request: requests.PreparedRequest, number: int) -> requests.Response:
        return refusal(request, status, error_type, "not now")

    world = collecting(rules, small, tmp_path, fault=refuse_all)
    world.run(until_ms=OPEN + STEP)
    assert world.cycles[0].calls >= calls
    assert world.transport.times_ms[:calls] == [OPEN + k * 1_000 for k in range(calls)]
    assert error_type in world.cycles[0].reasons[0]
    assert "not now" in world.cycles[0].reasons[0]
    assert world.csv()[0]["call_status"] == "missing"


def test_one_refused_call_is_repeated_and_nothing_is_lost(rules, small, tmp_path) -> None:
    def refuse_third(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        return refusal(request, 429, "NetworkException", "Too many requests") if number == 3 else None

    world = collecting(rules, small, tmp_path, fault=refuse_third)
    report = world.finish()
    assert (report.coverage.pct, report.reasons) == (100.0, {})
    assert report.calls == CYCLES + 2


def test_a_crashed_collector_resumes_and_says_what_it_lost(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    assert world.run(until_ms=OPEN + 10 * STEP) is None
    # Power fails in the middle of the tenth lake batch: no CSV file has that cycle, one has not even the ninth whole.
    lake = world.paths.lake(DAY, "NIFTY")
    lake.write_bytes(lake.read_bytes()[:-100])
    for path in (world.paths.root / "csv").rglob(f"{DAY}.csv"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    torn = world.paths.csv_options("NIFTY", "this_week", 0, DAY)
    torn.write_bytes(torn.read_bytes()[:-7])
    world.clock.sleep_until(OPEN + 12 * STEP + 1)
    report = world.finish()
    assert (report.resumed_cycles, report.healed_files, report.rows) == (9, 1, CYCLES * 10)
    assert report.dropped_bytes > 100
    # Cycles 9, 10 and 11 went by; 12 is a millisecond old and still collected.
    assert report.reasons == {"the collector was not running": 3}
    assert [row["call_status"] for row in world.csv()[8:13]] == ["live", "missing", "missing", "missing", "live"]
    assert failed_checks(world) == []


def test_a_collector_that_resumes_asks_for_the_strikes_of_the_money_it_knew_at_once(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    assert world.run(until_ms=OPEN + 10 * STEP) is None
    assert [cycle.calls for cycle in world.cycles] == [2] + [1] * 9, "at first one call is spent on the level"
    world.cycles.clear()
    world.finish()
    assert {cycle.calls for cycle in world.cycles} == {1}


def test_a_collector_that_starts_late_accounts_for_the_time_before(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path, start_ms=OPEN + 10 * STEP + 5_000)
    report = world.finish()
    assert report.cycles == len(world.csv()) == CYCLES
    assert report.coverage.pct == round(100 * 15 / CYCLES, 2)


def test_two_runs_write_the_same_bytes(rules, small, tmp_path) -> None:
    for name in ("one", "two"):
        collecting(rules, small, tmp_path / name).finish()
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) > 12
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.slow
def test_a_recorded_session_is_collected_as_its_source_quotes_it(rules, settings, shared_data, tmp_path) -> None:
    source = RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules)
    codes = ("this_week", "this_month")
    world = collecting(
        rules, narrowed(settings, codes=codes, offsets=(-3, 3), interval_s=300), tmp_path, source, index_kind="forward"
    )
    report = world.finish()
    assert failed_checks(world) == []
    # Nothing is recorded before 09:24:16, and the record is silent from 10:16:18 to 10:35:10.
    missing = {OPEN, OPEN + MINUTES_5} | {at(DAY, time(10, minute)) for minute in (25, 30, 35)}
    assert missing <= set(report.coverage.minutes_missing)
    assert len(report.coverage.minutes_missing) < 10
    lake = read_lake(world.paths.lake(DAY, "NIFTY"))
    live = lake.filter(lake["call_status"] == "live").sample(60, seed=1)
    for row in live.iter_rows(named=True):
        contract = world.book.by_key(f"NFO:{row['call_symbol']}")
        quote = source.quotes(np.array([contract.token]), to_ms(row["exchange_time"]))[0]
        assert row["call_bid"] == (quote["bid_paise"][0] / 100 or None)
        assert (row["call_oi"], row["call_volume"]) == (quote["oi"], quote["volume"])
    assert set(lake["spot_kind"].drop_nulls()) == {"forward"}
    assert report.coverage.pct > 85


def test_the_interval_of_a_day_cannot_change_under_way(rules, settings, tmp_path) -> None:
    world = collecting(rules, narrowed(settings), tmp_path)
    world.run(until_ms=OPEN + 4 * STEP)
    faster = collecting(rules, narrowed(settings, interval_s=300), tmp_path, start_ms=OPEN + 4 * STEP)
    with pytest.raises(DataError, match="collected every 900 s, which cannot become 300 s within a day"):
        faster.run()


def test_a_cycle_says_when_it_began_and_had_its_last_answer(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path, start_ms=OPEN + 3 * STEP + 250)
    world.finish()
    late, prompt = world.cycles[3], world.cycles[4]
    assert (late.started_ms - late.time_ms, late.ended_ms - late.started_ms, late.calls) == (250, 1_000, 2)
    assert (prompt.started_ms, prompt.ended_ms, prompt.calls_failed) == (prompt.time_ms, prompt.time_ms, 0)
    assert world.cycles[0].started_ms == OPEN + 3 * STEP + 250, "its time had passed"
    (index,) = prompt.indices
    assert (index.underlying, index.spot, len(index.rows)) == ("NIFTY", 24_512.35, 10)
