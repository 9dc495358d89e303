"""Replay: a journal's events through the same engine must give the same commands and the same state."""

from collections.abc import Iterable
from dataclasses import dataclass

from g6_core.domain.events import Command, Persist
from g6_core.domain.records import Record
from g6_core.engine.state import EngineState
from g6_core.engine.step import step
from g6_core.schema.journal import JournalRecord, Kind, decode_event, encode_command


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found. `first_difference` is 0 when every command and checkpoint agreed.

    `unwritten` are the commands of the last event (of `last_ms`) that the journal does not have.
    """

    events: int
    commands: int
    checkpoints: int
    first_difference: int
    detail: str
    state_sha256: str
    records: tuple[Record, ...]
    unwritten: tuple[Command, ...]
    last_ms: int

    @property
    def agrees(self) -> bool:
        """True when the replay is the journal's equal."""
        return self.first_difference == 0


def replay(state: EngineState, journal: Iterable[JournalRecord]) -> Replayed:
    """Feed the journal's events to a fresh `state` (changed in place) and compare what comes out.

    Commands at the very end may be missing from the journal (the process died between deciding and writing).
    """
    expected: list[bytes] = []
    out: tuple[Command, ...] = ()
    events = commands = checkpoints = last_ms = 0
    records: list[Record] = []
    found: tuple[int, str] = (0, "")
    for record in journal:
        if record.kind is Kind.COMMAND:
            commands += 1
            due = expected.pop(0) if expected else b""
            if due != record.payload and not found[0]:
                found = (record.sequence, "the journal has a command that the replay does not give")
        elif record.kind is Kind.CHECKPOINT:
            checkpoints += 1
            if state.fingerprint().encode() != record.payload and not found[0]:
                found = (record.sequence, "state differs from the checkpoint")
        else:
            if expected and not found[0]:
                found = (record.sequence, "the replay gives a command that the journal does not have")
            events += 1
            last_ms = record.time_ms
            out = step(state, decode_event(record))
            expected = [encode_command(command) for command in out]
            records += [command.record for command in out if isinstance(command, Persist)]
    unwritten = out[len(out) - len(expected) :]
    return Replayed(events, commands, checkpoints, *found, state.fingerprint(), tuple(records), unwritten, last_ms)
