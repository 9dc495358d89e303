"""Replay: the journal of a session gives the same commands and the same state again, or names what differs."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from g6_core.adapters.journal import read_journal
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.events import Frame, OperatorAction
from g6_core.domain.money import paise
from g6_core.domain.records import DecisionRecord, FillRecord, TradeRecord
from g6_core.engine.inputs import DayInputs
from g6_core.engine.params import EngineParams
from g6_core.engine.state import EngineState
from g6_core.research.replay import Replayed, replay
from g6_core.schema.journal import JournalRecord, Kind, decode_event, encode_command, encode_event
from tests.stream.world import DAY, World


@dataclass
class Recorded:
    """A session from the open to the end of its one trade: its journal and the state it died with."""

    params: EngineParams
    inputs: DayInputs
    journal: tuple[JournalRecord, ...]
    state_sha256: str
    ledger_rows: tuple[Any, ...]

    def replayed(self, journal: list[JournalRecord] | None = None, params: EngineParams | None = None) -> Replayed:
        state = EngineState.fresh(params or self.params, self.inputs)
        return replay(state, self.journal if journal is None else journal)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> Recorded:
    world = World(tmp_path_factory.mktemp("replay"), rules, settings)
    made: list[EngineState] = []
    fresh = EngineState.fresh

    def remember(params: EngineParams, inputs: DayInputs) -> EngineState:
        made.append(fresh(params, inputs))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EngineState, "fresh", remember)
        row = world.enter()
    entry, start_ms = paise(row["average_price"]), world.clock.now_ms()

    def rise(time_ms: int) -> tuple[int, int]:
        bid = int(entry * (1 + (time_ms - start_ms) / 30_000)) // 5 * 5
        return bid, bid + 10

    world.steer(row, rise)
    world.advance(start_ms + 60_000, lambda: not world.positions())
    world.advance(world.clock.now_ms() + 3_000)
    world.crash()
    ledger = world.ledger.day(DAY)
    world.ledger.close()
    assert len(ledger.trades) == 1
    journal = tuple(read_journal(world.paths.journal(DAY)))
    return Recorded(world.params, made[0].inputs, journal, made[0].fingerprint(), (*ledger.trades, *ledger.fills))


def test_a_session_replays_to_the_same_state_commands_and_records(recorded: Recorded) -> None:
    found = recorded.replayed()
    kinds = [record.kind for record in recorded.journal]
    assert found.agrees
    assert found.detail == ""
    assert found.state_sha256 == recorded.state_sha256
    assert (found.commands, found.checkpoints) == (kinds.count(Kind.COMMAND), kinds.count(Kind.CHECKPOINT))
    assert found.events == len(kinds) - found.commands - found.checkpoints
    assert found.unwritten == ()
    assert found.last_ms == recorded.journal[-1].time_ms
    # A trade is a state: the ledger has the newest of its records.
    trades = {record.trade_id: record for record in found.records if isinstance(record, TradeRecord)}
    fills = {record for record in found.records if isinstance(record, FillRecord)}
    assert {*trades.values(), *fills} == set(recorded.ledger_rows)
    assert sum(isinstance(record, DecisionRecord) and record.approved for record in found.records) == 1


def _place(recorded: Recorded, wanted: Callable[[JournalRecord], bool]) -> int:
    return next(place for place, record in enumerate(recorded.journal) if wanted(record))


def _is_command(record: JournalRecord, name: str) -> bool:
    return record.kind is Kind.COMMAND and name.encode() in record.payload[:20]


def _other_price(recorded: Recorded) -> tuple[list[JournalRecord], int]:
    """The index is a point higher in one frame."""
    index = recorded.inputs.underlyings[0].index.token
    place = _place(recorded, lambda record: record.kind is Kind.FRAME)
    event = decode_event(recorded.journal[place])
    assert isinstance(event, Frame)
    event.ticks["ltp_paise"][np.flatnonzero(event.ticks["token"] == index)] += 100
    journal = list(recorded.journal)
    journal[place] = replace(journal[place], payload=encode_event(event)[1])
    return journal, place


def _lost_operator(recorded: Recorded) -> tuple[list[JournalRecord], int]:
    """The session was never armed."""
    place = _place(recorded, lambda record: record.kind is Kind.OPERATOR)
    assert OperatorAction.ARM.encode() in recorded.journal[place].payload
    journal = list(recorded.journal)
    del journal[place]
    return journal, place


def _lost_command(recorded: Recorded) -> tuple[list[JournalRecord], int]:
    place = _place(recorded, lambda record: _is_command(record, "PlaceEntry"))
    journal = list(recorded.journal)
    del journal[place]
    return journal, place


def _extra_command(recorded: Recorded) -> tuple[list[JournalRecord], int]:
    place = _place(recorded, lambda record: _is_command(record, "PlaceExit"))
    journal = list(recorded.journal)
    journal.insert(place + 1, journal[place])
    return journal, place


def _other_checkpoint(recorded: Recorded) -> tuple[list[JournalRecord], int]:
    place = _place(recorded, lambda record: record.kind is Kind.CHECKPOINT)
    journal = list(recorded.journal)
    journal[place] = replace(journal[place], payload=b"0" * 64)
    return journal, place


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_other_checkpoint, "state differs from the checkpoint"),
        (_other_price, "state differs from the checkpoint|does not give"),
        (_lost_operator, "does not give"),
        (_lost_command, "does not have"),
        (_extra_command, "does not give"),
    ],
)
def test_a_changed_journal_is_found_and_the_first_difference_named(
    recorded: Recorded, change: Callable[[Recorded], tuple[list[JournalRecord], int]], words: str
) -> None:
    journal, place = change(recorded)
    found = recorded.replayed(journal)
    assert not found.agrees
    assert found.first_difference >= recorded.journal[place].sequence
    assert any(part in found.detail for part in words.split("|"))
    before = [record for record in journal if record.sequence < found.first_difference]
    assert recorded.replayed(before).agrees


@pytest.mark.parametrize("name", ["stop_loss_pct", "take_profit_pct"])
def test_another_parameter_is_found(recorded: Recorded, name: str) -> None:
    exits = replace(recorded.params.exits, **{name: 20.0})
    found = recorded.replayed(params=replace(recorded.params, exits=exits))
    first = _place(recorded, lambda record: _is_command(record, "PlaceExit"))
    assert found.first_difference > 0
    if name == "take_profit_pct":
        assert found.first_difference > recorded.journal[first].sequence, "it matters only once the price is there"


def test_a_journal_cut_anywhere_agrees_up_to_there_and_tells_what_was_not_written(recorded: Recorded) -> None:
    dice = random.Random(1)
    entry = _place(recorded, lambda record: _is_command(record, "PlaceEntry"))
    for cut in (0, 1, entry, entry + 1, *(dice.randrange(len(recorded.journal)) for _ in range(12))):
        found = recorded.replayed(list(recorded.journal[:cut]))
        assert found.agrees, cut
        rest = [record.payload for record in recorded.journal[cut : cut + len(found.unwritten)]]
        assert [encode_command(command) for command in found.unwritten] == rest
        after = cut + len(found.unwritten)
        assert after == len(recorded.journal) or recorded.journal[after].kind is not Kind.COMMAND


def test_an_event_that_this_release_cannot_read_is_named(recorded: Recorded) -> None:
    for kind, payload in ((Kind.FRAME, b"123"), (Kind.SECOND, b"\x80"), (Kind.WRITE_RESULT, b"")):
        record = JournalRecord(kind, 7, 1, payload)
        with pytest.raises(DataError, match=f"journal record 7 is not a {kind.name.lower()} of this release"):
            recorded.replayed([record])
