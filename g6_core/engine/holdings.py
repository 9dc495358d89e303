"""What the broker shows that we hold, against the journal: nothing is sold that somebody else has sold already.

A position read is good when the same book knows all our fills and none of the contract is younger than `SETTLE_MS`.
A good read below the journal holds exits back at once. It becomes certain with a second one after `CONFIRM_MS` when
somebody else's sales in the order book explain it, with the first that agrees with such a sale just pushed, and without
any sale only after `UNEXPLAINED_MS` of low reads: an endpoint that answers wrongly must not uncover what is held. Then
resting exits shrink or are taken back, a person is told, the session is paused, and this stands until two good reads,
`CONFIRM_MS` apart, show more. One low read that no other repeats is doubt, and doubt ends after `DOUBT_MS` with what
was certain before. No read says nothing, in either direction: the last knowledge stays, else the journal.
"""

from g6_core.domain.events import Alert, BrokerSnapshot, Command, Mode, Persist
from g6_core.domain.orders import OrderView, Side
from g6_core.engine.risk_events import risk_event
from g6_core.engine.state import EngineState, Phase, Shortfall, Trade

SETTLE_MS = 2_000
CONFIRM_MS = 5_000
UNEXPLAINED_MS = 60_000
DOUBT_MS = 60_000


def note_fill(state: EngineState, token: int, now_ms: int) -> None:
    """Something of this contract was bought or sold, by us or by others: an older position read says nothing."""
    state.token_filled_ms[token] = now_ms


def on_foreign(state: EngineState, view: OrderView, now_ms: int) -> None:
    """Somebody else's order: what it sold of a contract that we hold may be ours, until a position read tells."""
    sold = view.filled_quantity - state.foreign_filled.get(view.order_id, 0)
    if sold <= 0:
        return
    state.foreign_filled[view.order_id] = view.filled_quantity
    note_fill(state, view.token, now_ms)
    if view.side is Side.SELL and _journal(state, view.token) > 0:
        known = state.shortfalls.get(view.token)
        missing = sold + (known.missing if known else 0)
        state.shortfalls[view.token] = Shortfall(missing, now_ms, now_ms, witnessed=True, settled=_settled(known))


def on_positions(state: EngineState, event: BrokerSnapshot, out: list[Command]) -> None:
    """Compare a read of the positions, if it is a good one, with what the journal holds of each contract."""
    tokens = {trade.instrument.token: trade.instrument.tradingsymbol for trade in state.open_trades}
    state.shortfalls = {token: known for token, known in state.shortfalls.items() if token in tokens}
    if event.positions is None:
        return
    # Another product of the same contract is another position: selling against it would open a new one.
    product = state.params.execution.product
    for token, tradingsymbol in tokens.items():
        if _is_good(state, token, event):
            held = sum(quantity for one, quantity, kind in event.positions if (one, kind) == (token, product))
            _compare(state, token, tradingsymbol, held, _sold_by_others(state, token, event), event.time_ms, out)


def _is_good(state: EngineState, token: int, event: BrokerSnapshot) -> bool:
    if event.time_ms - state.token_filled_ms.get(token, -SETTLE_MS) < SETTLE_MS:
        return False
    filled = {view.order_id: view.filled_quantity for view in event.orders}
    ours = [order for order in state.orders.values() if order.request.token == token]
    return all(filled.get(order.order_id, 0) >= order.filled_quantity for order in ours)


def _sold_by_others(state: EngineState, token: int, event: BrokerSnapshot) -> int:
    """Units of a contract that somebody else has sold today, less what he bought, by the order book of this read."""
    theirs = [view for view in event.orders if view.token == token and view.order_id in state.foreign_orders]
    return sum(view.filled_quantity if view.side is Side.SELL else -view.filled_quantity for view in theirs)


def _compare(
    state: EngineState, token: int, tradingsymbol: str, held: int, sold: int, now_ms: int, out: list[Command]
) -> None:
    journal = _journal(state, token)
    missing, known = journal - held, state.shortfalls.get(token)
    if missing <= 0:
        if known is not None and _settled(known) and now_ms - (known.more_ms or now_ms) < CONFIRM_MS:
            known.more_ms = known.more_ms or now_ms
            return
        state.shortfalls.pop(token, None)
        if _settled(known):
            text = f"{tradingsymbol}: the broker holds {held} again: exits are as big as the position"
            out.append(Alert("warning", text))
        return
    witnessed = known is not None and known.witnessed and missing <= known.missing
    if known is not None and (witnessed or missing == known.missing):
        known.missing, known.read_ms, known.witnessed, known.more_ms = missing, now_ms, False, 0
    else:
        # Low reads of another size do not renew a doubt for ever.
        doubted = known is not None and not (known.certain or known.witnessed)
        since_ms = known.since_ms if known is not None and doubted else now_ms
        known = Shortfall(missing, since_ms, now_ms, settled=_settled(known))
        state.shortfalls[token] = known
    wait_ms = 0 if witnessed else CONFIRM_MS if sold >= missing else UNEXPLAINED_MS
    if known.certain or now_ms - known.since_ms < wait_ms:
        return
    known.certain = True
    doing = f"only {held} will be sold" if held > 0 else "no exit is sent any more"
    text = (
        f"paused: the broker holds {held} of {tradingsymbol} and the journal {journal}, so {doing}; if you sold it by "
        "hand leave it so, else look at the broker's terminal; no entry until the position is again as in the journal"
    )
    out.append(Alert("critical", text))
    out.append(Persist(risk_event(state, now_ms, "position_short", "", float(held), float(journal), text)))
    if state.mode is Mode.ACTIVE:
        state.mode = Mode.PAUSED
        out.append(Persist(risk_event(state, now_ms, "mode", "", 0.0, 0.0, f"{Mode.ACTIVE} -> {Mode.PAUSED}: {text}")))


def _journal(state: EngineState, token: int) -> int:
    return sum(state.open_quantity(trade) for trade in state.open_trades if trade.instrument.token == token)


def _settled(known: Shortfall | None) -> int:
    """Units that are certainly missing, or were before a doubt."""
    if known is None:
        return 0
    return known.missing if known.certain else known.settled


def _shortfall(state: EngineState, trade: Trade, now_ms: int) -> Shortfall | None:
    known = state.shortfalls.get(trade.instrument.token)
    if known is not None and not known.certain and now_ms - known.read_ms > DOUBT_MS:
        return Shortfall(known.settled, known.read_ms, known.read_ms, certain=True) if known.settled else None
    return known


def in_doubt(state: EngineState, trade: Trade, now_ms: int) -> bool:
    """True while less than the journal's quantity was seen once: nothing more is sold, nothing is taken back."""
    known = _shortfall(state, trade, now_ms)
    return known is not None and not known.certain


def needs_exit(state: EngineState, trade: Trade, now_ms: int) -> bool:
    """Whether a live exit of this trade is to stay where it is."""
    return state.open_quantity(trade) > 0 and (
        in_doubt(state, trade, now_ms) or held_quantity(state, trade, now_ms) > 0
    )


def held_quantity(state: EngineState, trade: Trade, now_ms: int) -> int:
    """Units of a trade that can still be sold; where some are missing the older trades keep theirs."""
    known = _shortfall(state, trade, now_ms)
    if known is None:
        return state.open_quantity(trade)
    token = trade.instrument.token
    left = max(_journal(state, token) - known.missing, 0)
    for other in state.open_trades:
        if other.instrument.token == token:
            share = min(max(state.open_quantity(other), 0), left)
            if other is trade:
                return share
            left -= share
    return 0


def may_offer(state: EngineState, trade: Trade, now_ms: int) -> int:
    """Size of a new exit order: what is held, less what our other orders that still work might sell of it."""
    known = _shortfall(state, trade, now_ms)
    if known is None:
        return state.open_quantity(trade)
    token = trade.instrument.token
    working = sum(
        order.quantity - order.filled_quantity
        for order in state.orders.values()
        if order.request.token == token and order.request.side is Side.SELL and order.phase is not Phase.DONE
    )
    return min(held_quantity(state, trade, now_ms), _journal(state, token) - known.missing - working)
