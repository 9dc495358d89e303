"""One trading session: every event through one inbox (stamp, journal, step), every command carried out in order.

The loop is a generator that yields the next time it wants to be woken, so that the same code runs under
virtual time in one process and under real time in its own.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kiteconnect import KiteConnect

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.journal import Healing, Journal, read_journal
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import (
    Alert,
    Cancel,
    Command,
    Event,
    FetchQuotes,
    Frame,
    Mode,
    Modify,
    Operator,
    OperatorAction,
    OrderUpdate,
    Persist,
    PlaceEntry,
    PlaceExit,
    Second,
    Subscribe,
    Unsubscribe,
    WriteAction,
    WriteOutcome,
    WriteResult,
)
from g6_core.domain.records import DecisionRecord, FillRecord, OrderRecord, Record, SignalRecord, TradeRecord
from g6_core.engine.params import EngineParams
from g6_core.engine.state import EngineState, Phase
from g6_core.engine.step import step
from g6_core.ports import Clock, Feed
from g6_core.research.inputs import day_inputs
from g6_core.research.replay import Replayed, replay
from g6_core.schema.journal import Header, Kind, encode_command, encode_event
from g6_core.schema.paths import DataPaths
from g6_stream.arming import reasons_not_to_arm
from g6_stream.gateway import KiteGateway, order_view

POLL_MS = 2_000
CHECKPOINT_MS = 60_000
# Decisions reach the ledger this often; orders, fills and trades at once.
LEDGER_MS = 300_000
AFTER_CLOSE_MS = 10_000
# A broker's books may disagree among themselves for a while; only then is it a reason to stay paused for good.
DISAGREEMENT_MS = 60_000
MAX_CASCADE = 1_000


@dataclass(frozen=True, slots=True)
class TradeReport:
    """What the trading side did.

    `refusals` counts, for bars with a standing signal, each rule that blocked; `no_signal` the rules that kept one
    from standing in the other bars.
    """

    signals: int
    decisions: int
    refusals: dict[str, int]
    no_signal: dict[str, int]
    trades: tuple[TradeRecord, ...]
    alerts: tuple[str, ...]
    events: int
    state_sha256: str
    healing: str
    armed: bool


@dataclass(slots=True)
class _Kept:
    """Records on their way to the ledger, and what the report needs of them."""

    waiting: list[Record] = field(default_factory=list)
    signals: int = 0
    decisions: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    no_signal: Counter[str] = field(default_factory=Counter)
    trades: dict[str, TradeRecord] = field(default_factory=dict)

    @property
    def urgent(self) -> bool:
        """True when something about money waits."""
        return any(isinstance(record, OrderRecord | FillRecord | TradeRecord) for record in self.waiting)

    def add(self, record: Record) -> None:
        self.waiting.append(record)
        match record:
            case SignalRecord():
                self.signals += 1
            case TradeRecord():
                self.trades[record.trade_id] = record
            case DecisionRecord():
                self.decisions += 1
                if not record.approved:
                    counter = self.refusals if record.signal_id else self.no_signal
                    counter.update({verdict.rule for verdict in record.verdicts if verdict.blocks})
            case _:
                pass


def _most_first(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


class TradingSession:
    """Owns the engine state, the journal and the way to the broker for one day."""

    def __init__(
        self,
        state: EngineState,
        journal: Journal,
        gateway: KiteGateway,
        feed: Feed,
        ledger: Ledger,
        on_alert: Callable[[Alert], None] | None,
    ) -> None:
        self.state = state
        self.kept = _Kept()
        self.alerts: list[str] = []
        self.events = 0
        self.armed = False
        self._journal = journal
        self._gateway = gateway
        self._feed = feed
        self._ledger = ledger
        self._on_alert = on_alert
        self._inbox: deque[Event] = deque()
        self._hint = True
        self._polled_ms = 0
        self._checkpoints = self._ledgers = 0
        self._arm_due_ms: int | None = 0
        self._disagrees_ms = 0
        self._doubt = ""

    def take(self, event: Event) -> None:
        """Journal an event, give it to the engine and carry out what it says, until nothing follows from it."""
        self._inbox.append(event)
        for _ in range(MAX_CASCADE):
            if not self._inbox:
                return
            self._take_one(self._inbox.popleft())
        raise AssertionError(f"one event led to more than {MAX_CASCADE} others")

    def _take_one(self, event: Event) -> None:
        self.events += 1
        kind, payload = encode_event(event)
        self._journal.append(kind, event.time_ms, payload)
        commands = step(self.state, event)
        for command in commands:
            self._journal.append(Kind.COMMAND, event.time_ms, encode_command(command))
        if any(isinstance(command, PlaceEntry | PlaceExit | Modify | Cancel) for command in commands):
            self._journal.sync()  # the intent is on disk before it can leave the machine
        for command in commands:
            self._carry_out(command, event.time_ms)

    def _carry_out(self, command: Command, now_ms: int) -> None:
        match command:
            case PlaceEntry() | PlaceExit() | Modify() | Cancel():
                self._inbox.append(self._gateway.write(command))
                self._hint = True
            case Subscribe():
                self._feed.subscribe(command.tokens)
            case Unsubscribe():
                self._feed.unsubscribe(command.tokens)
            case FetchQuotes():
                self._fetch(command, now_ms)
            case Persist():
                self.kept.add(command.record)
            case Alert():
                self.alert(command)

    def alert(self, alert: Alert) -> None:
        """Keep an alert for the report and tell whoever listens."""
        self.alerts.append(alert.text)
        if self._on_alert is not None:
            self._on_alert(alert)

    def _fetch(self, command: FetchQuotes, now_ms: int) -> None:
        try:
            ticks = self._gateway.quotes(command.tokens)
        except Exception as error:  # noqa: BLE001 - a read that failed: the guards already refuse without it
            self.alert(Alert("info", f"quote by REST failed: {error}"))
            return
        if len(ticks):
            self._inbox.append(Frame(now_ms, ticks))

    def second(self, now_ms: int) -> None:
        """One whole second: the feed, pushed orders, the timer, and the order book when it is due."""
        ticks = self._feed.poll()
        if len(ticks):
            self.take(Frame(now_ms, ticks))
        for row in self._feed.order_updates():
            self._hint = True
            self._pushed(row, now_ms)
        self.take(Second(now_ms))
        # A trade whose orders are done still waits for the trade book to explain every unit.
        working = self.state.open_trades or any(order.phase is not Phase.DONE for order in self.state.orders.values())
        if self._hint or (working and now_ms - self._polled_ms >= POLL_MS):
            self.poll_book(now_ms)
        if now_ms // CHECKPOINT_MS != self._checkpoints:
            self._checkpoints = now_ms // CHECKPOINT_MS
            self.checkpoint(now_ms)
        if now_ms // LEDGER_MS != self._ledgers or self.kept.urgent:
            self._ledgers = now_ms // LEDGER_MS
            self.keep()
        self._journal.flush()

    def _pushed(self, row: dict[str, Any], now_ms: int) -> None:
        """A pushed row is a hint: one that cannot be understood still makes the book be read."""
        try:
            view = order_view(row)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            self.alert(Alert("warning", f"pushed order row not understood: {error!r}"))
            return
        self.take(OrderUpdate(now_ms, view))

    def poll_book(self, now_ms: int) -> None:
        """Read the broker's books into the engine; a failed read is tried again a poll later."""
        with_funds, self._hint = self._hint, False
        self._polled_ms = now_ms
        try:
            snapshot = self._gateway.snapshot(with_funds=with_funds)
        except Exception as error:  # noqa: BLE001 - a read: the next poll repeats it
            self.alert(Alert("warning", f"order book could not be read: {error}"))
            self._hint = True
            return
        self.take(snapshot)

    def checkpoint(self, now_ms: int) -> None:
        """Write the state's fingerprint into the journal."""
        self._journal.append(Kind.CHECKPOINT, now_ms, self.state.fingerprint().encode())

    def keep(self) -> None:
        """Write what is waiting into the ledger, in one transaction."""
        if self.kept.waiting:
            self._ledger.write(self.kept.waiting)
            self.kept.waiting = []

    def arm_when_due(self, now_ms: int) -> None:
        """Compare with the broker and arm when nothing differs; otherwise stay paused and say why.

        Asked again after a failed read, and for `DISAGREEMENT_MS` while something differs.
        """
        if self._arm_due_ms is None or now_ms < self._arm_due_ms:
            return
        self._arm_due_ms = now_ms + POLL_MS
        try:
            snapshot = self._gateway.snapshot(with_funds=True)
        except Exception as error:  # noqa: BLE001 - a read: it is asked again, and nothing is armed without it
            self.alert(Alert("warning", f"not armed yet: the broker's books could not be read: {error}"))
            return
        self.take(snapshot)
        reasons = reasons_not_to_arm(self.state, snapshot) + ([self._doubt] if self._doubt else [])
        if not reasons:
            self._arm_due_ms = None
            self.armed = True
            text = "broker and journal agree, day pack and configuration match"
            self.take(Operator(now_ms, OperatorAction.ARM, text))
            return
        text = "not armed: " + "; ".join(reasons)
        if text not in self.alerts:
            self.alert(Alert("critical", text))
        self._disagrees_ms = self._disagrees_ms or now_ms
        if now_ms - self._disagrees_ms >= DISAGREEMENT_MS:
            self._arm_due_ms = None

    def resume(self, found: Replayed, now_ms: int) -> None:
        """Continue after a replay: paused, and not knowing what became of an order that was being sent."""
        for record in found.records:
            self.kept.add(record)
        for command in found.unwritten:
            # What the lost tail held of the last event: with it the journal replays like any other.
            self._journal.append(Kind.COMMAND, found.last_ms, encode_command(command))
        if not found.agrees:
            self._doubt = f"journal record {found.first_difference} replays differently: {found.detail}"
        if self.state.mode is Mode.ACTIVE:
            self.take(Operator(now_ms, OperatorAction.PAUSE, "the process started again"))
        for tag, order in list(self.state.orders.items()):
            if order.phase is Phase.SENDING:
                text = "the process ended before the outcome was known"
                self.take(WriteResult(now_ms, tag, WriteAction.PLACE, WriteOutcome.UNKNOWN, "", text))
        if self.state.subscribed:
            self._feed.subscribe(tuple(sorted(self.state.subscribed)))

    def report(self, healing: Healing) -> TradeReport:
        """The day in figures."""
        return TradeReport(
            self.kept.signals,
            self.kept.decisions,
            _most_first(self.kept.refusals),
            _most_first(self.kept.no_signal),
            tuple(self.kept.trades.values()),
            tuple(self.alerts),
            self.events,
            self.state.fingerprint(),
            str(healing),
            self.armed,
        )


def trade(
    kite: KiteConnect,
    feed: Feed,
    clock: Clock,
    params: EngineParams,
    rules: MarketRules,
    paths: DataPaths,
    ledger: Ledger,
    day: date,
    on_alert: Callable[[Alert], None] | None = None,
) -> Generator[int, None, TradeReport]:
    """Trade one session from the day pack of `day`; yields wake times (ms) and returns the report.

    An existing journal of the day is healed, replayed and continued: positions, counters and a tripped
    circuit breaker are as they were. Raises DataError for a bad day pack or a foreign journal.
    """
    pack = load_day_pack(paths.day_pack(day), day=day, config_sha256=params.config_sha256)
    inputs = day_inputs(pack, rules, params)
    state = EngineState.fresh(params, inputs)
    journal, healing = Journal.open(paths.journal(day), Header(str(day), params.config_sha256, pack.sha256))
    session = TradingSession(state, journal, KiteGateway(kite, clock, inputs.book), feed, ledger, on_alert)
    try:
        if healing.dropped_bytes:
            session.alert(Alert("warning", str(healing)))
        if healing.records:
            session.resume(replay(state, read_journal(paths.journal(day))), clock.now_ms())
        yield inputs.open_ms
        while clock.now_ms() < inputs.close_ms + AFTER_CLOSE_MS:
            session.arm_when_due(clock.now_ms())
            session.second(clock.now_ms())
            yield clock.now_ms() // 1000 * 1000 + 1000
        session.checkpoint(clock.now_ms())
        session.keep()
    finally:
        journal.close()
    return session.report(healing)
