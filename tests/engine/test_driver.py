"""The trade driver against a model broker that does everything a broker can do: never two exits, never short."""

import itertools
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import (
    Cancel,
    Modify,
    Operator,
    OperatorAction,
    OrderUpdate,
    Persist,
    PlaceEntry,
    PlaceExit,
    Second,
)
from g6_core.domain.orders import Side, Validity
from g6_core.domain.records import DecisionRecord, ExitReason, TradeRecord
from g6_core.engine.state import Phase, Trade
from tests.engine.broker import Fate, Order
from tests.engine.driving import Base, Driving, base_of

LOT = 75
QUIET_S = 150


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> Base:
    return base_of(tmp_path_factory.mktemp("driver"), rules, settings)


def _machine(base: Base) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        @initialize(
            entry=st.sampled_from([Fate.ACKED, *Fate]),
            later=st.lists(st.sampled_from(Fate), max_size=3),
            share=st.sampled_from([0.0, 0.3, 1.0]),
        )
        def begin(self, entry: Fate, later: list[Fate], share: float) -> None:
            """The first entry and the writes that follow it, with any fate; the book is read once."""
            self.world = Driving(base)
            self.world.fates.extend([entry, *later])
            self.world.tick(1, share)
            self.world.tick(1, share)
            self.world.poll()

        @rule(fates=st.lists(st.sampled_from(Fate), min_size=1, max_size=4))
        def doom(self, fates: list[Fate]) -> None:
            """The next writes are answered like this."""
            self.world.fates.extend(fates[: 6 - len(self.world.fates)])

        @rule(
            seconds=st.sampled_from([1, 1, 1, 3, 15]),
            move=st.sampled_from([1.0, 1.0, 1.02, 0.98, 1.08, 0.9, 0.6]),
            share=st.sampled_from([0.0, 0.3, 1.0]),
            fill_first=st.booleans(),
        )
        def time_passes(self, seconds: int, move: float, share: float, fill_first: bool) -> None:
            self.world.factor = min(max(self.world.factor * move, 0.2), 2.0)
            self.world.tick(seconds, share, fill_first)

        @rule(stale=st.booleans())
        def read_book(self, stale: bool) -> None:
            self.world.poll(stale=stale)

        @precondition(lambda self: self.world.broker.pushed)
        @rule(data=st.data(), again=st.booleans())
        def push(self, data: st.DataObject, again: bool) -> None:
            """Any row of the past arrives: late, out of order, and perhaps not for the last time."""
            rows = self.world.broker.pushed
            place = data.draw(st.integers(max(len(rows) - 6, 0), len(rows) - 1))
            row = rows[place] if again else rows.pop(place)
            self.world.take(OrderUpdate(self.world.now_ms, row))

        @rule(action=st.sampled_from([OperatorAction.PAUSE, OperatorAction.ARM, OperatorAction.FLATTEN]))
        def operator(self, action: OperatorAction) -> None:
            self.world.take(Operator(self.world.now_ms, action, "test"))

        @rule(share=st.sampled_from([0.3, 1.0]))
        def another_signal(self, share: float) -> None:
            """The minute ends with a signal that was not traded yet."""
            memory = self.world.state.per_underlying["NIFTY"]
            memory.signal_used, memory.last_exit_ms = False, 0
            self.world.tick(60 - self.world.now_ms // 1000 % 60, share)
            self.world.tick(2, share)  # a bar is closed two seconds after its end

        @invariant()
        def nothing_is_wrong(self) -> None:
            if hasattr(self, "world"):
                self.world.check()

        def teardown(self) -> None:
            if hasattr(self, "world"):
                self.world.quiet(QUIET_S)
                self.world.check()
                self.world.check_quiet()

    return Machine


@pytest.mark.parametrize("examples", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_whatever_the_broker_does_exits_stay_single_covered_and_bounded(base: Base, examples: int) -> None:
    run_state_machine_as_test(
        _machine(base),
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def held(base: Base) -> Driving:
    """A position that is covered by its stop."""
    world = Driving(base)
    world.tick(1)
    world.quiet(2)
    (order,) = world.broker.live_sales(_trade(world).instrument.token)
    assert order.status == "TRIGGER PENDING"
    return world


def _trade(world: Driving) -> Trade:
    return next(iter(world.state.trades.values()))


def _only_sale(world: Driving) -> Order:
    (order,) = world.broker.live_sales(_trade(world).instrument.token)
    return order


def test_the_stop_follows_the_high_water_mark_and_never_falls(held: Driving) -> None:
    triggers = [_only_sale(held).trigger_paise]
    for factor in (1.05, 1.15, 1.25, 1.24, 1.35, 1.33):
        held.factor = factor
        held.quiet(3)
        triggers.append(_only_sale(held).trigger_paise)
    assert triggers == sorted(triggers)
    entry = held.state.entry_average(_trade(held))
    assert triggers[0] == int(entry * 0.7) // 5 * 5
    assert triggers[-1] >= entry * 1.29


def test_an_entry_that_fills_lot_by_lot_has_its_stop_grow_with_it(base: Base) -> None:
    world = Driving(base)
    world.fates.append(Fate.ACKED)
    world.tick(1, share=0.0)
    entry = world.broker.orders["B0001"]
    entry.request = replace(entry.request, validity=Validity.DAY)
    seen = []
    for _ in range(6):
        world.tick(1, share=0.4)
        world.poll()
        world.check()
        seen.append((entry.filled, sum(order.rest for order in world.broker.live_sales(entry.request.token))))
    world.quiet(3)
    assert [filled for filled, _ in seen][:3] == [150, 225, 225]
    assert _only_sale(world).quantity == world.broker.held(entry.request.token) == 225


def test_an_entry_that_lingers_is_taken_back_after_ten_seconds(base: Base) -> None:
    world = Driving(base)
    world.tick(1, share=0.0)
    for _ in range(9):
        world.tick(1, share=0.0)
        world.poll()
    entry = world.broker.orders["B0001"]
    assert entry.transit is None
    world.tick(1, share=0.0)
    assert isinstance(entry.transit, Cancel)
    world.tick(1, share=0.0)
    world.poll()
    assert entry.status == "CANCELLED"
    assert world.state.open_trades == []
    assert not world.state.per_underlying["NIFTY"].signal_used, "the signal may try again"


def test_changes_that_are_never_carried_out_end_in_a_cancel_and_a_new_order(held: Driving) -> None:
    first = _only_sale(held)
    held.fates.append(Fate.ACKED_IGNORED)
    held.take(Operator(held.now_ms, OperatorAction.FLATTEN, "test"))
    for _ in range(60):
        if held.broker.orders[first.order_id].transit is not None:
            break
        held.fates.clear()
        limit = held.state.params.execution.max_modifications
        held.fates.append(Fate.ACKED_IGNORED if first.modifications < limit else Fate.ACKED)
        held.tick(1, share=0.0)
        held.poll()
        held.check()
    assert first.modifications == held.state.params.execution.max_modifications
    assert isinstance(first.transit, Cancel)
    held.quiet(3)
    assert held.broker.held(first.request.token) == 0
    assert [record.exit_reason for record in held.records] == [ExitReason.OPERATOR]


def test_exits_that_are_rejected_one_after_another_come_ever_more_slowly(held: Driving) -> None:
    stop = _only_sale(held)
    stop.status = "CANCELLED"  # somebody did it by hand
    sent = []
    for _ in range(400):
        held.fates = deque([Fate.ACKED_IGNORED])
        before = held.broker.writes
        held.tick(1)
        held.poll()
        if held.broker.writes > before:
            sent.append(held.now_ms // 1000)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert len(gaps) >= 5
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 128
    held.fates.clear()
    held.quiet(130)
    assert _only_sale(held).quantity == held.broker.held(stop.request.token)


def test_a_stop_that_is_jumped_over_becomes_a_limit_that_follows_the_bid(held: Driving) -> None:
    held.factor = 0.5
    held.tick(1)
    order = held.broker.orders["B0002"]
    assert order.status == "OPEN"
    held.factor = 0.4
    held.quiet(6)
    assert order.status == "COMPLETE"
    assert [record.exit_reason for record in held.records] == [ExitReason.STOP_LOSS]
    assert held.state.per_underlying["NIFTY"].last_exit_ms > 0


@pytest.mark.parametrize("fate", [Fate.UNKNOWN_LATE, Fate.UNKNOWN_NEVER])
def test_an_exit_in_doubt_is_waited_for_and_never_doubled(base: Base, fate: Fate) -> None:
    world = Driving(base)
    world.fates.extend([Fate.ACKED, fate])
    world.tick(1)
    absence_s = world.state.params.execution.absence_ms // 1000
    for _ in range(absence_s - 2):
        world.tick(1)
        world.poll()
        world.check()
    assert world.broker.sent_tags == ["G6250829E00001", "G6250829X00002"]
    world.quiet(10)
    found_late = fate is Fate.UNKNOWN_LATE
    assert _only_sale(world).request.tag == ("G6250829X00002" if found_late else "G6250829X00003")
    assert _only_sale(world).quantity == 225


def test_a_second_exit_that_turns_out_to_be_alive_is_taken_back(held: Driving) -> None:
    first = _only_sale(held)
    held.broker.orders.pop(first.order_id)
    known = held.state.orders[first.request.tag]
    known.phase, known.status = Phase.DONE, "ABSENT"
    held.tick(1)
    held.quiet(3)
    second = _only_sale(held)
    held.broker.orders[first.order_id] = first
    held.quiet(3)
    assert {first.status, second.status} == {"TRIGGER PENDING", "CANCELLED"}
    held.check()


def test_halted_sends_nothing_and_still_sees_what_happens(held: Driving) -> None:
    held.take(Operator(held.now_ms, OperatorAction.HALT, "kill"))
    writes = held.broker.writes
    for factor in (1.5, 0.69):
        held.factor = factor
        held.quiet(5)
    assert held.broker.writes == writes
    assert held.broker.held(_trade(held).instrument.token) == 0, "the resting stop was hit"
    assert len(held.records) == 1


def test_selling_more_than_was_bought_is_told_to_a_person(held: Driving) -> None:
    order = _only_sale(held)
    order.quantity += LOT
    held.factor = 0.69
    held.quiet(3)
    assert any("sold 75 units more than it had bought" in one.text for one in held.alerts if one.level == "critical")


def test_the_circuit_that_trips_in_the_second_of_a_signal_stops_its_entry(held: Driving) -> None:
    state = held.state
    state.per_underlying["NIFTY"].signal_used = False
    left = 60 - held.now_ms // 1000 % 60
    held.tick(left + 1)
    assert state.circuit_tripped_ms == 0
    state.realised_net_paise -= state.starting_balance_paise
    commands = held.take(Second(held.now_ms + 1_000))
    assert state.circuit_tripped_ms > 0
    assert not any(isinstance(command, PlaceEntry) for command in commands)
    decisions = [one.record for one in commands if isinstance(one, Persist) and isinstance(one.record, DecisionRecord)]
    assert any(verdict.rule == "circuit_breaker" and verdict.blocks for verdict in decisions[-1].verdicts)


def test_after_the_close_nothing_is_sent_and_what_is_held_is_told_with_its_last_price(held: Driving) -> None:
    trade = _trade(held)
    close_ms, seen_ms = held.state.close_ms(trade), held.now_ms
    quote = held.state.board.quote(trade.instrument.token)
    assert quote is not None
    # No second of the time exit was lived: everything that it would send is still to be sent after the close.
    given = [command for late_ms in (0, 2_000, 6_000) for command in held.take(Second(close_ms + late_ms))]
    assert not any(isinstance(command, PlaceExit | Modify | Cancel) for command in given)
    (record,) = [one.record for one in given if isinstance(one, Persist) and isinstance(one.record, TradeRecord)]
    assert (record.exit_ms, record.open_quantity) == (0, held.broker.held(trade.instrument.token))
    assert (record.mark_paise, record.mark_ms) == (quote.mark_paise, quote.exchange_ms)
    assert quote.exchange_ms <= seen_ms
    assert record.gross_pnl_paise == 0, "what it cost is no loss"
    (told,) = [one for one in held.alerts if "after the close" in one.text]
    assert (told.level, "no price since" in told.text) == ("critical", True)


def test_a_trade_ends_when_its_last_unit_was_sold_not_when_that_was_read(held: Driving) -> None:
    held.factor = 0.69
    held.tick(1)
    held.tick(1)
    held.quiet(3)
    (record,) = held.records
    sold = [fill.time_ms for fill in held.broker.fills if fill.side is Side.SELL]
    bought = [fill.time_ms for fill in held.broker.fills if fill.side is Side.BUY]
    assert (record.entry_ms, record.exit_ms) == (bought[0], sold[-1])
    assert record.exit_ms < held.state.trades[record.trade_id].closed_ms


@pytest.mark.parametrize("flat", [True, False])
def test_a_position_at_the_time_to_be_flat_is_told_once(held: Driving, flat: bool) -> None:
    if flat:
        held.take(Operator(held.now_ms, OperatorAction.FLATTEN, "test"))
        held.quiet(3)
    until = held.state.inputs.day_start_ms + held.state.params.exits.flat_by_of_day_ms
    for now_ms in (until - 1_000, until, until + 1_000):
        held.fates.extend([Fate.ACKED_IGNORED] * 3)
        told = len(held.alerts)
        held.take(Second(now_ms))
        late = [one.text for one in held.alerts[told:] if one.level == "critical"]
        assert bool(late) == (now_ms == until and not flat)
        assert all(_trade(held).instrument.tradingsymbol in text for text in late)
