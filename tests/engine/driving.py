"""An engine, a model broker and a market that go through time together: the bench of the trade driver."""

import copy
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g6_core.adapters.journal import read_journal
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.charges import order_charges
from g6_core.domain.events import (
    Alert,
    Cancel,
    Command,
    Event,
    Frame,
    Mode,
    Modify,
    Persist,
    PlaceEntry,
    PlaceExit,
    Second,
)
from g6_core.domain.market import ticks_of
from g6_core.domain.orders import Side
from g6_core.domain.records import TradeRecord
from g6_core.engine.state import EngineState, Phase
from g6_core.engine.step import step
from g6_core.schema.journal import Kind, decode_event
from tests.engine.broker import Fate, ModelBroker, aged
from tests.stream.world import DAY, SteeredSource, World

STALE_MS = 5_000


class Base:
    """An engine one event before its first entry, and the market it looks at."""

    def __init__(self, state: EngineState, now_ms: int, source: SteeredSource) -> None:
        self.state, self.now_ms, self.source = state, now_ms, source

    def fresh(self) -> EngineState:
        """A copy to play with."""
        shared = {id(one): one for one in (self.state.params, self.state.inputs)}
        return copy.deepcopy(self.state, shared)


def base_of(root: Path, rules: MarketRules, settings: Settings) -> Base:
    """The session's own state, from its journal: everything up to the event that led to the first entry."""
    world = World(root, rules, settings)
    inputs: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EngineState, "fresh", _remembering(EngineState.fresh, inputs))
        world.enter()
    world.crash()
    world.ledger.close()
    state, now_ms = EngineState.fresh(**inputs), 0
    for record in read_journal(world.paths.journal(DAY)):
        if record.kind >= Kind.COMMAND:
            continue
        event = decode_event(record)
        before = copy.deepcopy(state, {id(one): one for one in inputs.values()}) if isinstance(event, Second) else None
        if any(isinstance(command, PlaceEntry) for command in step(state, event)):
            assert before is not None
            return Base(before, now_ms, world.source)
        now_ms = event.time_ms
    raise AssertionError("no entry in the journal")


def _remembering(fresh: Any, inputs: dict[str, Any]) -> Any:
    def remember(params: Any, day: Any) -> EngineState:
        inputs.update(params=params, inputs=day)
        made: EngineState = fresh(params, day)
        return made

    return remember


class Driving:
    """An engine, a broker and a market that go through time together."""

    def __init__(self, base: Base) -> None:
        self.state = base.fresh()
        self.source = base.source
        self.now_ms = self.start_ms = base.now_ms // 1000 * 1000
        self.broker = ModelBroker()
        self.fates: deque[Fate] = deque()
        self.factor = 1.0
        self.records: list[TradeRecord] = []
        self.alerts: list[Alert] = []
        self.last_book = self.broker.book(self.now_ms)
        self.book_ms = self.now_ms

    def take(self, event: Event) -> list[Command]:
        """What the session does with an event: step, carry out, take what follows."""
        inbox: deque[Event] = deque([event])
        given: list[Command] = []
        while inbox:
            for command in step(self.state, inbox.popleft()):
                given.append(command)
                match command:
                    case PlaceEntry():
                        self._check_entry(command)
                        inbox.append(self._write(command))
                    case PlaceExit() | Modify() | Cancel():
                        inbox.append(self._write(command))
                    case Persist(record) if isinstance(record, TradeRecord) and record.exit_ms:
                        self.records.append(record)
                    case Alert():
                        self.alerts.append(command)
                    case _:
                        pass
        assert sum(isinstance(one, PlaceEntry | PlaceExit | Modify | Cancel) for one in given) <= 3 * len(
            self.state.trades
        )
        return given

    def _write(self, command: Any) -> Event:
        fate = self.fates.popleft() if self.fates else Fate.ACKED
        return self.broker.write(command, fate, self.now_ms)

    def _check_entry(self, command: PlaceEntry) -> None:
        assert self.state.mode is Mode.ACTIVE
        assert self.state.circuit_tripped_ms == 0
        others = [order for tag, order in self.state.orders.items() if tag != command.approved.request.tag]
        assert all(order.phase is not Phase.UNKNOWN for order in others)

    def tick(self, seconds: int, share: float = 1.0, fill_first: bool = True) -> None:
        """Time passes; the engine sees the market, then its timer."""
        self.now_ms += seconds * 1000
        tokens = np.array(sorted(self.state.subscribed), np.int64)
        ticks = ticks_of(self.source.quotes(tokens, self.now_ms))
        traded = {trade.instrument.token for trade in self.state.trades.values()}
        for row in ticks:
            if int(row["token"]) in traded:
                for name in ("ltp_paise", "bid_paise", "ask_paise"):
                    row[name] = max(int(row[name] * self.factor) // 5 * 5, 5)
        prices = {int(row["token"]): (int(row["ltp_paise"]), int(row["bid_paise"])) for row in ticks}
        self.broker.move(prices, self.now_ms, share, fill_first)
        self.take(Frame(self.now_ms, ticks))
        self.take(Second(self.now_ms))

    def poll(self, *, stale: bool = False) -> None:
        """The engine reads the book; a stale one is what it was a few seconds ago."""
        if stale and self.now_ms - self.book_ms <= STALE_MS:
            self.take(aged(self.last_book, self.now_ms))
            return
        self.last_book, self.book_ms = self.broker.book(self.now_ms), self.now_ms
        self.take(self.last_book)

    def quiet(self, seconds: int) -> None:
        """No faults: everything is answered, filled and read."""
        self.fates.clear()
        for _ in range(seconds):
            self.tick(1)
            self.poll()

    def check(self) -> None:
        """What must hold after every step."""
        for trade in self.state.trades.values():
            token = trade.instrument.token
            sales = self.broker.live_sales(token)
            mine = [order for order in sales if order.request.tag in trade.exit_tags]
            assert len(mine) <= 1, "two live exit orders"
            assert sum(order.rest for order in sales) <= self.broker.held(token), "more for sale than is held"
            assert self.broker.held(token) >= 0, "short"
        limit = self.state.params.execution.max_modifications
        assert all(order.modifications <= limit for order in self.broker.orders.values())
        assert self.broker.writes <= 10 + 2 * (self.now_ms - self.start_ms) // 1000

    def check_quiet(self) -> None:
        """What must hold when the faults are over and time has passed."""
        assert all(order.phase is not Phase.UNKNOWN for order in self.state.orders.values())
        for trade in self.state.trades.values():
            held = self.state.open_quantity(trade)
            alive = [order for order in self.state.orders_of(trade) if order.phase is not Phase.DONE]
            assert held == sum(order.quantity - order.filled_quantity for order in alive)
            if trade.exit_reason is not None:
                assert held == 0
        tokens = {trade.instrument.token for trade in self.state.trades.values()}
        for token in tokens:
            known = [trade for trade in self.state.trades.values() if trade.instrument.token == token]
            assert sum(self.state.open_quantity(trade) for trade in known) == self.broker.held(token)
            assert sum(order.rest for order in self.broker.live_sales(token)) == self.broker.held(token)
        self._check_money()

    def _check_money(self) -> None:
        rates = self.state.inputs.underlyings[0].charge_rates
        for record in self.records:
            trade = self.state.trades[record.trade_id]
            gross = charges = 0
            for tag in (trade.entry_tag, *trade.exit_tags):
                mine = [fill for fill in self.broker.fills if self.broker.orders[fill.order_id].request.tag == tag]
                value = sum(fill.quantity * fill.price_paise for fill in mine)
                side = self.state.orders[tag].request.side
                gross += value if side is Side.SELL else -value
                charges += order_charges(rates, side, value).total_paise if mine else 0
            assert (record.gross_pnl_paise, record.charges_paise) == (gross, charges)
            assert record.net_pnl_paise == gross - charges
        assert self.state.realised_net_paise == sum(record.net_pnl_paise for record in self.records)
