"""What the sidecar says about itself: one immutable picture a second, and what changed between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from g6_core.domain.events import Mode
from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.domain.orders import RESTING
from g6_core.domain.records import TradeRecord
from g6_core.engine.guards import marked_pnl_paise
from g6_core.engine.holdings import held_quantity
from g6_core.engine.state import EngineState, Phase
from g6_stream.feed import FeedCounters, KiteFeed
from g6_stream.kept import most_first
from g6_stream.outlook import Outlook
from g6_stream.trading import TradingSession

FEED_AGE_MAX_MS = 5_000


@dataclass(frozen=True, slots=True)
class PositionStatus:
    """One open trade. Prices in paise; `cover` is the resting exit order at the broker, "" when there is none."""

    trade_id: str
    tradingsymbol: str
    quantity: int
    entry_paise: int
    last_paise: int
    stop_paise: int
    cover: str
    exit_reason: str


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """One order that is not done."""

    tag: str
    order_id: str
    tradingsymbol: str
    side: str
    phase: str
    status: str
    quantity: int
    filled_quantity: int


@dataclass(frozen=True, slots=True)
class TradeStatus:
    """One round trip of the day. Prices in paise, the result after charges."""

    trade_id: str
    tradingsymbol: str
    quantity: int
    entry_paise: int
    exit_paise: int
    exit_ms: int
    exit_reason: str
    net_pnl_paise: int


@dataclass(frozen=True, slots=True)
class Status:
    """The sidecar at `time_ms`. `reasons` say why it would not enter now; empty is ready.

    `outlooks` say why no signal stands or none is entered, index by index; `no_signal` and `refusals` count the rules
    that blocked; `feed_problem` is what a connected feed does not bring.
    """

    time_ms: int
    execution: str
    mode: str
    armed: bool
    reasons: tuple[str, ...]
    positions: tuple[PositionStatus, ...]
    orders: tuple[OrderStatus, ...]
    closed_trades: tuple[str, ...]
    day_pnl_paise: int
    cash_paise: int
    feed_connected: bool
    feed_age_ms: int
    subscribed: int
    feed: FeedCounters
    decisions: int
    refusals: dict[str, int]
    journal_records: int
    journal_sha256: str
    outlooks: tuple[Outlook, ...] = ()
    no_signal: dict[str, int] = field(default_factory=dict)
    trades: tuple[TradeStatus, ...] = ()
    feed_problem: str = ""


def status_of(session: TradingSession, feed: KiteFeed, execution: str, now_ms: int) -> Status:
    """The picture of this moment."""
    state = session.state
    records, chain = session.journal_head
    counters = feed.counters
    return Status(
        time_ms=now_ms,
        execution=execution,
        mode=state.mode,
        armed=session.armed,
        reasons=tuple(_reasons(session, feed, now_ms)),
        positions=_positions(state, now_ms),
        orders=_orders(state),
        closed_trades=tuple(trade_id for trade_id, trade in session.kept.trades.items() if trade.exit_ms),
        day_pnl_paise=round(marked_pnl_paise(state)),
        cash_paise=state.cash_paise,
        feed_connected=feed.connected,
        feed_age_ms=_feed_age_ms(feed, now_ms),
        subscribed=len(feed.wanted),
        feed=FeedCounters(counters.frames, counters.ticks, counters.garbage, counters.connects, counters.losses),
        decisions=session.kept.decisions,
        refusals=most_first(session.kept.refusals),
        journal_records=records,
        journal_sha256=chain,
        outlooks=tuple(
            session.outlooks.of(state, one, session.kept.latest.get(one.underlying), now_ms)
            for one in state.inputs.underlyings
        ),
        no_signal=most_first(session.kept.no_signal),
        trades=tuple(_trade_status(one) for one in session.kept.trades.values() if one.exit_ms),
        feed_problem=feed.sickness,
    )


def _trade_status(trade: TradeRecord) -> TradeStatus:
    return TradeStatus(
        trade.trade_id,
        trade.tradingsymbol,
        trade.quantity,
        trade.entry_paise,
        trade.exit_paise,
        trade.exit_ms,
        trade.exit_reason,
        trade.net_pnl_paise,
    )


def _feed_age_ms(feed: KiteFeed, now_ms: int) -> int:
    return max(now_ms - feed.heard_ms, 0) if feed.heard_ms else -1


def _reasons(session: TradingSession, feed: KiteFeed, now_ms: int) -> list[str]:
    reasons = []
    if not session.armed:
        reasons.append("not armed")
    if session.state.mode is not Mode.ACTIVE:
        reasons.append(f"mode is {session.state.mode}")
    if not feed.connected:
        sickness = feed.sickness
        reasons.append(f"the feed brings no data: {sickness}" if sickness else "the feed is not connected")
    elif _feed_age_ms(feed, now_ms) > FEED_AGE_MAX_MS:
        reasons.append("the feed is silent")
    if session.book_problem:
        reasons.append(f"order book: {session.book_problem}")
    if session.state.circuit_tripped_ms:
        reasons.append("the daily loss limit was reached")
    return reasons


def _positions(state: EngineState, now_ms: int) -> tuple[PositionStatus, ...]:
    found = []
    for trade in state.open_trades:
        quote = state.board.quote(trade.instrument.token)
        resting = [
            order
            for tag in trade.exit_tags
            if (order := state.orders[tag]).phase is not Phase.DONE and order.status in RESTING
        ]
        cover = f"{resting[0].order_type} {resting[0].order_id}" if resting else ""
        found.append(
            PositionStatus(
                trade.trade_id,
                trade.instrument.tradingsymbol,
                held_quantity(state, trade, now_ms),
                round(state.entry_average(trade)),
                quote.ltp_paise if quote is not None else 0,
                trade.stop_paise,
                cover,
                trade.exit_reason or "",
            )
        )
    return tuple(found)


def _orders(state: EngineState) -> tuple[OrderStatus, ...]:
    return tuple(
        OrderStatus(
            tag,
            order.order_id,
            order.request.tradingsymbol,
            order.request.side,
            order.phase,
            order.status,
            order.quantity or order.request.quantity,
            order.filled_quantity,
        )
        for tag, order in state.orders.items()
        if order.phase is not Phase.DONE
    )


def changes(before: Status | None, after: Status, trades: Mapping[str, TradeRecord]) -> list[str]:
    """Return what a person wants to read in the log: mode, feed, positions opened and closed (as in `trades`)."""
    clock = ist_clock(after.time_ms)
    lines = []
    if before is None or before.mode != after.mode:
        lines.append(f"{clock} mode {after.mode}")
    if before is not None and before.feed_connected != after.feed_connected:
        up = f"connected, {after.subscribed} instruments subscribed"
        lines.append(f"{clock} feed {up if after.feed_connected else 'lost'}")
    known = {one.trade_id for one in before.positions if one.quantity} if before is not None else set()
    for one in after.positions:
        if one.quantity and one.trade_id not in known:
            lines.append(f"{clock} holds {one.quantity} {one.tradingsymbol} at {rupees_text(one.entry_paise)}")
    done = set(before.closed_trades) if before is not None else set()
    lines += [f"{clock} {_closed(trades[trade_id])}" for trade_id in after.closed_trades if trade_id not in done]
    return lines


def _closed(trade: TradeRecord) -> str:
    """At which price, why, and what it brought."""
    sold = f"{trade.quantity} {trade.tradingsymbol} at {rupees_text(trade.exit_paise)} ({trade.exit_reason})"
    return f"closed {sold}, net Rs {rupees_text(trade.net_pnl_paise)} after charges"


def farewell(status: Status) -> str:
    """The last line of the log: what is left at the broker when this process has gone."""
    held = [one for one in status.positions if one.quantity]
    if not held:
        return f"{ist_clock(status.time_ms)} ended flat, day's result Rs {rupees_text(status.day_pnl_paise)}"
    said = "; ".join(
        f"{one.quantity} {one.tradingsymbol} "
        + (f"covered by the resting order {one.cover}" if one.cover else "WITHOUT a resting exit order")
        for one in held
    )
    until_then = "; nobody matches paper orders until then" if status.execution == "paper" else ""
    return f"{ist_clock(status.time_ms)} ended while holding {said}; start again to go on{until_then}"
