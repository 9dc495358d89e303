"""One trading session: every event through one inbox (stamp, journal, step), every command carried out in order."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from g6_core.adapters.journal import Healing, Journal
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.domain.errors import StoreDown
from g6_core.domain.events import (
    Alert,
    BrokerSnapshot,
    Cancel,
    Command,
    Event,
    FeedState,
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
from g6_core.domain.ist import SECOND_MS
from g6_core.engine.state import EngineState, Phase
from g6_core.engine.step import step
from g6_core.ports import Feed
from g6_core.research.replay import Replayed
from g6_core.schema.journal import ENGINE, Kind, encode_command, encode_event
from g6_stream.arming import WORD_MS, position_differences, reason_to_arm, reasons_not_to_arm
from g6_stream.books import COMPARE_MS, Books
from g6_stream.gateway import KiteGateway, order_view
from g6_stream.kept import Kept, TradeReport, most_first
from g6_stream.outlook import Outlooks
from g6_stream.quote_reads import QuoteReads

Decide = Callable[[EngineState, Event], tuple[Command, ...]]

POLL_MS = 2_000
# Held contracts are quoted by REST this often while the stream does not bring them: every other call is left to others.
REST_QUOTE_MS = 2_000
LATE_QUOTE_MS = 15_000
CHECKPOINT_MS = 60_000
# Decisions reach the ledger this often; orders, fills and trades at once.
LEDGER_MS = 300_000
# A ledger that is away may cost seconds to ask, and a position may be open.
LEDGER_RETRY_MS = 30_000
# A broker's books may disagree among themselves for a while; only then is it a reason to stay paused for good.
DISAGREEMENT_MS = 60_000
MAX_CASCADE = 1_000


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
        held_back: Callable[[], Sequence[str]],
        decide: Decide = step,
    ) -> None:
        self.state = state
        self.kept = Kept()
        self.quotes = QuoteReads(gateway, self.alert)
        self.outlooks = Outlooks()
        self.alerts: list[str] = []
        self.events = 0
        self.armed = False
        # Why the broker's books could not be read the last time; "" when they were.
        self.book_problem = "not read yet"
        self._decide = decide
        self._journal = journal
        self._gateway = gateway
        self._books = Books(gateway, self.alert)
        self._feed = feed
        self._ledger = ledger
        self._on_alert = on_alert
        self._held_back = held_back
        self._inbox: deque[Event] = deque()
        self._hint = True
        self._polled_ms = 0
        self._checkpoints = self._ledgers = self._ledger_due_ms = 0
        self._arm_due_ms: int | None = 0
        self._disagrees_ms = 0
        self._differs_ms = self._quoted_ms = 0
        self._doubt = ""

    @property
    def journal_head(self) -> tuple[int, str]:
        """Number and hash of the journal's last record."""
        return self._journal.head

    @property
    def held(self) -> tuple[int, ...]:
        """Tokens of the trades of which something is held."""
        return tuple(one.instrument.token for one in self.state.open_trades if self.state.open_quantity(one) > 0)

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
        commands = self._decide(self.state, event)
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
                self._inbox.extend(self.quotes.frames(command.tokens, now_ms))
            case Persist():
                self.kept.add(command.record)
            case Alert():
                self.alert(command)

    def alert(self, alert: Alert) -> None:
        """Keep an alert for the report and tell whoever listens."""
        self.alerts.append(alert.text)
        if self._on_alert is not None:
            self._on_alert(alert)

    def _alert_once(self, level: str, text: str) -> None:
        if text not in self.alerts:
            self.alert(Alert(level, text))

    def arrivals(self, now_ms: int) -> None:
        """Take what came in since the last call: the feed's state, its ticks, pushed orders."""
        self._take_link(now_ms)
        # What happened to orders comes first: a tick must not change an order that has already ended.
        for row in self._feed.order_updates():
            self._hint = True
            self._pushed(row, now_ms)
        ticks = self._feed.poll()
        if len(ticks):
            self.take(Frame(now_ms, ticks))

    def _take_link(self, now_ms: int) -> None:
        """Take every loss of the feed, also one that was over before anybody looked, and its return."""
        connected, losses = self._feed.link()
        for reason in losses:
            if not self.state.feed_connected:
                self.take(FeedState(now_ms, True))
            self.take(FeedState(now_ms, False, reason))
        if connected != self.state.feed_connected:
            self.take(FeedState(now_ms, connected, "" if connected else "the feed is not connected"))

    def second(self, now_ms: int) -> None:
        """One whole second: arrivals, the timer, and the order book when it is due."""
        self.arrivals(now_ms)
        self._watch_positions(now_ms)
        self.take(Second(now_ms))
        # A trade whose orders are done still waits for the trade book to explain every unit.
        working = self.state.open_trades or any(order.phase is not Phase.DONE for order in self.state.orders.values())
        idle_ms = now_ms - self._polled_ms
        if self._hint or idle_ms >= COMPARE_MS or (working and idle_ms >= POLL_MS):
            self.poll_book(now_ms)
        if now_ms // CHECKPOINT_MS != self._checkpoints:
            self._checkpoints = now_ms // CHECKPOINT_MS
            self.checkpoint(now_ms)
        if now_ms // LEDGER_MS != self._ledgers or self.kept.urgent:
            self._ledgers = now_ms // LEDGER_MS
            self._keep_soon(now_ms)
        self._journal.flush()

    def _watch_positions(self, now_ms: int) -> None:
        """Prices by REST for what is held while the stream does not bring them: exits must go on."""
        if now_ms - self._quoted_ms < REST_QUOTE_MS:
            return
        late = []
        for token in self.held:
            quote = self.state.board.quote(token)
            is_late = quote is None or now_ms - quote.exchange_ms > LATE_QUOTE_MS
            if is_late or not self._feed.connected:
                late.append(token)
        if late:
            frames = self.quotes.frames(tuple(late), now_ms)
            self._quoted_ms = now_ms if frames else now_ms - REST_QUOTE_MS + SECOND_MS
            for frame in frames:
                self.take(frame)

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
        whole, self._hint, self._polled_ms = self._hint, False, now_ms
        doubt = bool(self.state.shortfalls or self._differs_ms)
        try:
            snapshot = self._books.poll(now_ms, whole=whole, held=bool(self.held), doubt=doubt)
        except Exception as error:  # noqa: BLE001 - a read: the next poll repeats it
            if not self.book_problem:
                self.alert(Alert("warning", f"order book could not be read: {error}"))
            self.book_problem = str(error)
            self._hint = True
            return
        self.book_problem = ""
        self.take(snapshot)
        self._compare(snapshot, now_ms)

    def _compare(self, snapshot: BrokerSnapshot, now_ms: int) -> None:
        """Pause when the broker holds something else of our contracts than the journal says, and goes on doing so."""
        if snapshot.positions is None:
            return
        ours = {trade.instrument.token for trade in self.state.trades.values()}
        reasons = position_differences(self.state, snapshot.positions, ours)
        if not reasons:
            self._differs_ms = 0
            return
        self._differs_ms = self._differs_ms or now_ms
        lasts = now_ms - self._differs_ms >= DISAGREEMENT_MS
        self._hint = self._hint or not lasts
        if lasts and self.state.mode is Mode.ACTIVE:
            text = "broker and journal differ: " + "; ".join(reasons)
            self.alert(Alert("critical", f"paused: {text}; look at the broker's terminal"))
            self.take(Operator(now_ms, OperatorAction.PAUSE, text))

    def operate(self, asked: OperatorAction, reason: str, now_ms: int) -> None:
        """Do what a person asks for; ARM is granted only when broker and journal agree, see `arm_when_due`."""
        if asked is OperatorAction.ARM:
            if self.state.mode is Mode.ACTIVE:
                return
            if self.state.mode is not Mode.PAUSED:
                # A person takes his own halt or flatten back; what the broker holds is compared all the same.
                self.take(Operator(now_ms, OperatorAction.PAUSE, f"{reason}: from {self.state.mode} to paused"))
            self._arm_due_ms, self._disagrees_ms = 0, 0
            self.arm_when_due(now_ms)
            return
        self._arm_due_ms = None
        self.take(Operator(now_ms, asked, reason))

    def checkpoint(self, now_ms: int) -> None:
        """Write the state's fingerprint into the journal."""
        self._journal.append(Kind.CHECKPOINT, now_ms, self.state.fingerprint().encode())

    def finish(self, now_ms: int) -> None:
        """The last checkpoint, and everything that waits into the ledger. Raises StoreDown while that is away."""
        self.checkpoint(now_ms)
        self.keep()

    def keep(self) -> None:
        """Write what is waiting into the ledger, in one transaction.

        The journal is on disk first: a ledger ahead of it would hold facts that a replay cannot give again.
        """
        if self.kept.waiting:
            self._journal.sync()
            self._ledger.write(self.kept.waiting)
            self.kept.waiting = []

    def _keep_soon(self, now_ms: int) -> None:
        """As `keep`; a ledger's server that is away must not stop the trading, so everything waits for it."""
        if now_ms < self._ledger_due_ms:
            return
        try:
            self.keep()
        except StoreDown as error:
            if not self._ledger_due_ms:
                self.alert(Alert("warning", f"{error}; {len(self.kept.waiting)} records wait, the journal has them"))
            self._ledger_due_ms = now_ms + LEDGER_RETRY_MS
        else:
            self._ledger_due_ms = 0

    def arm_when_due(self, now_ms: int) -> None:
        """Compare with the broker and arm when nothing differs; otherwise stay paused and say why.

        Asked again after a failed read, while only a person's word is missing, and `DISAGREEMENT_MS` of a difference.
        """
        if self._arm_due_ms is None or now_ms < self._arm_due_ms:
            return
        self._arm_due_ms = now_ms + POLL_MS
        if not self._feed.connected:
            self._alert_once("warning", "not armed yet: the feed is not connected")
            return
        try:
            snapshot = self._books.whole(now_ms)
            wrong_clock = self._gateway.clock_problem()
        except Exception as error:  # noqa: BLE001 - a read: it is asked again, and nothing is armed without it
            self._alert_once("warning", f"not armed yet: the broker's books could not be read: {error}")
            self.book_problem = str(error)
            return
        self.book_problem = ""
        self.take(snapshot)
        differing = [*reasons_not_to_arm(self.state, snapshot), *(one for one in (self._doubt, wrong_clock) if one)]
        reasons = [*self._held_back(), *differing]
        if not reasons:
            self._arm_due_ms = None
            self.armed = True
            self.take(Operator(now_ms, OperatorAction.ARM, reason_to_arm(self.state)))
            return
        self._alert_once("critical", "not armed: " + "; ".join(reasons))
        if not differing:  # only a person's word is missing, and it counts whenever it comes
            self._arm_due_ms = now_ms + WORD_MS
            return
        self._disagrees_ms = self._disagrees_ms or now_ms
        if now_ms - self._disagrees_ms >= DISAGREEMENT_MS:
            self._arm_due_ms = None

    def resume(self, found: Replayed, now_ms: int, engine: str = ENGINE) -> None:
        """Continue after a replay: paused, and not knowing what became of an order that was being sent."""
        for record in found.records:
            self.kept.add(record)
        for command in found.unwritten:
            # What the lost tail held of the last event: with it the journal replays like any other.
            self._journal.append(Kind.COMMAND, found.last_ms, encode_command(command))
        if engine != ENGINE:
            self._doubt = (
                f"the day was begun by engine {engine}, this is {ENGINE}: what is held is exited, nothing is entered; "
                "trade the day to its end with the release that began it, or wait for the next"
            )
        elif not found.agrees:
            self._doubt = f"journal record {found.first_difference} replays differently: {found.detail}"
        if self.state.open_trades:
            # Before anything is decided: somebody may have sold while nobody was here.
            self.poll_book(now_ms)
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
            most_first(self.kept.refusals),
            most_first(self.kept.no_signal),
            tuple(self.kept.trades.values()),
            tuple(self.alerts),
            self.events,
            self.state.fingerprint(),
            str(healing),
            self.armed,
        )
