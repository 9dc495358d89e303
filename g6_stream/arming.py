"""Before the first event: the day pack becomes the engine's inputs, and the reasons not to arm are collected."""

from datetime import time

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.events import BrokerSnapshot
from g6_core.domain.ist import at
from g6_core.engine.inputs import DayInputs, UnderlyingInputs
from g6_core.engine.params import EngineParams
from g6_core.engine.state import EngineState
from g6_core.schema.day_pack import DayPack


def day_inputs(pack: DayPack, rules: MarketRules, params: EngineParams) -> DayInputs:
    """What the engine is told before the open; a pack without a tradable expiry is a DataError."""
    underlyings = []
    for name in pack.underlyings:
        index = pack.indices[name]
        spec = rules.index(name)
        minimum = params.strikes.min_days_to_expiry[name]
        later = sorted(one.expiry for one in index.packed if (one.expiry - pack.trade_date).days >= minimum)
        if not later:
            raise DataError(
                f"day pack of {pack.trade_date}: no {name} expiry {minimum} or more days away; prepare it again"
            )
        expiry = later[0]
        underlyings.append(
            UnderlyingInputs(
                underlying=name,
                index=index.index_row,
                expiry=expiry,
                expiry_close_ms=rules.session(expiry, spec.option_exchange, expiry).close_ms,
                days_to_expiry=(expiry - pack.trade_date).days,
                freeze_quantity=index.freeze_quantity,
                charge_rates=rules.charge_rates(spec.option_exchange, pack.trade_date),
                iv_history_pct=tuple(point.atm_iv_pct for point in index.iv_history),
                oi_history=tuple(point.oi for point in index.oi_history),
            )
        )
    packs = [pack.indices[name] for name in pack.underlyings]
    return DayInputs(
        trade_date=pack.trade_date,
        day_start_ms=at(pack.trade_date, time(0, 0)),
        open_ms=min(one.session_open_ms for one in packs),
        close_ms=max(one.session_close_ms for one in packs),
        book=pack.book(),
        underlyings=tuple(underlyings),
    )


def reasons_not_to_arm(state: EngineState, snapshot: BrokerSnapshot) -> list[str]:
    """Why the session must stay paused: what the broker holds differs from what the journal says. Empty is good."""
    held: dict[int, int] = {}
    for trade in state.open_trades:
        held[trade.instrument.token] = held.get(trade.instrument.token, 0) + state.open_quantity(trade)
    broker = {token: quantity for token, quantity in snapshot.positions or () if quantity}
    reasons = [
        f"position of token {token}: broker has {broker.get(token, 0)}, journal {held.get(token, 0)}"
        for token in sorted(broker.keys() | held.keys())
        if broker.get(token, 0) != held.get(token, 0)
    ]
    reasons += [
        f"order {view.order_id} is open at the broker and not ours"
        for view in snapshot.orders
        if not view.is_terminal and view.order_id in state.foreign_orders
    ]
    return reasons
