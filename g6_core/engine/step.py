"""`step`: one event in, commands out. Synchronous, deterministic, single-threaded; live, paper and replay alike."""

from typing import assert_never

from g6_core.domain.events import (
    Alert,
    BrokerSnapshot,
    Command,
    Event,
    FeedState,
    Frame,
    Mode,
    Operator,
    OperatorAction,
    OrderUpdate,
    Persist,
    Second,
    Subscribe,
    Unsubscribe,
    WriteResult,
)
from g6_core.domain.records import ExitReason
from g6_core.engine import book, driver, entries
from g6_core.engine.exits import HOLD, REASONS, exit_code
from g6_core.engine.guards import marked_pnl_paise
from g6_core.engine.holdings import held_quantity, in_doubt
from g6_core.engine.indicators import adx_step, supertrend_step
from g6_core.engine.inputs import UnderlyingInputs
from g6_core.engine.risk_events import risk_event
from g6_core.engine.state import EngineState, FrameState, Phase, Trade
from g6_core.engine.strikes import nearest_place

PRIMARY = 0
# The window follows the money once it has moved this many strikes.
RECENTRE_STEPS = 2


def step(state: EngineState, event: Event) -> tuple[Command, ...]:
    """Take one event; the state changes in place, the commands are what the shell must do now, in order."""
    out: list[Command] = []
    match event:
        case Frame():
            state.board.apply(event.ticks, event.time_ms)
            _check_exits(state)
        case Second():
            _on_second(state, event, out)
        case OrderUpdate():
            book.on_update(state, event, out)
        case WriteResult():
            book.on_write_result(state, event, out)
        case BrokerSnapshot():
            book.on_snapshot(state, event, out)
        case Operator():
            _on_operator(state, event, out)
        case FeedState():
            _on_feed(state, event, out)
        case _:
            assert_never(event)
    driver.drive(state, event.time_ms, out)
    return tuple(out)


def _on_feed(state: EngineState, event: FeedState, out: list[Command]) -> None:
    """The feed came or went: a risk event of the day, however short it was."""
    if event.connected == state.feed_connected:
        return
    now_ms = event.time_ms
    state.feed_connected = event.connected
    if not event.connected:
        state.feed_lost_ms = now_ms
        text = event.reason or "the feed was lost"
        out.append(Persist(risk_event(state, now_ms, "feed_lost", "", 0.0, 0.0, text)))
        return
    away_s = (now_ms - state.feed_lost_ms) / 1000 if state.feed_lost_ms else 0.0
    out.append(Persist(risk_event(state, now_ms, "feed_back", "", away_s, 0.0, f"feed back after {away_s:.0f} s")))


def _on_second(state: EngineState, event: Second, out: list[Command]) -> None:
    now_ms = event.time_ms
    # Exits and the circuit first: what trips in this second must stop the entries of this second.
    _check_exits(state)
    _check_circuit(state, now_ms, out)
    if state.inputs.of_day_ms(now_ms) >= state.params.exits.time_exit_of_day_ms:
        _close_all(state, ExitReason.TIME_EXIT)
    _check_flat(state, now_ms, out)
    _tell_after_close(state, now_ms, out)
    for place, inputs in enumerate(state.inputs.underlyings):
        closed = state.board.close_bars(place, now_ms)
        for bar in closed:
            memory = state.per_underlying[inputs.underlying]
            _update(memory.primary if bar[0] == PRIMARY else memory.confirmation, bar, state)
        if any(bar[0] == PRIMARY for bar in closed):
            entries.on_bar(state, inputs, now_ms, out)
        _follow_money(state, inputs, out)


def _update(frame: FrameState, bar: tuple[int, ...], state: EngineState) -> None:
    signal = state.params.signal
    _, start_ms, _, high, low, close, _ = bar
    frame.direction = supertrend_step(
        frame.supertrend, high, low, close, signal.supertrend_period, signal.supertrend_multiplier
    )
    frame.adx_value = adx_step(frame.adx, high, low, close, signal.adx_period)
    frame.close_paise = close
    frame.start_ms = start_ms
    frame.bars += 1


def _follow_money(state: EngineState, inputs: UnderlyingInputs, out: list[Command]) -> None:
    """Keep the strikes around the money subscribed, and drop what neither the window nor a trade needs."""
    memory = state.per_underlying[inputs.underlying]
    index = state.board.quote(inputs.index.token)
    if index is None:
        if inputs.index.token not in state.subscribed:
            state.subscribed.add(inputs.index.token)
            out.append(Subscribe((inputs.index.token,)))
        return
    strikes = state.inputs.book.strikes(inputs.underlying, inputs.expiry)
    at_money = nearest_place(strikes, index.ltp_paise)
    if memory.centre_paise and abs(nearest_place(strikes, memory.centre_paise) - at_money) < RECENTRE_STEPS:
        return
    memory.centre_paise = strikes[at_money]
    reach = state.params.strikes.window_steps
    window = {
        one.token
        for strike in strikes[max(at_money - reach, 0) : at_money + reach + 1]
        for side in ("CE", "PE")
        if (one := state.inputs.book.option(inputs.underlying, inputs.expiry, strike, side)) is not None
    }
    held = {trade.instrument.token for trade in state.open_trades}
    others = {
        token
        for token in state.subscribed
        if (known := state.inputs.book.by_token(token)) is None or known.underlying != inputs.underlying
    }
    wanted = window | held | others | {inputs.index.token}
    added, dropped = sorted(wanted - state.subscribed), sorted(state.subscribed - wanted)
    state.subscribed = wanted
    state.board.watch(tuple(added))
    if added:
        out.append(Subscribe(tuple(added)))
    if dropped:
        out.append(Unsubscribe(tuple(dropped)))


def _check_exits(state: EngineState) -> None:
    """Price rules of every open trade against its newest tick."""
    for trade in state.open_trades:
        if state.open_quantity(trade) > 0:
            _mark(state, trade)


def _mark(state: EngineState, trade: Trade) -> None:
    quote = state.board.quote(trade.instrument.token)
    entry = state.entry_average(trade)
    last = quote.mark_paise if quote is not None else round(entry)
    trade.high_water_mark_paise = max(trade.high_water_mark_paise, last, round(entry))
    trade.low_water_mark_paise = min(trade.low_water_mark_paise or last, last)
    if quote is None or trade.exit_reason is not None:
        return
    exits = state.params.exits
    code = exit_code(
        float(last),
        entry,
        float(trade.high_water_mark_paise),
        exits.stop_loss_pct,
        exits.take_profit_pct,
        exits.break_even_at_pct,
        exits.trail_pct,
    )
    if code != HOLD:
        trade.exit_reason = REASONS[code]


def _check_circuit(state: EngineState, now_ms: int, out: list[Command]) -> None:
    """The daily loss limit: everything out, and no entry until the next day."""
    if state.circuit_tripped_ms:
        return
    limit = -state.starting_balance_paise * state.params.exits.circuit_pct / 100
    result = marked_pnl_paise(state)
    if result > limit:
        return
    state.circuit_tripped_ms = now_ms
    _close_all(state, ExitReason.CIRCUIT_BREAKER)
    text = f"day's result {result / 100:.2f} reached the limit {limit / 100:.2f}: flat and blocked until the next day"
    out.append(Alert("critical", text))
    out.append(Persist(risk_event(state, now_ms, "circuit_breaker", "", result, limit, text)))


def _check_flat(state: EngineState, now_ms: int, out: list[Command]) -> None:
    """From `flat_by` on nothing may be open; if something is, a person must know, once."""
    if state.not_flat_ms or state.inputs.of_day_ms(now_ms) < state.params.exits.flat_by_of_day_ms:
        return
    held = [
        f"{quantity} {trade.instrument.tradingsymbol}"
        for trade in state.open_trades
        for doubtful in (in_doubt(state, trade, now_ms),)
        for quantity in (state.open_quantity(trade) if doubtful else held_quantity(state, trade, now_ms),)
        if quantity != 0 or any(order.phase is not Phase.DONE for order in state.orders_of(trade))
    ]
    if not held:
        return
    state.not_flat_ms = now_ms
    text = f"not flat when everything must be: {', '.join(held)}; look at the broker's terminal now"
    out.append(Alert("critical", text))
    out.append(Persist(risk_event(state, now_ms, "not_flat", "", float(len(held)), 0.0, text)))


def _tell_after_close(state: EngineState, now_ms: int, out: list[Command]) -> None:
    """What is held when its contract has closed stays held: it is told, and kept with its last price, once."""
    for trade in state.open_trades:
        held = state.open_quantity(trade)
        if held <= 0 or trade.told_after_close or now_ms < state.close_ms(trade):
            continue
        trade.told_after_close = True
        record = driver.trade_record(state, trade)
        text = f"{trade.trade_id} is still held after the close: {record.open_text()}; look at the broker's terminal"
        out.append(Alert("critical", text))
        out.append(Persist(record))
        out.append(Persist(risk_event(state, now_ms, "open_after_close", trade.underlying, float(held), 0.0, text)))


def _close_all(state: EngineState, reason: ExitReason) -> None:
    for trade in state.open_trades:
        if trade.exit_reason is None:
            trade.exit_reason = reason


def _on_operator(state: EngineState, event: Operator, out: list[Command]) -> None:
    before = state.mode
    match event.action:
        case OperatorAction.ARM:
            state.mode = Mode.ACTIVE
        case OperatorAction.PAUSE:
            state.mode = Mode.PAUSED
        case OperatorAction.FLATTEN:
            state.mode = Mode.REDUCING
            _close_all(state, ExitReason.OPERATOR)
        case OperatorAction.HALT:
            state.mode = Mode.HALTED
        case _:
            assert_never(event.action)
    text = f"{before} -> {state.mode}: {event.reason}"
    out.append(Persist(risk_event(state, event.time_ms, "mode", "", 0.0, 0.0, text)))
