"""Somebody else sells what we hold: nothing is offered beyond what a good position read shows, and a person is told."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import BrokerSnapshot, Mode, Operator, OperatorAction, OrderUpdate
from g6_core.domain.orders import Side
from g6_core.engine.holdings import CONFIRM_MS, DOUBT_MS, SETTLE_MS, UNEXPLAINED_MS, held_quantity
from g6_core.engine.state import EngineState, Trade
from tests.engine.broker import Fate, aged
from tests.engine.driving import Base, Driving, base_of

CONFIRM_S, DOUBT_S, SETTLE_S = CONFIRM_MS // 1000, DOUBT_MS // 1000, SETTLE_MS // 1000
UNEXPLAINED_S = UNEXPLAINED_MS // 1000
STOP_HIT = 0.69


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> Base:
    return base_of(tmp_path_factory.mktemp("holdings"), rules, settings)


@pytest.fixture
def world(base: Base) -> Driving:
    """225 units, covered by a resting stop, and long enough that the positions are settled."""
    found = Driving(base)
    found.tick(1)
    found.quiet(2 + SETTLE_S)
    assert found.broker.held(_token(found)) == 225
    return found


def _trade(world: Driving) -> Trade:
    return next(iter(world.state.trades.values()))


def _token(world: Driving) -> int:
    return _trade(world).instrument.token


def _offered(world: Driving) -> int:
    return sum(order.rest for order in world.broker.live_sales(_token(world)))


def _told(world: Driving) -> list[str]:
    return [one.text for one in world.alerts if one.level == "critical"]


@pytest.mark.parametrize(
    ("sold", "held", "said"),
    [
        (225, 0, "paused: the broker holds 0 of {} and the journal 225, so no exit is sent any more"),
        (150, 75, "paused: the broker holds 75 of {} and the journal 225, so only 75 will be sold"),
        (450, -225, "paused: the broker holds -225 of {} and the journal 225, so no exit is sent any more"),
    ],
)
def test_a_resting_stop_shrinks_to_what_is_left_and_the_session_is_paused(
    world: Driving, sold: int, held: int, said: str
) -> None:
    world.broker.sell_by_hand(_token(world), sold)
    world.quiet(SETTLE_S + 3)
    assert _offered(world) == max(held, 0)
    assert world.state.mode is Mode.PAUSED
    (text,) = _told(world)
    assert text.startswith(said.format(_trade(world).instrument.tradingsymbol)) and "\n" not in text
    world.factor = STOP_HIT
    world.quiet(400)
    assert world.broker.held(_token(world)) == min(held, 0)
    assert _offered(world) == 0
    assert len(_told(world)) == 1, "told once"


Sell = Callable[[Driving], None]


def _after_the_push(world: Driving) -> None:
    order = world.broker.sell_by_hand(_token(world), 225)
    world.take(OrderUpdate(world.now_ms, order.view()))


def _after_one_read(world: Driving) -> None:
    world.broker.sell_by_hand(_token(world), 225)
    world.poll()


def _after_a_read_of_positions_alone(world: Driving) -> None:
    book = world.broker.book(world.now_ms)
    world.take(replace(book, positions=((_token(world), 0, "MIS"),)))
    world.broker.sell_by_hand(_token(world), 225)


@pytest.mark.parametrize("learnt", [_after_the_push, _after_one_read, _after_a_read_of_positions_alone])
@pytest.mark.parametrize("covered", [True, False], ids=["stop rests", "stop taken away by hand"])
def test_an_exit_that_falls_due_before_it_is_certain_is_not_sent(world: Driving, learnt: Sell, covered: bool) -> None:
    (stop,) = world.broker.live_sales(_token(world))
    if not covered:
        world.fates.append(Fate.ACKED_IGNORED)
        stop.status = "CANCELLED"
    learnt(world)
    writes = world.broker.writes
    world.take(Operator(world.now_ms, OperatorAction.FLATTEN, "test"))
    assert world.broker.writes == writes
    world.fates.clear()
    world.quiet(CONFIRM_S + 3)
    assert _offered(world) == 0
    assert world.broker.held(_token(world)) == 0


def test_one_low_read_takes_nothing_back_and_is_forgotten_when_the_next_is_right(world: Driving) -> None:
    book = world.broker.book(world.now_ms)
    world.take(replace(book, positions=()))
    assert held_quantity(world.state, _trade(world), world.now_ms) == 0
    assert _offered(world) == 225
    world.quiet(1)
    assert held_quantity(world.state, _trade(world), world.now_ms) == 225
    assert world.state.mode is Mode.ACTIVE
    assert not world.state.shortfalls and not _told(world)


def _low(world: Driving, seconds: int, *sizes: int) -> None:
    """Reads in which the broker shows these sizes in turn, and no order of anybody else."""
    for second in range(seconds):
        world.tick(1)
        size = sizes[second % len(sizes)]
        world.take(replace(world.broker.book(world.now_ms), positions=((_token(world), size, "MIS"),)))
        world.check()


def test_wrong_answers_without_a_sale_in_the_order_book_leave_the_stop_where_it_is(world: Driving) -> None:
    _low(world, UNEXPLAINED_S - 1, 0)
    assert _offered(world) == 225
    assert world.state.mode is Mode.ACTIVE and not _told(world)
    world.quiet(1)
    assert held_quantity(world.state, _trade(world), world.now_ms) == 225
    world.factor = STOP_HIT
    world.quiet(10)
    assert world.broker.held(_token(world)) == 0
    assert len(world.records) == 1


@pytest.mark.parametrize("sizes", [(0,), (0, 75)], ids=["the same size", "sizes in turn"])
def test_positions_that_disagree_for_a_minute_are_believed_and_sold_by_rule_afterwards(world: Driving, sizes) -> None:
    _low(world, UNEXPLAINED_S + 4, *sizes)
    assert _offered(world) in sizes
    assert world.state.mode is Mode.PAUSED and _told(world)
    world.quiet(1)
    assert _offered(world) in sizes, "one read that shows it again may be an old one"
    world.quiet(2 + CONFIRM_S)
    assert _offered(world) == 225, "covered again as soon as the broker has shown it twice"
    assert [one.text for one in world.alerts][-1].endswith("holds 225 again: exits are as big as the position")
    assert world.state.mode is Mode.PAUSED, "a person has to look"
    world.factor = STOP_HIT
    world.quiet(10)
    assert world.broker.held(_token(world)) == 0
    assert len(world.records) == 1


def test_what_he_bought_himself_and_sold_again_explains_nothing(world: Driving) -> None:
    token = _token(world)
    sale = world.broker.sell_by_hand(token, 225)
    bought = replace(sale, order_id="B9998", request=replace(sale.request, side=Side.BUY))
    world.broker.orders[bought.order_id] = bought
    world.broker.fills.append(replace(world.broker.fills[-1], trade_id="T9998", order_id="B9998", side=Side.BUY))
    world.quiet(1 + SETTLE_S)
    assert held_quantity(world.state, _trade(world), world.now_ms) == 225
    _low(world, UNEXPLAINED_S - 1, 0)
    assert _offered(world) == 225 and not _told(world)


def test_whatever_is_in_doubt_when_all_must_be_flat_is_told(world: Driving) -> None:
    day = world.state.inputs
    exits = world.state.params.exits
    (stop,) = world.broker.live_sales(_token(world))
    stop.status = "CANCELLED"
    flat_by_s = (exits.flat_by_of_day_ms - day.of_day_ms(world.now_ms)) // 1000 + 1
    world.now_ms += (flat_by_s - 1) * 1000
    world.take(replace(world.broker.book(world.now_ms), positions=()))
    assert held_quantity(world.state, _trade(world), world.now_ms) == 0
    world.tick(1)
    (told,) = _told(world)
    assert told.startswith(f"not flat when everything must be: 225 {_trade(world).instrument.tradingsymbol}")


def _unread(world: Driving, seconds: int) -> None:
    for _ in range(seconds):
        world.tick(1)
        world.take(replace(world.broker.book(world.now_ms), positions=None))


def test_without_any_read_exits_are_sized_from_the_journal(base: Base) -> None:
    world = Driving(base)
    world.tick(1)
    _unread(world, 10)
    assert _offered(world) == 225
    world.factor = STOP_HIT
    _unread(world, 10)
    assert world.broker.held(_token(world)) == 0


def test_one_low_read_that_is_never_repeated_holds_an_exit_for_a_minute_and_no_longer(world: Driving) -> None:
    world.take(replace(world.broker.book(world.now_ms), positions=()))
    world.take(Operator(world.now_ms, OperatorAction.FLATTEN, "test"))
    _unread(world, DOUBT_S)
    assert world.broker.held(_token(world)) == 225
    _unread(world, 3)
    assert world.broker.held(_token(world)) == 0


def test_what_is_certain_stands_while_no_position_can_be_read(world: Driving) -> None:
    world.broker.sell_by_hand(_token(world), 225)
    world.quiet(SETTLE_S + 2)
    world.factor = STOP_HIT
    _unread(world, 3 * DOUBT_S)
    assert world.broker.held(_token(world)) == 0
    assert _offered(world) == 0


def test_a_single_read_that_shows_everything_again_sells_nothing(world: Driving) -> None:
    before = world.broker.book(world.now_ms).positions
    world.broker.sell_by_hand(_token(world), 225)
    world.quiet(SETTLE_S + 2)
    assert _told(world)
    world.take(Operator(world.now_ms, OperatorAction.FLATTEN, "test"))
    world.take(replace(world.broker.book(world.now_ms), positions=before))
    world.quiet(2 * CONFIRM_S)
    assert world.broker.held(_token(world)) == 0
    assert _offered(world) == 0


@pytest.mark.parametrize("then_missing", [225, 75])
def test_what_was_certain_outlives_a_later_doubt(world: Driving, then_missing: int) -> None:
    world.broker.sell_by_hand(_token(world), 150)
    world.quiet(SETTLE_S + 2)
    assert held_quantity(world.state, _trade(world), world.now_ms) == 75
    ((token, _, product),) = world.broker.book(world.now_ms).positions or ()
    world.take(replace(world.broker.book(world.now_ms), positions=((token, 225 - then_missing, product),)))
    _unread(world, DOUBT_S + 5)
    assert held_quantity(world.state, _trade(world), world.now_ms) == 75
    assert _offered(world) == 75


def test_a_book_older_than_what_is_known_says_nothing_of_positions(base: Base) -> None:
    world = Driving(base)
    world.tick(1, share=0.0)
    old = world.broker.book(world.now_ms)
    world.tick(1)
    world.quiet(1 + SETTLE_S)
    world.take(replace(aged(old, world.now_ms), positions=((_token(world), 0, "MIS"),)))
    assert not world.state.shortfalls
    world.take(replace(world.broker.book(world.now_ms), positions=((_token(world), 0, "MIS"),)))
    assert world.state.shortfalls


def test_positions_right_after_our_own_fill_say_nothing(base: Base) -> None:
    world = Driving(base)
    world.tick(1)
    world.tick(1)
    world.take(replace(world.broker.book(world.now_ms), positions=()))
    filled_ms = world.state.token_filled_ms[_token(world)]
    assert not world.state.shortfalls
    late = replace(world.broker.book(world.now_ms), positions=(), time_ms=filled_ms + SETTLE_MS)
    world.take(late)
    assert world.state.shortfalls


def test_the_same_contract_in_another_product_is_another_position(world: Driving) -> None:
    book = world.broker.book(world.now_ms)
    world.take(replace(book, positions=((_token(world), 225, "NRML"),)))
    assert held_quantity(world.state, _trade(world), world.now_ms) == 0
    world.take(replace(book, positions=((_token(world), 225, "MIS"), (_token(world), -225, "NRML"))))
    assert held_quantity(world.state, _trade(world), world.now_ms) == 225


def test_of_two_trades_in_one_contract_the_older_keeps_what_is_left(world: Driving) -> None:
    memory = world.state.per_underlying["NIFTY"]
    memory.signal_used, memory.last_exit_ms = False, 0
    world.tick(60 - world.now_ms // 1000 % 60)
    world.tick(2)
    world.quiet(4 + SETTLE_S)
    first, second = world.state.trades.values()
    assert second.instrument.token == first.instrument.token, "the bench's market keeps its strike"
    total = world.broker.held(_token(world))
    bought = world.state.open_quantity(second)
    world.broker.sell_by_hand(_token(world), 150)
    world.quiet(SETTLE_S + 3)
    assert held_quantity(world.state, first, world.now_ms) == 225
    assert held_quantity(world.state, second, world.now_ms) == max(bought - 150, 0)
    assert _offered(world) == total - 150
    world.check()


def test_somebody_elses_own_units_of_the_contract_hold_nothing_back_for_long(world: Driving) -> None:
    """He had bought 75 of the same contract before and sells them: ours are still all there."""
    token = _token(world)
    order = world.broker.sell_by_hand(token, 75)
    world.take(OrderUpdate(world.now_ms, order.view()))
    assert held_quantity(world.state, _trade(world), world.now_ms) == 150
    for _ in range(SETTLE_S + 1):
        world.tick(1)
        book: BrokerSnapshot = world.broker.book(world.now_ms)
        world.take(replace(book, positions=((token, 225, "MIS"),)))
    assert held_quantity(world.state, _trade(world), world.now_ms) == 225
    assert world.state.mode is Mode.ACTIVE


def test_what_was_learnt_of_positions_is_part_of_the_fingerprint(world: Driving) -> None:
    before, state = world.state.fingerprint(), world.state
    world.take(replace(world.broker.book(world.now_ms), positions=()))
    assert isinstance(state, EngineState) and state.fingerprint() != before
