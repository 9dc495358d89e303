"""Before a session may open positions: what the broker holds must be what the journal says."""

from collections.abc import Collection

from g6_core.domain.events import BrokerSnapshot, Mode
from g6_core.engine.state import EngineState

# How often is looked for a person's word (an accepted evening, a confirmed day) that is all that is missing.
WORD_MS = 10_000


def position_differences(
    state: EngineState, positions: tuple[tuple[int, int, str], ...], tokens: Collection[int] | None = None
) -> list[str]:
    """Where the broker's (token, quantity, product) and the journal's trades differ; of these tokens, or of all."""
    held: dict[int, int] = {}
    for trade in state.open_trades:
        held[trade.instrument.token] = held.get(trade.instrument.token, 0) + state.open_quantity(trade)
    broker: dict[int, int] = {}
    for token, quantity, _ in positions:
        # One row a product: what is held in another one is a difference too.
        broker[token] = broker.get(token, 0) + quantity
    return [
        f"position of token {token}: broker has {broker.get(token, 0)}, journal {held.get(token, 0)}"
        for token in sorted(broker.keys() | held.keys())
        if broker.get(token, 0) != held.get(token, 0) and (tokens is None or token in tokens)
    ]


def reason_to_arm(state: EngineState) -> str:
    """Return what the journal says when a session is armed."""
    text = "broker and journal agree, day pack and configuration match"
    confirmed = f"; {state.inputs.trade_date} is provisional and was confirmed"
    return text + confirmed if state.inputs.provisional else text


def reasons_not_to_arm(state: EngineState, snapshot: BrokerSnapshot) -> list[str]:
    """Why the session must stay paused. Empty is good.

    What the broker holds differs from what the journal says, or an operator's halt or flatten still stands.
    """
    if snapshot.positions is None:
        return ["the broker's positions are not known"]
    reasons = position_differences(state, snapshot.positions)
    reasons += [
        f"order {view.order_id} is open at the broker and not ours"
        for view in snapshot.orders
        if not view.is_terminal and view.order_id in state.foreign_orders
    ]
    reasons += [
        f"the broker holds less of {trade.instrument.tradingsymbol} ({state.params.execution.product}) than the journal"
        for trade in state.open_trades
        if (known := state.shortfalls.get(trade.instrument.token)) is not None and known.certain
    ]
    if state.mode in (Mode.HALTED, Mode.REDUCING):
        reasons.append(f"an operator left the day {state.mode}")
    return reasons
