"""What is known about our orders: results of writes, pushed rows and polled books folded into working orders.

Quantities only grow and a terminal row is final, so rows that come late, twice or out of order do no harm.
The book is right: an order that was given up on (refused, not sent, absent) and is in it after all is taken back.
"""

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
from g6_core.domain.orders import RESTING, TERMINAL, OrderView, Status
from g6_core.domain.records import FillRecord, OrderRecord
from g6_core.engine import holdings
from g6_core.engine.risk_events import risk_event
from g6_core.engine.state import EngineState, Phase, WorkingOrder

MAX_BACKOFF_DOUBLINGS = 6
# A resting row that still shows the old price counts as the answer to a change only after this long.
SETTLE_MS = 1_000


def order_record(order: WorkingOrder) -> OrderRecord:
    """The order as it is kept in the ledger."""
    request = order.request
    return OrderRecord(
        request.tag,
        order.parent_tag,
        order.trade_id,
        order.decision_id,
        order.purpose,
        order.order_id,
        request.tradingsymbol,
        request.token,
        request.side,
        order.order_type,
        order.quantity,
        order.filled_quantity,
        order.price_paise,
        order.trigger_paise,
        order.average_paise,
        order.status,
        order.message,
        order.sent_ms,
        order.changed_ms,
    )


def _keep(order: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    order.changed_ms = now_ms
    out.append(Persist(order_record(order)))


def on_write_result(state: EngineState, event: WriteResult, out: list[Command]) -> None:
    """Fold in how a place, modify or cancel ended as far as this machine knows."""
    order = state.orders.get(event.tag)
    if order is None or order.phase is Phase.DONE:
        return
    if event.order_id:
        order.order_id = event.order_id
        state.tag_of_order[event.order_id] = event.tag
    match event.action, event.outcome:
        case WriteAction.PLACE, _ if order.phase is not Phase.SENDING:
            pass  # the book was faster, and it is right
        case WriteAction.PLACE, WriteOutcome.ACKED:
            order.phase = Phase.LIVE
        case WriteAction.PLACE, WriteOutcome.REFUSED | WriteOutcome.NOT_SENT:
            order.phase = Phase.DONE
            order.status = event.outcome.upper()
        case WriteAction.PLACE, WriteOutcome.UNKNOWN:
            order.phase = Phase.UNKNOWN
        case _, WriteOutcome.REFUSED | WriteOutcome.NOT_SENT:
            order.phase = Phase.LIVE
            order.not_before_ms = event.time_ms + (state.params.execution.reprice_ms << order.refused_in_a_row)
            order.refused_in_a_row = min(order.refused_in_a_row + 1, MAX_BACKOFF_DOUBLINGS)
        case _:
            pass  # a change that was accepted or is in doubt: the book will tell
    order.message = event.message
    if event.outcome is not WriteOutcome.ACKED:
        text = f"{event.action} {event.tag}: {event.outcome}: {event.message}"
        out.append(Alert("warning", text))
        out.append(Persist(risk_event(state, event.time_ms, f"order_{event.outcome}", "", 0.0, 0.0, text)))
    _keep(order, event.time_ms, out)


def _fold(order: WorkingOrder, view: OrderView, now_ms: int) -> bool:
    """Take a row of the order book; True when it told something new."""
    before = (order.phase, order.status, order.filled_quantity, order.average_paise, order.price_paise)
    final = order.phase is Phase.DONE and order.status in TERMINAL
    if view.filled_quantity < order.filled_quantity or (final and view.filled_quantity == order.filled_quantity):
        return False
    order.filled_quantity = view.filled_quantity
    order.average_paise = view.average_paise
    order.order_id = view.order_id
    order.message = view.message or order.message
    if final:
        return True
    order.status = view.status
    if view.is_terminal:
        order.phase = Phase.DONE
        order.message = view.message
        order.order_type = view.order_type or order.order_type
        order.price_paise, order.trigger_paise = view.price_paise, view.trigger_paise
    elif order.phase in (Phase.UNKNOWN, Phase.SENDING, Phase.DONE):
        order.phase = Phase.LIVE
    elif view.status in RESTING and order.phase in (Phase.MODIFYING, Phase.CANCELLING):
        agrees = (view.price_paise, view.trigger_paise) == (order.price_paise, order.trigger_paise)
        if order.phase is Phase.MODIFYING and agrees:
            order.phase = Phase.LIVE
            order.refused_in_a_row = 0
        elif now_ms - order.changed_ms >= SETTLE_MS:
            order.phase = Phase.LIVE
    if order.phase is Phase.LIVE and view.status in RESTING:
        order.price_paise = view.price_paise
        order.trigger_paise = view.trigger_paise
        order.quantity = view.quantity
    return before != (order.phase, order.status, order.filled_quantity, order.average_paise, order.price_paise)


def _foreign(state: EngineState, view: OrderView, now_ms: int, out: list[Command]) -> None:
    if view.order_id in state.foreign_orders:
        return
    state.foreign_orders.add(view.order_id)
    text = f"order {view.order_id} (tag {view.tag or 'none'}) is not ours: left alone"
    out.append(Alert("warning", text))
    out.append(Persist(risk_event(state, now_ms, "foreign_order", "", view.quantity, 0.0, text)))


def on_view(state: EngineState, view: OrderView, now_ms: int, out: list[Command]) -> None:
    """One row of the order book, pushed or polled; matched by order id, else by tag."""
    tag = state.tag_of_order.get(view.order_id, view.tag)
    order = state.orders.get(tag)
    # Kite does not keep tags unique: a second order under a tag of ours is somebody else's, however it got there.
    other = order is not None and order.order_id not in ("", view.order_id)
    if order is None or other or view.order_id in state.foreign_orders:
        _foreign(state, view, now_ms, out)
        holdings.on_foreign(state, view, now_ms)
        return
    state.tag_of_order[view.order_id] = tag
    filled = order.filled_quantity
    if _fold(order, view, now_ms):
        _keep(order, now_ms, out)
        if order.filled_quantity > filled:
            holdings.note_fill(state, order.request.token, now_ms)
        if order.phase is not Phase.DONE or order.filled_quantity > filled:
            _reopen(state, order, now_ms, out)
        if order.status == Status.REJECTED:
            text = f"{tag} rejected: {order.message}"
            out.append(Alert("warning", text))
            out.append(Persist(risk_event(state, now_ms, "order_rejected", "", 0.0, 0.0, text)))


def _reopen(state: EngineState, order: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    """An order came to life after its trade was closed: the trade is open again and will be looked after."""
    trade = state.trades.get(order.trade_id)
    if trade is None or trade.closed_ms == 0:
        return
    trade.closed_ms = 0
    state.realised_net_paise -= trade.net_pnl_paise
    trade.net_pnl_paise = 0
    text = f"{order.request.tag} of the closed trade {trade.trade_id} is {order.status} after all: opened again"
    out.append(Alert("critical", text))
    out.append(Persist(risk_event(state, now_ms, "late_order", trade.underlying, order.filled_quantity, 0.0, text)))


def on_update(state: EngineState, event: OrderUpdate, out: list[Command]) -> None:
    """A pushed row."""
    on_view(state, event.order, event.time_ms, out)


def on_snapshot(state: EngineState, event: BrokerSnapshot, out: list[Command]) -> None:
    """A polled book: orders, fills, positions, cash; orders that stay absent from it are given up at last."""
    for view in event.orders:
        on_view(state, view, event.time_ms, out)
    for fill in event.fills:
        tag = state.tag_of_order.get(fill.order_id, "")
        order = state.orders.get(tag)
        if order is not None and fill.trade_id not in order.fills:
            order.fills[fill.trade_id] = fill
            out.append(Persist(FillRecord(tag, fill)))
    holdings.on_positions(state, event, out)
    if event.cash_paise is not None:
        state.cash_paise = event.cash_paise
    present = {view.tag for view in event.orders}
    for tag, order in state.orders.items():
        waited = event.time_ms - order.sent_ms
        never_seen = order.phase not in (Phase.DONE, Phase.SENDING) and not order.status and tag not in present
        if never_seen and waited >= state.params.execution.absence_ms:
            order.phase = Phase.DONE
            order.status = "ABSENT"
            order.message = f"not in the order book {waited // 1000} s after sending"
            _keep(order, event.time_ms, out)
