"""From a closed bar to an approved entry or a refusal with every reason; on a scripted chain and a recorded day."""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import FetchQuotes, Mode, Operator, OperatorAction, Persist, PlaceEntry
from g6_core.domain.ist import MINUTE_MS
from g6_core.domain.orders import OrderType, Product, Side, Validity
from g6_core.domain.records import DecisionRecord, Direction, SignalRecord
from g6_core.domain.risk import Outcome
from g6_core.engine.params import EngineParams
from g6_core.engine.state import Phase
from g6_core.engine.step import step
from g6_core.sim.recorded import RecordedSource
from tests.engine.kit import ELEVEN, EXPIRY, HOUR_MS, LOT, SPOT, Bench, answer_of, failed, verdict_of
from tests.engine.test_guards import ORDER, PORTFOLIO
from tests.engine.test_strikes import RULES as STRIKE
from tests.engine.test_validation import LAYERS

SIGNAL = ["supertrend_alignment", "adx_primary", "adx_confirmation"]
ALL = SIGNAL + LAYERS + PORTFOLIO + STRIKE + ORDER


@pytest.fixture
def params(settings: Settings) -> EngineParams:
    """Balanced mode on a first day without history; every layer is on."""
    params = settings.engine_params()
    layers = {"iv_rank_max": 0.9, "iv_zscore_abs_max": 2.5, "iv_percentile_min": 0.35, "oi_percentile_min": 0.25}
    times = {"entry_from_of_day_ms": 9 * HOUR_MS + 20 * MINUTE_MS, "theta_cutoff_of_day_ms": 14 * HOUR_MS}
    return replace(params, validation=replace(params.validation, require_trend_slope=True, **layers, **times))


@pytest.fixture
def bench(rules: MarketRules, params: EngineParams) -> Bench:
    return Bench.scripted(rules, params)


@pytest.mark.parametrize(("direction", "side"), [(Direction.BULLISH, "CE"), (Direction.BEARISH, "PE")])
def test_a_good_bar_becomes_one_order_and_the_facts_come_before_it(
    bench: Bench, direction: Direction, side: str
) -> None:
    decision, out = bench.judge(direction)
    signal, kept, order = out
    assert isinstance(signal, Persist)
    assert isinstance(signal.record, SignalRecord)
    assert isinstance(order, PlaceEntry)
    assert kept == Persist(decision)
    request = order.approved.request
    bought = bench.state.inputs.book.by_token(request.token)
    assert bought is not None
    assert (bought.instrument_type, bought.expiry) == (side, EXPIRY)
    assert (request.side, request.order_type, request.validity) == (Side.BUY, OrderType.LIMIT, Validity.IOC)
    assert request.product is Product.MIS
    assert request.quantity > 0
    assert request.quantity % LOT == 0
    assert len(request.tag) <= 20
    assert [verdict.rule for verdict in decision.verdicts] == ALL
    assert order.approved.verdicts == decision.verdicts
    assert (decision.approved, decision.direction, decision.signal_id) == (True, direction, signal.record.signal_id)
    assert (decision.tradingsymbol, decision.quantity) == (request.tradingsymbol, request.quantity)
    assert (decision.limit_paise, decision.tag) == (request.price_paise, request.tag)
    (trade,) = bench.state.open_trades
    assert (trade.entry_tag, trade.signal_id) == (request.tag, decision.signal_id)
    assert bench.state.orders[request.tag].phase is Phase.SENDING
    assert (bench.state.day_trades, bench.memory.signal_used) == (1, True)


@pytest.mark.parametrize("through_pct", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("bid", [80_00, 99_95, 100_05, 187_30, 250_00])
def test_the_limit_goes_through_the_ask_and_sits_on_a_tick(bench: Bench, bid: int, through_pct: float) -> None:
    bench.state.params = replace(
        bench.state.params, execution=replace(bench.state.params.execution, entry_through_pct=through_pct)
    )
    for steps in range(4):
        bench.put(bench.option(SPOT + steps * 50_00), bid_paise=bid, ask_paise=bid + 30)
    decision, _ = bench.judge()
    option = bench.state.inputs.book.by_key(f"NFO:{decision.tradingsymbol}")
    assert option is not None
    judged = bench.quote(option)
    assert decision.limit_paise % option.tick_paise == 0
    assert decision.limit_paise >= judged.ask_paise
    wanted = judged.ask_paise * (1 + through_pct / 100)
    assert wanted - 1 < decision.limit_paise < wanted + option.tick_paise


Change = Callable[[Bench], object]


def _age_options(bench: Bench) -> None:
    for one in bench.state.inputs.book:
        if one.is_option and one.token in bench.state.board.slot_of:
            bench.put(one, exchange_ms=ELEVEN - 3_001)


def _pause_in_a_storm(bench: Bench) -> None:
    bench.state.mode, bench.state.feed_connected, bench.state.circuit_tripped_ms = Mode.PAUSED, False, 1
    bench.state.cash_paise = 0


@pytest.mark.parametrize(
    ("change", "at_ms", "blocked"),
    [
        pytest.param(lambda b: setattr(b.state, "mode", Mode.PAUSED), ELEVEN, {"mode_active"}, id="paused"),
        pytest.param(lambda b: setattr(b.state, "circuit_tripped_ms", 1), ELEVEN, {"circuit_breaker"}, id="circuit"),
        pytest.param(_age_options, ELEVEN, {"quote_age"}, id="old quotes"),
        pytest.param(lambda b: setattr(b.state, "cash_paise", 0), ELEVEN, {"one_lot_affordable"}, id="no cash"),
        pytest.param(
            _pause_in_a_storm,
            ELEVEN,
            {"mode_active", "feed_connected", "circuit_breaker", "one_lot_affordable"},
            id="four things at once",
        ),
    ],
)
def test_a_refusal_names_every_rule_and_sends_nothing(
    bench: Bench, change: Change, at_ms: int, blocked: set[str]
) -> None:
    change(bench)
    decision, out = bench.judge(now_ms=at_ms)
    assert [verdict.rule for verdict in decision.verdicts] == ALL
    assert failed(decision.verdicts) == blocked
    assert (decision.approved, decision.tag, decision.tradingsymbol) == (False, "", "")
    assert not any(isinstance(one, PlaceEntry) for one in out)
    assert (bench.state.orders, bench.state.trades, bench.state.tag_number) == ({}, {}, 0)
    assert not bench.memory.signal_used


@pytest.mark.parametrize(
    ("hours", "blocked"), [(9.2, "entry_window"), (14.1, "theta_cutoff")], ids=["too early", "too late"]
)
def test_outside_its_hours_no_signal_is_bought(bench: Bench, hours: float, blocked: str) -> None:
    now_ms = bench.state.inputs.day_start_ms + int(hours * HOUR_MS)
    bench.state.board.rows["exchange_ms"][: len(bench.state.board.slot_of)] = now_ms
    decision, _ = bench.judge(now_ms=now_ms)
    assert failed(decision.verdicts) - {"strike_delta", "strike_iv"} == {blocked}


def test_when_no_strike_passes_each_one_says_why(bench: Bench) -> None:
    for steps in range(4):
        bench.put(bench.option(SPOT + steps * 50_00), oi=10 + steps)
    decision, _ = bench.judge()
    reasons = [verdict for verdict in decision.verdicts if verdict.rule == "strike_oi"]
    assert [verdict.value for verdict in reasons] == [10, 11, 12, 13]
    symbols = [bench.option(SPOT + steps * 50_00).tradingsymbol for steps in range(4)]
    assert [verdict.note for verdict in reasons] == symbols
    assert [verdict.rule for verdict in decision.verdicts][: -len(reasons)] == SIGNAL + LAYERS + PORTFOLIO
    assert not decision.approved


def test_without_a_forward_everything_that_needs_none_still_answers(bench: Bench) -> None:
    for one in bench.state.inputs.book:
        if one.is_option and one.token in bench.state.board.slot_of:
            bench.put(one, bid_paise=0)
    decision, _ = bench.judge()
    assert [verdict.rule for verdict in decision.verdicts] == [*SIGNAL, *LAYERS, *PORTFOLIO, "forward_known"]
    assert answer_of(decision.verdicts, "forward_known") == (Outcome.UNKNOWN, True)
    assert not decision.approved


def test_an_index_that_is_too_old_is_asked_for_by_rest(bench: Bench) -> None:
    bench.put(bench.inputs.index, exchange_ms=ELEVEN - 5_001)
    decision, out = bench.judge()
    assert failed(decision.verdicts) == {"index_age"}
    assert FetchQuotes((bench.inputs.index.token,)) in out


def test_one_signal_is_bought_once(bench: Bench) -> None:
    first, _ = bench.judge()
    second, out = bench.judge(now_ms=ELEVEN + 1_000)
    assert first.approved
    assert failed(second.verdicts) == {"one_entry_per_signal"}
    assert second.signal_id == first.signal_id
    assert len(out) == 1


def test_a_signal_gets_a_new_id_whenever_the_direction_changes(bench: Bench) -> None:
    up, down, avoid = Direction.BULLISH, Direction.BEARISH, Direction.AVOID
    ids, signals = [], []
    for k, direction in enumerate([avoid, up, up, down, avoid, avoid, down, up]):
        decision, out = bench.judge(direction, ELEVEN + k)
        ids.append(decision.signal_id[-4:])
        signals += [one.record for one in out if isinstance(one, Persist) and isinstance(one.record, SignalRecord)]
    assert ids == ["", "S001", "S001", "S002", "", "", "S003", "S004"]
    assert [one.signal_id[-4:] for one in signals] == ["S001", "S002", "S003", "S004"]
    assert [one.direction for one in signals] == [up, down, down, up]


def test_no_tag_is_used_twice(bench: Bench) -> None:
    tags = []
    for k in range(4):
        decision, _ = bench.judge(Direction.BULLISH if k % 2 else Direction.BEARISH, ELEVEN + k)
        tags += [decision.tag] if decision.approved else []
    assert len(tags) == len(set(tags)) == len(bench.state.trades) == 3, "three positions are the limit"


def test_a_bar_without_a_signal_is_a_decision_too(bench: Bench) -> None:
    decision, out = bench.judge(Direction.AVOID)
    assert out == [Persist(decision)]
    assert (decision.direction, decision.signal_id, decision.approved) == (Direction.AVOID, "", False)
    assert [verdict.rule for verdict in decision.verdicts] == SIGNAL
    assert decision.features["spot"] == SPOT / 100


def test_size_and_risk_follow_the_capital_that_is_left(bench: Bench) -> None:
    """After a loss the band, the allocation and the risk are those of what is left."""
    bench.state.realised_net_paise = -bench.state.starting_balance_paise // 2
    poorer, _ = bench.judge()
    bench.state.realised_net_paise = 0
    richer, _ = bench.judge(Direction.BEARISH)
    assert 0 < poorer.quantity < richer.quantity
    risk = verdict_of(richer.verdicts, "portfolio_heat_pct").value
    assert risk is not None
    assert risk < bench.state.params.sizing.heat_max_pct


@pytest.fixture(scope="module")
def paused_day(shared_data: Path, rules: MarketRules, settings: Settings) -> Bench:
    """The recorded session to noon through `step`, with quick indicators, never armed."""
    params = settings.engine_params()
    signal = replace(params.signal, supertrend_period=5, adx_period=5, adx_min_primary=15.0, adx_min_confirmation=15.0)
    source = RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules, seed=5)
    bench = Bench.over(source, rules, replace(params, signal=signal))
    step(bench.state, Operator(source.session.open_ms, OperatorAction.PAUSE, "a day to look at"))
    for now_ms in range(source.session.open_ms, source.session.open_ms + 165 * MINUTE_MS, 1000):
        bench.second(now_ms)
    return bench


def test_every_closed_minute_of_the_recorded_day_has_its_decision(paused_day: Bench) -> None:
    decisions = [
        one.record for one in paused_day.commands if isinstance(one, Persist) and isinstance(one.record, DecisionRecord)
    ]
    assert len(decisions) == paused_day.memory.primary.bars > 130
    assert [int(one.decision_id[-4:]) for one in decisions] == list(range(1, len(decisions) + 1))
    minutes = [(one.time_ms - paused_day.state.inputs.open_ms) / MINUTE_MS for one in decisions]
    assert all(minute % 1 == pytest.approx(2 / 60) for minute in minutes), "two seconds after the minute"
    assert len(set(minutes)) == len(minutes)


def test_signals_of_the_recorded_day_change_id_exactly_with_the_direction(paused_day: Bench) -> None:
    kept = [one.record for one in paused_day.commands if isinstance(one, Persist)]
    decisions = [one for one in kept if isinstance(one, DecisionRecord)]
    grouped = groupby(decisions, lambda one: one.direction)
    runs = [(direction, {one.signal_id for one in run}) for direction, run in grouped]
    assert all(len(ids) == 1 for _, ids in runs)
    standing = [ids.pop() for direction, ids in runs if direction is not Direction.AVOID]
    assert standing == [one.signal_id for one in kept if isinstance(one, SignalRecord)]
    assert len(set(standing)) == len(standing) > 3


def test_a_paused_engine_sends_nothing_on_the_recorded_day_and_says_so(paused_day: Bench) -> None:
    assert not any(isinstance(one, PlaceEntry) for one in paused_day.commands)
    kept = [one.record for one in paused_day.commands if isinstance(one, Persist)]
    standing = [one for one in kept if isinstance(one, DecisionRecord) and one.signal_id]
    assert standing
    for one in standing:
        assert {*SIGNAL, *PORTFOLIO} <= {verdict.rule for verdict in one.verdicts}
        assert "mode_active" in failed(one.verdicts)
