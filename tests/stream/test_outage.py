"""A session whose feed or broker fails: exits go on by REST, nothing is entered, a person pauses and resumes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from requests.exceptions import ConnectionError as LostConnection

from g6_core.adapters.journal import read_journal
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import FeedState, Mode, OperatorAction
from g6_core.domain.money import paise
from g6_core.domain.records import ExitReason
from g6_core.engine.holdings import CONFIRM_MS, UNEXPLAINED_MS
from g6_core.engine.state import EngineState
from g6_core.research.replay import replay
from g6_stream.trading import DISAGREEMENT_MS, TradingSession
from tests.stream.world import DAY, World


class Held:
    """A world whose session the test can touch."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.sessions: list[TradingSession] = []
        made = TradingSession.__init__

        def kept(session: TradingSession, *args: object, **known: object) -> None:
            made(session, *args, **known)  # type: ignore[arg-type]
            self.sessions.append(session)

        monkeypatch.setattr(TradingSession, "__init__", kept)

    @property
    def session(self) -> TradingSession:
        return self.sessions[-1]

    @property
    def state(self) -> EngineState:
        return self.session.state

    def later(self, by_ms: int) -> None:
        self.world.advance(self.world.clock.now_ms() + by_ms)


@pytest.fixture
def held(tmp_path: Path, rules: MarketRules, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    world = World(tmp_path, rules, settings)
    yield Held(world, monkeypatch)
    world.crash()
    world.ledger.close()


def test_exits_go_on_by_rest_while_the_feed_is_down_and_nothing_is_entered(held: Held) -> None:
    row = held.world.enter()
    held.world.feed.connected = False
    held.world.feed.poll = lambda: held.world.exchange.ticks(held.world.feed._tokens[:0])  # type: ignore[method-assign]
    entry = paise(row["average_price"])
    held.world.steer(row, lambda _: (int(entry * 1.7) // 5 * 5, int(entry * 1.7) // 5 * 5 + 5))
    held.later(30_000)
    assert not held.state.feed_connected
    assert not held.world.positions()
    (trade,) = [one for one in held.state.trades.values() if one.closed_ms]
    assert trade.exit_reason == ExitReason.TAKE_PROFIT
    bought = [row for row in held.world.kite.orders() if row["transaction_type"] == "BUY"]
    held.later(900_000)
    assert [row for row in held.world.kite.orders() if row["transaction_type"] == "BUY"] == bought
    assert held.session.kept.refusals["feed_connected"] > 0


def test_it_does_not_arm_before_the_feed_is_there(held: Held) -> None:
    held.world.feed.connected = False
    held.world.advance(held.world.source.session.open_ms + 120_000)
    assert not held.session.armed
    assert [alert.text for alert in held.world.alerts] == ["not armed yet: the feed is not connected"]
    held.world.feed.connected = True
    held.later(5_000)
    assert held.state.mode is Mode.ACTIVE


def test_a_position_that_the_broker_no_longer_confirms_pauses(held: Held) -> None:
    held.world.enter()
    held.later(5_000)
    row = held.world.positions()[0]
    held.world.kite.positions = lambda: {"net": [row | {"quantity": row["quantity"] + 75}]}
    held.later(DISAGREEMENT_MS)
    assert held.state.mode is Mode.ACTIVE, "the books may disagree for a while"
    held.later(5_000)
    assert held.state.mode is Mode.PAUSED
    assert any("paused: broker and journal differ: position of token" in one.text for one in held.world.alerts)
    held.session.operate(OperatorAction.ARM, "test", held.world.clock.now_ms())
    held.later(5_000)
    assert held.state.mode is Mode.PAUSED
    assert any(one.text.startswith("not armed: position of token") for one in held.world.alerts)


def test_a_position_that_is_gone_at_the_broker_is_never_sold_and_the_day_replays(held: Held) -> None:
    row = held.world.enter()
    held.later(5_000)
    held.world.exchange._log.account.positions.clear()
    held.later(CONFIRM_MS + 4_000)
    assert [one["status"] for one in held.world.kite.orders()] == ["COMPLETE", "TRIGGER PENDING"], "no sale explains it"
    held.later(UNEXPLAINED_MS)
    assert held.state.mode is Mode.PAUSED
    assert [one["status"] for one in held.world.kite.orders()] == ["COMPLETE", "CANCELLED"]
    entry = paise(row["average_price"]) // 10 * 5
    held.world.steer(row, lambda _: (entry, entry + 5))
    held.later(300_000)
    assert len(held.world.kite.orders()) == 2
    (text,) = [one.text for one in held.world.alerts if one.level == "critical"]
    assert text.startswith(
        f"paused: the broker holds 0 of {row['tradingsymbol']} and the journal {row['quantity']}, so"
    )
    held.world.crash()
    inputs = held.state.inputs
    again = replay(EngineState.fresh(held.world.params, inputs), read_journal(held.world.paths.journal(DAY)))
    assert again.agrees and again.checkpoints > 5


def test_positions_that_cannot_be_read_hold_no_exit_back(held: Held) -> None:
    held.world.enter()
    held.later(5_000)

    def away() -> None:
        raise LostConnection("no way to the broker")

    held.world.kite.positions = away
    held.later(30_000)
    held.session.operate(OperatorAction.FLATTEN, "test", held.world.clock.now_ms())
    held.later(10_000)
    assert not held.world.positions()
    assert not held.state.open_trades, "the order book is read all the same"
    sold = [row["status"] for row in held.world.kite.orders() if row["transaction_type"] == "SELL"]
    assert sold == ["COMPLETE"]
    (text,) = [one.text for one in held.world.alerts if "positions could not be read" in one.text]
    assert "exits go on by what was known before" in text


def test_a_person_flattens_and_resumes(held: Held) -> None:
    held.world.enter()
    held.session.operate(OperatorAction.FLATTEN, "test", held.world.clock.now_ms())
    held.later(10_000)
    assert held.state.mode is Mode.REDUCING
    assert not held.world.positions()
    (trade,) = held.state.trades.values()
    assert trade.exit_reason == ExitReason.OPERATOR
    held.session.operate(OperatorAction.ARM, "test", held.world.clock.now_ms())
    assert held.state.mode is Mode.ACTIVE
    held.session.operate(OperatorAction.PAUSE, "test", held.world.clock.now_ms())
    held.later(5_000)
    assert held.state.mode is Mode.PAUSED


def test_the_feeds_state_is_journaled_only_when_it_changes(held: Held) -> None:
    seen: list[FeedState] = []
    held.world.advance(held.world.source.session.open_ms + 5_000)
    decide = held.session._decide

    def watching(state: EngineState, event: object) -> object:
        seen.extend([event] if isinstance(event, FeedState) else [])
        return decide(state, event)  # type: ignore[arg-type]

    held.session._decide = watching  # type: ignore[assignment]
    for connected in (True, False, False, True, True):
        held.world.feed.connected = connected
        held.later(1_000)
    assert [one.connected for one in seen] == [False, True]
