"""The driver: compares what should stand at the broker with what does, and emits the smallest safe command.

It runs after every event. Each open trade has at most one live exit order: a resting stop-limit that is
turned into a limit through the bid when a rule says out, and priced again when the market jumped it.
"""

from g6_core.domain.charges import order_charges
from g6_core.domain.events import Alert, Cancel, Command, Mode, Modify, Persist, PlaceExit
from g6_core.domain.money import average_paise, tick_floor
from g6_core.domain.orders import RESTING, OrderRequest, OrderType, Product, Side, Status, Validity
from g6_core.domain.records import ExitReason, Purpose, TradeRecord
from g6_core.engine.book import MAX_BACKOFF_DOUBLINGS
from g6_core.engine.entries import next_tag
from g6_core.engine.exits import lock_level, stop_level
from g6_core.engine.holdings import held_quantity, in_doubt, may_offer, needs_exit
from g6_core.engine.state import EngineState, Phase, Trade, WorkingOrder

ENTRY_PATIENCE_MS = 10_000
# Modifications kept back from moving the stop, so that an exit can always be priced again.
RESERVED_MODIFICATIONS = 8


def drive(state: EngineState, now_ms: int, out: list[Command]) -> None:
    """One pass over the open trades. When HALTED or after the close nothing is sent; what is flat is still closed."""
    for trade in state.open_trades:
        may_send = state.mode is not Mode.HALTED and now_ms < state.close_ms(trade)
        entry = state.orders[trade.entry_tag]
        if may_send:
            _watch_entry(trade, entry, now_ms, out)
            _withdraw_surplus(state, trade, now_ms, out)
        if state.open_quantity(trade) > 0:
            _note_open(state, trade, out)
            if may_send:
                _cover(state, trade, now_ms, out)
        elif entry.phase is Phase.DONE:
            _finish(state, trade, entry, now_ms, out)


def _take_back(order: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    """Cancel an order that rests; one that is on its way somewhere is asked again when it has arrived."""
    if order.phase is Phase.LIVE and order.status in RESTING and now_ms >= order.not_before_ms:
        order.phase = Phase.CANCELLING
        order.changed_ms = now_ms
        out.append(Cancel(order.request.tag, order.order_id))


def _withdraw_surplus(state: EngineState, trade: Trade, now_ms: int, out: list[Command]) -> None:
    """Exits beyond the one that is needed: an order that was given up on is alive, or somebody else sold."""
    alive = [state.orders[tag] for tag in trade.exit_tags if state.orders[tag].phase is not Phase.DONE]
    for order in alive[1 if needs_exit(state, trade, now_ms) else 0 :]:
        _take_back(order, now_ms, out)


def _watch_entry(trade: Trade, entry: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    """An entry is immediate-or-cancel; one that lingers, or that is no longer wanted, is taken back."""
    unwanted = trade.exit_reason is not None or now_ms - entry.sent_ms >= ENTRY_PATIENCE_MS
    if unwanted:
        _take_back(entry, now_ms, out)


def lock_reached(state: EngineState, trade: Trade) -> bool:
    """True once the high-water mark passed the break-even level."""
    return trade.high_water_mark_paise >= lock_level(state.entry_average(trade), state.params.exits.break_even_at_pct)


def _wanted_stop(state: EngineState, trade: Trade) -> int:
    exits = state.params.exits
    level = stop_level(
        state.entry_average(trade),
        float(trade.high_water_mark_paise),
        exits.stop_loss_pct,
        exits.break_even_at_pct,
        exits.trail_pct,
    )
    return max(tick_floor(int(level), trade.instrument.tick_paise), trade.instrument.tick_paise)


def _stop_limit(state: EngineState, trade: Trade, trigger_paise: int) -> int:
    width = state.params.execution.stop_limit_width_pct
    return max(
        tick_floor(int(trigger_paise * (1 - width / 100)), trade.instrument.tick_paise), trade.instrument.tick_paise
    )


def _through_bid(state: EngineState, trade: Trade) -> int:
    """A limit that crosses the bid; the last price stands in when there is no bid."""
    quote = state.board.quote(trade.instrument.token)
    reference = (quote.bid_paise or quote.ltp_paise) if quote is not None else int(state.entry_average(trade))
    tick = trade.instrument.tick_paise
    return max(tick_floor(int(reference * (1 - state.params.execution.exit_through_pct / 100)), tick), tick)


def _cover(state: EngineState, trade: Trade, now_ms: int, out: list[Command]) -> None:
    """What is held must have one live exit order of the right kind, size and price."""
    live = next((state.orders[tag] for tag in trade.exit_tags if state.orders[tag].phase is not Phase.DONE), None)
    if live is None:
        quantity = may_offer(state, trade, now_ms)
        if quantity > 0:
            _place_exit(state, trade, quantity, now_ms, out)
        return
    if live.phase is not Phase.LIVE or live.status not in RESTING or now_ms < live.not_before_ms:
        return
    if trade.exit_reason is None and live.order_type == OrderType.SL and live.status == Status.OPEN:
        trade.exit_reason = ExitReason.TRAILING_STOP if lock_reached(state, trade) else ExitReason.STOP_LOSS
    if in_doubt(state, trade, now_ms) or held_quantity(state, trade, now_ms) == 0:
        return
    if trade.exit_reason is None:
        _keep_stop(state, trade, live, now_ms, out)
    else:
        _chase(state, trade, live, now_ms, out)


def _failures(state: EngineState, trade: Trade) -> int:
    """How many exits in a row ended without a sale and against our will."""
    count = 0
    for tag in reversed(trade.exit_tags):
        order = state.orders[tag]
        used_up = order.modifications >= state.params.execution.max_modifications
        if order.filled_quantity > 0 or (used_up and order.status == Status.CANCELLED):
            break
        count += 1
    return count


def _place_exit(state: EngineState, trade: Trade, quantity: int, now_ms: int, out: list[Command]) -> None:
    failed = _failures(state, trade)
    if failed:
        last = state.orders[trade.exit_tags[-1]]
        patience = state.params.execution.reprice_ms << min(failed - 1, MAX_BACKOFF_DOUBLINGS)
        if now_ms - last.changed_ms < patience:
            return
    if trade.exit_reason is None:
        trigger = _wanted_stop(state, trade)
        order_type, price = OrderType.SL, _stop_limit(state, trade, trigger)
    else:
        trigger = 0
        order_type, price = OrderType.LIMIT, _through_bid(state, trade)
    parent = trade.exit_tags[-1] if trade.exit_tags else trade.entry_tag
    request = OrderRequest(
        next_tag(state, Purpose.EXIT),
        trade.instrument.exchange,
        trade.instrument.tradingsymbol,
        trade.instrument.token,
        Side.SELL,
        quantity,
        Product(state.params.execution.product),
        order_type,
        Validity.DAY,
        price,
        trigger,
    )
    state.orders[request.tag] = WorkingOrder(
        request, parent, trade.trade_id, trade.decision_id, Purpose.EXIT, Phase.SENDING, now_ms, now_ms,
        order_type=order_type, quantity=quantity, price_paise=price, trigger_paise=trigger,
    )  # fmt: skip
    trade.exit_tags.append(request.tag)
    trade.stop_paise = trigger or trade.stop_paise
    out.append(PlaceExit(request))


def _change(
    order: WorkingOrder, order_type: str, quantity: int, price: int, trigger: int, now_ms: int, out: list[Command]
) -> None:
    order.phase = Phase.MODIFYING
    order.changed_ms = now_ms
    order.modifications += 1
    order.order_type, order.quantity = order_type, quantity
    order.price_paise, order.trigger_paise = price, trigger
    out.append(Modify(order.request.tag, order.order_id, order_type, quantity, price, trigger))


def _total_for(state: EngineState, trade: Trade, live: WorkingOrder, now_ms: int) -> int:
    """New total quantity of the live exit: what it has sold already plus what is still held."""
    return live.filled_quantity + held_quantity(state, trade, now_ms)


def _keep_stop(state: EngineState, trade: Trade, live: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    """Move the resting stop up when it is worth a modification, and size it to what was really bought."""
    total = _total_for(state, trade, live, now_ms)
    wanted = _wanted_stop(state, trade)
    trade.stop_paise = wanted
    far = wanted >= live.trigger_paise * (1 + state.params.execution.stop_move_min_pct / 100)
    spare = live.modifications < state.params.execution.max_modifications - RESERVED_MODIFICATIONS
    if total != live.quantity or (far and spare):
        if live.modifications >= state.params.execution.max_modifications:
            _take_back(live, now_ms, out)
            return
        trigger = max(wanted, live.trigger_paise)
        _change(live, OrderType.SL, total, _stop_limit(state, trade, trigger), trigger, now_ms, out)


def _chase(state: EngineState, trade: Trade, live: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    """Make the live exit a limit through the bid, and price it again while the market runs away from it."""
    price = _through_bid(state, trade)
    total = _total_for(state, trade, live, now_ms)
    is_stop = live.status == Status.TRIGGER_PENDING
    jumped = price < live.price_paise and now_ms - live.changed_ms >= state.params.execution.reprice_ms
    if not (is_stop or jumped or total != live.quantity):
        return
    if live.modifications >= state.params.execution.max_modifications:
        _take_back(live, now_ms, out)
        return
    _change(live, OrderType.LIMIT, total, price, 0, now_ms, out)


def trade_record(state: EngineState, trade: Trade) -> TradeRecord:
    """The trade as it is kept in the ledger; P&L and charges of what was filled so far, in paise."""
    entry = state.orders[trade.entry_tag]
    sales = [state.orders[tag] for tag in trade.exit_tags]
    sold = sum(order.filled_quantity for order in sales)
    proceeds = sum(order.turnover_paise for order in sales)
    rates = next(one.charge_rates for one in state.inputs.underlyings if one.underlying == trade.underlying)
    charges = sum(
        order_charges(rates, Side(order.request.side), order.turnover_paise).total_paise
        for order in (entry, *sales)
        if order.filled_quantity > 0
    )
    gross = proceeds - entry.turnover_paise if sold == entry.filled_quantity else 0
    held = 0 if trade.closed_ms else state.open_quantity(trade)
    quote = state.board.quote(trade.instrument.token) if held and trade.told_after_close else None
    entered_ms, exited_ms = _fill_times(entry), _fill_times(*sales)
    return TradeRecord(
        trade.trade_id,
        trade.decision_id,
        trade.underlying,
        trade.instrument.tradingsymbol,
        trade.instrument.token,
        entry.filled_quantity,
        entered_ms[0] if entered_ms else trade.opened_ms,
        average_paise(entry.turnover_paise, entry.filled_quantity),
        (exited_ms[-1] if exited_ms else trade.closed_ms) if trade.closed_ms else 0,
        average_paise(proceeds, sold),
        trade.exit_reason or "",
        gross,
        charges,
        gross - charges,
        trade.high_water_mark_paise,
        trade.low_water_mark_paise,
        held,
        quote.mark_paise if quote is not None else 0,
        quote.exchange_ms if quote is not None else 0,
    )


def _note_open(state: EngineState, trade: Trade, out: list[Command]) -> None:
    """A position belongs in the ledger as soon as the trade book explains it, and whenever it changes."""
    held = state.open_quantity(trade)
    if held != trade.kept_quantity and all(order.fills_complete for order in state.orders_of(trade)):
        trade.kept_quantity = held
        out.append(Persist(trade_record(state, trade)))


def _fill_times(*orders: WorkingOrder) -> list[int]:
    return sorted(fill.time_ms for order in orders for fill in order.fills.values() if fill.time_ms)


def _finish(state: EngineState, trade: Trade, entry: WorkingOrder, now_ms: int, out: list[Command]) -> None:
    """Flat and nothing alive: close the books of this trade once the trade book explains every unit."""
    exits = [state.orders[tag] for tag in trade.exit_tags]
    if any(order.phase is not Phase.DONE for order in exits):
        return
    if not all(order.fills_complete for order in (entry, *exits)):
        return
    trade.closed_ms = now_ms
    memory = state.per_underlying[trade.underlying]
    if entry.filled_quantity == 0:
        # Nothing was bought: the same signal may try again at the next bar.
        memory.signal_used = memory.signal_used and memory.signal_id != trade.signal_id
        return
    short = -state.open_quantity(trade)
    if short > 0:
        out.append(Alert("critical", f"{trade.trade_id} sold {short} units more than it had bought: buy them back"))
    if trade.exit_reason is None:
        trade.exit_reason = ExitReason.TRAILING_STOP if lock_reached(state, trade) else ExitReason.STOP_LOSS
    record = trade_record(state, trade)
    trade.net_pnl_paise = record.net_pnl_paise
    state.realised_net_paise += record.net_pnl_paise
    memory.last_exit_ms = now_ms
    out.append(Persist(record))
