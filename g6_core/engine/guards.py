"""Guards: what stops an entry although the signal is good. Every guard answers, none is skipped."""

from g6_core.domain.events import Mode
from g6_core.domain.market import Quote
from g6_core.domain.orders import Side
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine.inputs import UnderlyingInputs
from g6_core.engine.state import EngineState, Phase, Trade

# Exchange stamps are whole seconds of another clock.
AHEAD_MS_MAX = 2_000


def _yes_no(rule: str, passed: bool, note: str = "") -> Verdict:
    return Verdict(rule, Outcome.PASS if passed else Outcome.FAIL, not passed, None, None, "" if passed else note)


def _at_most(rule: str, value: float, limit: float, note: str = "") -> Verdict:
    passed = value <= limit
    return Verdict(rule, Outcome.PASS if passed else Outcome.FAIL, not passed, round(value, 4), limit, note)


def _age(rule: str, age_ms: float, limit_ms: float) -> Verdict:
    """Not too old, and not from the future: then the clock of this machine is wrong, and no age means anything."""
    if age_ms < -AHEAD_MS_MAX:
        return Verdict(
            rule, Outcome.UNKNOWN, True, round(age_ms, 4), limit_ms, "stamped after now: is the clock right?"
        )
    return _at_most(rule, age_ms, limit_ms)


def open_risk_paise(state: EngineState, trade: Trade) -> float:
    """What an open trade would lose from here to its stop, and what its entry may still add to that; never below 0."""
    loss_pct = state.params.exits.stop_loss_pct
    average = state.entry_average(trade)
    stop = trade.stop_paise or average * (1 - loss_pct / 100)
    held = max(average - stop, 0.0) * state.open_quantity(trade)
    entry = state.orders[trade.entry_tag]
    if entry.phase is Phase.DONE:
        return held
    coming = entry.request.quantity - entry.filled_quantity
    return held + coming * entry.request.price_paise * loss_pct / 100


def marked_pnl_paise(state: EngineState) -> float:
    """The day's result so far: realised net of charges, open positions at the bid (last price without one)."""
    total = float(state.realised_net_paise)
    for trade in state.open_trades:
        bought = state.orders[trade.entry_tag]
        if bought.filled_quantity == 0:
            continue
        sold = sum(state.orders[tag].turnover_paise for tag in trade.exit_tags)
        quote = state.board.quote(trade.instrument.token)
        price = (quote.bid_paise or quote.ltp_paise) if quote is not None else state.entry_average(trade)
        total += sold + state.open_quantity(trade) * price - bought.turnover_paise
    return total


def portfolio_guards(state: EngineState, inputs: UnderlyingInputs, now_ms: int) -> list[Verdict]:
    """Guards that need no strike: mode, circuit, feed, unknown orders, position and trade caps, cooldown, index age."""
    params = state.params.guards
    memory = state.per_underlying[inputs.underlying]
    open_here = [trade for trade in state.open_trades if trade.underlying == inputs.underlying]
    unknown = [
        order.request.tag for trade in open_here for order in state.orders_of(trade) if order.phase is Phase.UNKNOWN
    ]
    index = state.board.quote(inputs.index.token)
    index_age = float(now_ms - index.exchange_ms) if index is not None else None
    since_exit = now_ms - memory.last_exit_ms if memory.last_exit_ms else params.cooldown_ms
    verdicts = [
        _yes_no("mode_active", state.mode is Mode.ACTIVE, f"mode is {state.mode}"),
        _yes_no("circuit_breaker", state.circuit_tripped_ms == 0, "daily loss limit was reached"),
        _yes_no("feed_connected", state.feed_connected, "feed is down"),
        _yes_no("no_unknown_order", not unknown, "outcome unknown: " + ", ".join(unknown)),
        _yes_no("one_entry_per_signal", not memory.signal_used, "this signal was traded"),
        _at_most("max_positions", len(open_here) + 1, params.max_positions_per_underlying),
        _at_most("max_trades_per_day", state.day_trades + 1, params.max_trades_per_day),
    ]
    cooled = since_exit >= params.cooldown_ms
    verdicts.append(
        Verdict(
            "cooldown",
            Outcome.PASS if cooled else Outcome.FAIL,
            not cooled,
            since_exit,
            params.cooldown_ms,
            "" if cooled else f"{since_exit // 1000} s of {params.cooldown_ms // 1000} s since the last exit",
        )
    )
    if index_age is None:
        verdicts.append(Verdict("index_age", Outcome.UNKNOWN, True, None, params.index_age_max_ms, "no index price"))
    else:
        verdicts.append(_age("index_age", index_age, params.index_age_max_ms))
    return verdicts


def order_guards(
    state: EngineState, quote: Quote, lots: int, size_reason: str, cost_paise: int, risk_paise: float, now_ms: int
) -> list[Verdict]:
    """Guards on the chosen contract: quote age, at least one lot, funds, portfolio heat."""
    heat = sum(open_risk_paise(state, trade) for trade in state.open_trades) + risk_paise
    reserved = sum(
        order.request.quantity * order.request.price_paise
        for order in state.orders.values()
        if order.phase is not Phase.DONE and order.request.side is Side.BUY
    )
    return [
        _age("quote_age", now_ms - quote.exchange_ms, state.params.guards.quote_age_max_ms),
        _yes_no("one_lot_affordable", lots > 0, f"not one lot within {size_reason}"),
        _at_most("funds", cost_paise, state.cash_paise - reserved),
        _at_most("portfolio_heat_pct", 100 * heat / state.starting_balance_paise, state.params.sizing.heat_max_pct),
    ]
