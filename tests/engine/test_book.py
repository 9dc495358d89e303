"""What is known of our orders: rows late, doubled and out of order, writes in doubt, orders that were given up on."""

import itertools
from dataclasses import replace

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import (
    Alert,
    BrokerSnapshot,
    Command,
    OrderUpdate,
    Persist,
    WriteAction,
    WriteOutcome,
    WriteResult,
)
from g6_core.domain.orders import Fill, OrderView, Side, Status
from g6_core.domain.records import FillRecord, OrderRecord, RiskEventRecord
from g6_core.engine.book import SETTLE_MS, on_snapshot, on_update, on_write_result
from g6_core.engine.state import EngineState, Phase, WorkingOrder
from tests.engine.book_kit import NOW_MS, TAG, entering
from tests.engine.kit import Bench

ORDER_ID = "B0001"
TOKEN = 1


@pytest.fixture
def state(rules: MarketRules, settings: Settings) -> EngineState:
    """An engine whose entry of 150 units is being sent."""
    return entering(Bench.scripted(rules, settings.engine_params()))[0]


def _row(status: str, filled: int = 0, **other: int | str) -> OrderView:
    row = OrderView(ORDER_ID, TAG, status, TOKEN, Side.BUY, 150, filled, 100_00 if filled else 0, 101_00, 0, "")
    return replace(row, **other)  # type: ignore[arg-type]


def _push(state: EngineState, row: OrderView, at_ms: int = NOW_MS) -> list[Command]:
    out: list[Command] = []
    on_update(state, OrderUpdate(at_ms, row), out)
    return out


def _result(state: EngineState, action: WriteAction, outcome: WriteOutcome, at_ms: int = NOW_MS) -> list[Command]:
    out: list[Command] = []
    on_write_result(state, WriteResult(at_ms, TAG, action, outcome, ORDER_ID, "said so"), out)
    return out


def _read(state: EngineState, *rows: OrderView, fills: tuple[Fill, ...] = (), at_ms: int = NOW_MS) -> list[Command]:
    out: list[Command] = []
    on_snapshot(state, BrokerSnapshot(at_ms, rows, fills), out)
    return out


def _order(state: EngineState) -> WorkingOrder:
    return state.orders[TAG]


@pytest.mark.parametrize(
    ("outcome", "phase", "status"),
    [
        (WriteOutcome.ACKED, Phase.LIVE, ""),
        (WriteOutcome.UNKNOWN, Phase.UNKNOWN, ""),
        (WriteOutcome.REFUSED, Phase.DONE, "REFUSED"),
        (WriteOutcome.NOT_SENT, Phase.DONE, "NOT_SENT"),
    ],
)
def test_the_answer_to_a_placement_decides_what_is_known(
    state: EngineState, outcome: WriteOutcome, phase: Phase, status: str
) -> None:
    out = _result(state, WriteAction.PLACE, outcome)
    assert (_order(state).phase, _order(state).status, _order(state).message) == (phase, status, "said so")
    kinds = [type(one) if not isinstance(one, Persist) else type(one.record) for one in out]
    assert kinds == ([] if outcome is WriteOutcome.ACKED else [Alert, RiskEventRecord]) + [OrderRecord]


@pytest.mark.parametrize("outcome", list(WriteOutcome))
def test_an_answer_that_comes_after_the_book_changes_nothing_that_the_book_said(
    state: EngineState, outcome: WriteOutcome
) -> None:
    _push(state, _row(Status.OPEN))
    _result(state, WriteAction.PLACE, outcome)
    assert (_order(state).phase, _order(state).status) == (Phase.LIVE, Status.OPEN)


LIFE = (
    _row(Status.PUT_ORDER_REQ_RECEIVED),
    _row(Status.OPEN),
    _row(Status.OPEN, 75),
    _row(Status.CANCELLED, 75),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_rows_in_any_order_and_doubled_end_in_the_same_place(state: EngineState, order: tuple[int, ...]) -> None:
    _result(state, WriteAction.PLACE, WriteOutcome.ACKED)
    for place in (*order, *order):
        _push(state, LIFE[place])
    known = _order(state)
    assert (known.phase, known.status, known.filled_quantity, known.average_paise) == (
        Phase.DONE,
        Status.CANCELLED,
        75,
        100_00,
    )


def test_a_fill_after_the_end_still_counts_but_does_not_bring_the_order_back(state: EngineState) -> None:
    _push(state, _row(Status.CANCELLED))
    _push(state, _row(Status.OPEN, 75))
    assert (_order(state).phase, _order(state).status, _order(state).filled_quantity) == (
        Phase.DONE,
        Status.CANCELLED,
        75,
    )


def test_an_order_in_doubt_is_found_in_the_book_by_its_tag(state: EngineState) -> None:
    out: list[Command] = []
    on_write_result(state, WriteResult(NOW_MS, TAG, WriteAction.PLACE, WriteOutcome.UNKNOWN, "", "timeout"), out)
    _read(state, _row(Status.OPEN), at_ms=NOW_MS + 90_000)
    assert (_order(state).phase, _order(state).order_id) == (Phase.LIVE, ORDER_ID)


@pytest.mark.parametrize("outcome", [WriteOutcome.UNKNOWN, WriteOutcome.ACKED])
def test_an_order_that_never_shows_up_is_given_up_only_after_the_absence_time(
    state: EngineState, outcome: WriteOutcome
) -> None:
    wait_ms = state.params.execution.absence_ms
    _result(state, WriteAction.PLACE, outcome)
    _read(state, at_ms=NOW_MS + wait_ms - 1)
    assert _order(state).phase is not Phase.DONE
    _read(state, at_ms=NOW_MS + wait_ms)
    assert (_order(state).phase, _order(state).status) == (Phase.DONE, "ABSENT")
    assert _order(state).message == "not in the order book 120 s after sending"


def test_an_order_that_was_seen_once_is_never_absent(state: EngineState) -> None:
    _push(state, _row(Status.OPEN))
    _read(state, at_ms=NOW_MS + 10 * state.params.execution.absence_ms)
    assert _order(state).phase is Phase.LIVE


@pytest.mark.parametrize("outcome", [WriteOutcome.REFUSED, WriteOutcome.NOT_SENT])
def test_an_order_that_was_refused_and_is_in_the_book_after_all_is_ours(
    state: EngineState, outcome: WriteOutcome
) -> None:
    _result(state, WriteAction.PLACE, outcome)
    _push(state, _row(Status.OPEN, 75))
    assert (_order(state).phase, _order(state).filled_quantity) == (Phase.LIVE, 75)
    assert state.foreign_orders == set()


def test_an_order_of_a_closed_trade_that_comes_to_life_opens_it_again(state: EngineState) -> None:
    trade = next(iter(state.trades.values()))
    _result(state, WriteAction.PLACE, WriteOutcome.REFUSED)
    trade.closed_ms, trade.net_pnl_paise, state.realised_net_paise = NOW_MS, 5_00, 12_00
    out = _push(state, _row(Status.COMPLETE, 150))
    assert state.open_trades == [trade]
    assert state.open_quantity(trade) == 150
    assert state.realised_net_paise == 7_00
    assert [one.level for one in out if isinstance(one, Alert)] == ["critical"]


def test_a_refused_change_waits_longer_each_time_until_one_is_taken(state: EngineState) -> None:
    pause_ms = state.params.execution.reprice_ms
    _push(state, _row(Status.OPEN))
    order = _order(state)
    waits = []
    for _ in range(9):
        order.phase = Phase.MODIFYING
        _result(state, WriteAction.MODIFY, WriteOutcome.REFUSED)
        assert order.phase is Phase.LIVE
        waits.append((order.not_before_ms - NOW_MS) // pause_ms)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    order.phase = Phase.MODIFYING
    _push(state, _row(Status.OPEN))
    order.phase = Phase.MODIFYING
    _result(state, WriteAction.MODIFY, WriteOutcome.REFUSED)
    assert order.not_before_ms - NOW_MS == pause_ms


@pytest.mark.parametrize("phase", [Phase.MODIFYING, Phase.CANCELLING])
def test_a_row_that_does_not_show_the_change_is_believed_only_after_a_while(state: EngineState, phase: Phase) -> None:
    _push(state, _row(Status.OPEN))
    order = _order(state)
    order.phase, order.price_paise, order.changed_ms = phase, 95_00, NOW_MS
    _push(state, _row(Status.OPEN), NOW_MS + SETTLE_MS - 1)
    assert (order.phase, order.price_paise) == (phase, 95_00)
    _push(state, _row(Status.OPEN), NOW_MS + SETTLE_MS)
    assert (order.phase, order.price_paise) == (Phase.LIVE, 101_00)


def test_fills_count_once_and_only_for_our_orders(state: EngineState) -> None:
    mine = Fill("T1", ORDER_ID, TOKEN, Side.BUY, 75, 100_00, NOW_MS)
    other = replace(mine, trade_id="T2", order_id="X9")
    out = _read(state, _row(Status.OPEN, 150), fills=(mine, other))
    out += _read(state, _row(Status.OPEN, 150), fills=(mine, other))
    kept = [one.record for one in out if isinstance(one, Persist) and isinstance(one.record, FillRecord)]
    assert kept == [FillRecord(TAG, mine)]
    assert not _order(state).fills_complete
    assert _order(state).turnover_paise == 150 * 100_00, "by the average until the trade book has caught up"
    _read(state, fills=(replace(mine, trade_id="T3", price_paise=102_00),))
    assert _order(state).fills_complete
    assert _order(state).turnover_paise == 75 * 100_00 + 75 * 102_00


def test_a_foreign_order_is_told_once_and_left_alone(state: EngineState) -> None:
    row = _row(Status.OPEN, order_id="X9", tag="by hand")
    out = _push(state, row) + _push(state, row) + _read(state, row)
    assert [one.text for one in out if isinstance(one, Alert)] == ["order X9 (tag by hand) is not ours: left alone"]
    assert state.foreign_orders == {"X9"}
    assert set(state.orders) == {TAG}


def test_cash_is_taken_only_when_it_was_asked_for(state: EngineState) -> None:
    state.cash_paise = 1
    _read(state)
    assert state.cash_paise == 1
    on_snapshot(state, BrokerSnapshot(NOW_MS, (), (), (), 55), [])
    assert state.cash_paise == 55


def test_a_second_order_under_a_tag_of_ours_is_not_ours(state: EngineState) -> None:
    _result(state, WriteAction.PLACE, WriteOutcome.ACKED)
    out = _read(state, _row(Status.COMPLETE, 300, order_id="OLD", quantity=300), _row(Status.CANCELLED))
    order = _order(state)
    assert (order.order_id, order.filled_quantity, order.status) == (ORDER_ID, 0, Status.CANCELLED)
    assert state.foreign_orders == {"OLD"}
    assert [one.text for one in out if isinstance(one, Alert)] == [f"order OLD (tag {TAG}) is not ours: left alone"]


def test_a_stop_that_filled_while_it_was_being_changed_is_kept_as_the_broker_has_it(state: EngineState) -> None:
    order = _order(state)
    _result(state, WriteAction.PLACE, WriteOutcome.ACKED)
    order.order_type, order.price_paise, order.trigger_paise = "LIMIT", 90_00, 0
    _result(state, WriteAction.MODIFY, WriteOutcome.REFUSED)
    _push(state, _row(Status.COMPLETE, 150, order_type="SL", price_paise=95_00, trigger_paise=97_00))
    assert (order.order_type, order.price_paise, order.trigger_paise, order.message) == ("SL", 95_00, 97_00, "")
