"""Strike selection: filters at their edges, the score and its bounds, and an explainable choice on a real chain."""

from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.domain.market import Quote
from g6_core.domain.options import YEAR_MS, black76_price
from g6_core.domain.records import Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine import strikes
from g6_core.engine.params import DeltaFloor, EngineParams, StrikeParams
from g6_core.sim.recorded import RecordedSource
from tests.engine.kit import DAY, ELEVEN, EXPIRY, HOUR_MS, SPOT, Bench, answer_of, failed, verdict_of

MORNING = 11 * HOUR_MS
RULES = ["strike_iv", "strike_oi", "strike_spread_pct", "strike_spread_paise", "strike_delta"]


@pytest.fixture(scope="module")
def params(settings: Settings) -> EngineParams:
    return settings.engine_params()


@pytest.fixture(scope="module")
def limits(params: EngineParams) -> StrikeParams:
    """The figures that the tables below have their edges at, whatever the configuration says."""
    floors = (DeltaFloor(13 * HOUR_MS, 0.30), DeltaFloor(14 * HOUR_MS, 0.35))
    bands = {"iv_floor_pct": {"NIFTY": 6.0}, "iv_ceiling_pct": {"NIFTY": 60.0}}
    edges = {"min_oi": 50_000, "max_spread_pct": 3.0, "max_spread_paise": 5_00, "delta_min": 0.25, "delta_max": 0.55}
    return replace(params.strikes, delta_floors=floors, **bands, **edges)


@pytest.fixture(scope="module")
def bench(rules: MarketRules, params: EngineParams) -> Bench:
    """A quoted chain that no test changes."""
    return Bench.scripted(rules, params)


def _candidate(bench: Bench, **change: float | None) -> strikes.Candidate:
    """A good candidate, 100.00 by 101.00, with some figures changed."""
    iv_pct, delta, steps = change.pop("iv_pct", 12.0), change.pop("delta", 0.45), int(change.pop("steps", 0) or 0)
    values = {"bid_paise": 100_00, "ask_paise": 101_00, "ltp_paise": 100_50, "oi": 600_000} | change
    option = bench.option(SPOT)
    quote = Quote(option.token, ELEVEN, bid_qty=750, ask_qty=750, volume=1, **values)  # type: ignore[arg-type]
    return strikes.Candidate(option, quote, steps, float(SPOT), iv_pct, delta)


@pytest.mark.parametrize(
    ("change", "of_day_ms", "blocked"),
    [
        pytest.param({}, MORNING, set(), id="nothing wrong"),
        pytest.param({"iv_pct": 6.0}, MORNING, set(), id="IV at the floor"),
        pytest.param({"iv_pct": 5.99}, MORNING, {"strike_iv"}, id="IV below the floor"),
        pytest.param({"iv_pct": 60.0}, MORNING, set(), id="IV at the ceiling"),
        pytest.param({"iv_pct": 60.01}, MORNING, {"strike_iv"}, id="IV above the ceiling"),
        pytest.param({"oi": 50_000}, MORNING, set(), id="just enough open interest"),
        pytest.param({"oi": 49_999}, MORNING, {"strike_oi"}, id="too little open interest"),
        pytest.param({"bid_paise": 98_50, "ask_paise": 101_50}, MORNING, set(), id="spread of 3 percent"),
        pytest.param({"bid_paise": 98_45, "ask_paise": 101_55}, MORNING, {"strike_spread_pct"}, id="spread above it"),
        pytest.param({"bid_paise": 400_00, "ask_paise": 405_00}, MORNING, set(), id="spread of 5 rupees"),
        pytest.param({"bid_paise": 400_00, "ask_paise": 405_05}, MORNING, {"strike_spread_paise"}, id="a tick more"),
        pytest.param({"delta": 0.25}, MORNING, set(), id="delta at the floor"),
        pytest.param({"delta": 0.2499}, MORNING, {"strike_delta"}, id="delta below the floor"),
        pytest.param({"delta": -0.55}, MORNING, set(), id="a put at the ceiling"),
        pytest.param({"delta": -0.5501}, MORNING, {"strike_delta"}, id="a put above the ceiling"),
        pytest.param({"delta": 0.29}, 13 * HOUR_MS - 1, set(), id="delta before the first floor"),
        pytest.param({"delta": 0.29}, 13 * HOUR_MS, {"strike_delta"}, id="delta under the first floor"),
        pytest.param({"delta": 0.34}, 14 * HOUR_MS, {"strike_delta"}, id="delta under the second floor"),
        pytest.param(
            {"iv_pct": 3.0, "delta": 0.9, "oi": 5, "bid_paise": 50_00},
            MORNING,
            set(RULES),
            id="everything wrong at once, everything named",
        ),
    ],
)
def test_each_filter_blocks_on_its_own_side_of_the_edge(
    bench: Bench, limits: StrikeParams, change: dict[str, float | None], of_day_ms: int, blocked: set[str]
) -> None:
    judged = strikes.judge(_candidate(bench, **change), "NIFTY", limits, of_day_ms)
    assert [verdict.rule for verdict in judged.verdicts] == RULES
    assert failed(judged.verdicts) == blocked
    assert (judged.passed, judged.score > 0) == (not blocked, not blocked)


@pytest.mark.parametrize(
    "change",
    [{"bid_paise": 0}, {"ask_paise": 0}, {"bid_paise": 0, "ask_paise": 0}, {"ask_paise": 100_00}, {"ask_paise": 99_00}],
    ids=["no bid", "no ask", "empty book", "locked", "crossed"],
)
def test_without_a_two_sided_touch_the_spread_is_unknown_and_blocks(
    bench: Bench, limits: StrikeParams, change: dict[str, float | None]
) -> None:
    judged = strikes.judge(_candidate(bench, **change), "NIFTY", limits, MORNING)
    for rule in ("strike_spread_pct", "strike_spread_paise"):
        assert answer_of(judged.verdicts, rule) == (Outcome.UNKNOWN, True)
    assert (judged.passed, judged.score) == (False, 0.0)


def test_without_a_volatility_iv_and_delta_are_unknown_and_block(bench: Bench, limits: StrikeParams) -> None:
    judged = strikes.judge(_candidate(bench, iv_pct=None, delta=None), "NIFTY", limits, MORNING)
    assert answer_of(judged.verdicts, "strike_iv") == (Outcome.UNKNOWN, True)
    assert answer_of(judged.verdicts, "strike_delta") == (Outcome.UNKNOWN, True)
    assert judged.score == 0.0


@pytest.mark.parametrize(
    ("clock_ms", "floor"),
    [(9 * HOUR_MS, 0.25), (13 * HOUR_MS - 1, 0.25), (13 * HOUR_MS, 0.30), (14 * HOUR_MS, 0.35), (15 * HOUR_MS, 0.35)],
)
def test_the_delta_floor_rises_with_the_day(limits: StrikeParams, clock_ms: int, floor: float) -> None:
    assert strikes.delta_floor(limits, clock_ms) == floor


@pytest.mark.parametrize(
    ("figures", "score"),
    [
        # steps_otm, spread %, OI, |delta|, IV %, leverage
        pytest.param((0, 0.0, 500_000, 0.55, 20.0, 100.0), 210.0, id="perfect"),
        pytest.param((1, 0.0, 500_000, 0.55, 20.0, 100.0), 185.0, id="one step out"),
        pytest.param((5, 0.0, 500_000, 0.55, 20.0, 100.0), 110.0, id="too far for any of the 100"),
        pytest.param((0, 1.5, 500_000, 0.55, 20.0, 100.0), 200.0, id="half the spread allowed"),
        pytest.param((0, 0.0, 250_000, 0.55, 20.0, 100.0), 195.0, id="half the open interest"),
        pytest.param((0, 0.0, 500_000, 0.40, 20.0, 100.0), 195.0, id="middle of the delta window"),
        pytest.param((0, 0.0, 500_000, 0.55, 7.5, 100.0), 200.0, id="volatility half out of the sweet spot"),
        pytest.param((0, 0.0, 500_000, 0.55, 40.0, 100.0), 190.0, id="volatility far above it"),
        pytest.param((0, 0.0, 500_000, 0.55, 20.0, 50.0), 205.0, id="half the leverage"),
        pytest.param((9, 3.0, 0, 0.25, 60.0, 0.0), 0.0, id="nothing good about it"),
    ],
)
def test_the_parts_of_the_score(limits: StrikeParams, figures: tuple[float, ...], score: float) -> None:
    assert strikes.score_candidate(*figures, limits) == pytest.approx(score)  # type: ignore[arg-type]


@given(
    steps=st.integers(-20, 20),
    spread_pct=st.floats(0, 200),
    oi=st.integers(0, 10**10),
    delta=st.floats(0, 1),
    iv_pct=st.floats(0.01, 1000),
    leverage=st.floats(0, 10**6),
)
def test_a_score_is_always_between_0_and_210(
    limits: StrikeParams, steps: int, spread_pct: float, oi: int, delta: float, iv_pct: float, leverage: float
) -> None:
    assert 0 <= strikes.score_candidate(steps, spread_pct, oi, delta, iv_pct, leverage, limits) <= 210


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=30, unique=True).map(sorted),
    st.one_of(st.integers(-10, 510).map(float), st.floats(-10, 510)),
)
def test_the_nearest_strike_is_the_one_brute_force_finds(listed: list[int], price: float) -> None:
    best = min(listed, key=lambda strike: (abs(strike - price), strike))
    assert listed[strikes.nearest_place(tuple(listed), price)] == best


def test_the_forward_needs_one_pair_with_both_sides(rules: MarketRules, params: EngineParams) -> None:
    bench = Bench.scripted(rules, params)
    book, board = bench.state.inputs.book, bench.state.board
    whole = strikes.forward_of(book, board, "NIFTY", EXPIRY, SPOT)
    assert whole == pytest.approx(SPOT, abs=10)
    quoted = [one for one in book if one.is_option and one.expiry == EXPIRY and board.quote(one.token)]
    for one in quoted:
        if one.strike_paise != SPOT:
            bench.put(one, bid_paise=0)
    assert strikes.forward_of(book, board, "NIFTY", EXPIRY, SPOT) == pytest.approx(SPOT, abs=10)
    bench.put(bench.option(SPOT, "PE"), ask_paise=0)
    assert strikes.forward_of(book, board, "NIFTY", EXPIRY, SPOT) is None


@pytest.mark.parametrize(
    ("direction", "side", "expected"),
    [
        (Direction.BULLISH, "CE", [24_500_00, 24_550_00, 24_600_00, 24_650_00]),
        (Direction.BEARISH, "PE", [24_500_00, 24_450_00, 24_400_00, 24_350_00]),
    ],
)
def test_candidates_go_out_of_the_money_on_the_side_of_the_signal(
    bench: Bench, direction: Direction, side: str, expected: list[int]
) -> None:
    left = bench.inputs.expiry_close_ms - ELEVEN
    book, board = bench.state.inputs.book, bench.state.board
    found = strikes.candidates(book, board, "NIFTY", EXPIRY, direction, SPOT + 10_00, left, 3)
    assert [one.instrument.strike_paise for one in found] == expected
    assert {one.instrument.instrument_type for one in found} == {side}
    assert [one.steps_otm for one in found] == [0, 1, 2, 3]
    deltas = [abs(one.delta or 0) for one in found]
    assert deltas == sorted(deltas, reverse=True)
    assert 0.4 < deltas[0] < 0.6


def test_candidates_end_where_the_chain_ends(bench: Bench) -> None:
    book, board = bench.state.inputs.book, bench.state.board
    last = book.strikes("NIFTY", EXPIRY)[-1]
    bench.state.board.watch((bench.option(last).token,))
    found = strikes.candidates(book, board, "NIFTY", EXPIRY, Direction.BULLISH, last + 500_00, YEAR_MS, 3)
    assert found == [], "no quote, and no strike above the last"


@pytest.mark.parametrize("minutes", [90, 5, 1])
@pytest.mark.parametrize("sigma", [0.05, 0.12, 0.6])
def test_volatility_is_found_again_minutes_before_the_expiry(bench: Bench, minutes: int, sigma: float) -> None:
    t_years = minutes * MINUTE_MS / YEAR_MS
    option = bench.option(SPOT)
    price = black76_price(SPOT, SPOT, sigma, t_years, 1.0, True)
    # A touch a thousandth of a paisa wide stands for the exact price.
    quote = replace(bench.quote(option), bid_paise=price, ask_paise=price)
    iv_pct, delta = strikes.volatility_of(quote, option, SPOT, t_years)
    assert iv_pct == pytest.approx(100 * sigma, rel=1e-9)
    assert delta == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("ms_left", [0, -60_000])
def test_at_and_after_the_expiry_nothing_is_known(bench: Bench, ms_left: int) -> None:
    option = bench.option(SPOT)
    assert strikes.volatility_of(bench.quote(option), option, SPOT, ms_left / YEAR_MS) == (None, None)


def test_a_deep_call_below_its_intrinsic_value_has_no_volatility_and_is_refused(
    bench: Bench, limits: StrikeParams
) -> None:
    """Real chains quote such middles all day: the bid of a deep strike lags the index."""
    option = bench.option(SPOT - 300_00)
    quote = replace(bench.quote(option), bid_paise=299_00, ask_paise=300_00)
    iv_pct, delta = strikes.volatility_of(quote, option, SPOT, 4 / 365)
    assert (iv_pct, delta) == (None, None)
    judged = strikes.judge(strikes.Candidate(option, quote, 0, SPOT, iv_pct, delta), "NIFTY", limits, MORNING)
    assert failed(judged.verdicts) == {"strike_iv", "strike_delta"}


def test_rank_keeps_the_best_that_passed_and_prefers_the_nearer_of_equals(bench: Bench) -> None:
    def judged(steps: int, score: float) -> strikes.Judged:
        return strikes.Judged(_candidate(bench, steps=steps), (), score)

    refusal = Verdict("strike_oi", Outcome.FAIL, True)
    blocked = replace(judged(0, 200.0), verdicts=(refusal,))
    found = strikes.rank([judged(3, 150.0), blocked, judged(2, 160.0), judged(1, 160.0), judged(4, 90.0)], 3)
    assert [(one.candidate.steps_otm, one.score) for one in found] == [(1, 160.0), (2, 160.0), (3, 150.0)]


@pytest.fixture(scope="module")
def recorded(shared_data: Path, rules: MarketRules) -> RecordedSource:
    return RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules)


@pytest.mark.parametrize("direction", list(Direction)[:2])
@pytest.mark.parametrize("clock", [time(9, 40), time(11, 30), time(13, 30), time(14, 20)], ids=str)
def test_the_best_two_of_the_real_chain_can_be_explained(
    recorded: RecordedSource, rules: MarketRules, params: EngineParams, direction: Direction, clock: time
) -> None:
    now_ms = at(DAY, clock)
    bench = Bench.over(recorded, rules, params)
    bench.see(now_ms)
    book, board, limits = bench.state.inputs.book, bench.state.board, params.strikes
    spot = board.rows[board.slot_of[bench.inputs.index.token]]["ltp_paise"]
    forward = strikes.forward_of(book, board, "NIFTY", bench.inputs.expiry, int(spot))
    assert forward == pytest.approx(spot, rel=0.001)
    left = bench.inputs.expiry_close_ms - now_ms
    found = strikes.candidates(
        book, board, "NIFTY", bench.inputs.expiry, direction, forward, left, limits.steps_otm_max
    )
    assert [one.steps_otm for one in found] == [0, 1, 2, 3]
    assert all(5 < (one.iv_pct or 0) < 12 for one in found), "a calm day: 7.7 to 9.1 % at the money"
    of_day = bench.state.inputs.of_day_ms(now_ms)
    judged = [strikes.judge(one, "NIFTY", limits, of_day) for one in found]
    best = strikes.rank(judged, 2)
    assert best
    assert [one.score for one in best] == sorted((one.score for one in judged if one.passed), reverse=True)[:2]
    for one in judged:
        quote = one.candidate.quote
        assert [verdict.rule for verdict in one.verdicts] == RULES
        assert verdict_of(one.verdicts, "strike_oi").value == quote.oi
        assert verdict_of(one.verdicts, "strike_delta").limit in (strikes.delta_floor(limits, of_day), limits.delta_max)
        if one.passed:
            delta, spread_pct = abs(one.candidate.delta or 0), 100 * one.candidate.spread_paise / quote.mid_paise
            low, high = limits.delta_min, limits.delta_max
            parts = (
                max(100 - 25 * one.candidate.steps_otm, 0),
                30 * min(quote.oi / 500_000, 1) + 20 * (1 - spread_pct / limits.max_spread_pct),
                30 * (delta - low) / (high - low),
                20 * max(1 - (15 - (one.candidate.iv_pct or 0)) / 15, 0),
                10 * min(delta * forward / quote.mid_paise / 100, 1),
            )
            assert one.score == pytest.approx(sum(parts), abs=1e-3)
