"""The journal's format: record kinds, and how events and commands become bytes and back.

File: magic, version (u16), header length (u32), header (JSON), SHA-256 of all that. Then records:
payload length (u32), kind (u16), sequence (u64), time_ms (i64), payload, and the SHA-256 of the previous
hash and this record. Little-endian. Nothing in it depends on paths, process ids or wall time.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum

import msgspec
import numpy as np

from g6_core.domain.errors import DataError
from g6_core.domain.events import (
    BrokerSnapshot,
    Command,
    Event,
    FeedState,
    Frame,
    Operator,
    OrderUpdate,
    Second,
    WriteResult,
)
from g6_core.domain.market import TICK

MAGIC = b"G6JOURNAL"
VERSION = 3
# The decisions: another one whenever the same events give other commands or another state.
ENGINE = "g6-2"
# Days that these began can be gone on with, so that what is held is sold.
EARLIER_ENGINES = ("g6-1",)
HASH_BYTES = 32
PREFIX = struct.Struct("<9sHI")
RECORD = struct.Struct("<IHQq")
SEQUENCE_AT = 6
MAX_HEADER = 4 * 1024
MAX_PAYLOAD = 16 * 1024 * 1024


class Kind(IntEnum):
    """What a record holds. Events are below 20."""

    FRAME = 1
    SECOND = 2
    ORDER_UPDATE = 3
    WRITE_RESULT = 4
    BROKER_SNAPSHOT = 5
    OPERATOR = 6
    FEED_STATE = 7
    COMMAND = 20
    CHECKPOINT = 30


EVENT_TYPES: dict[Kind, type] = {
    Kind.SECOND: Second,
    Kind.ORDER_UPDATE: OrderUpdate,
    Kind.WRITE_RESULT: WriteResult,
    Kind.BROKER_SNAPSHOT: BrokerSnapshot,
    Kind.OPERATOR: Operator,
    Kind.FEED_STATE: FeedState,
}
_KIND_OF = {cls: kind for kind, cls in EVENT_TYPES.items()} | {Frame: Kind.FRAME}
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Kind, msgspec.msgpack.Decoder[Event]] = {
    kind: msgspec.msgpack.Decoder(cls) for kind, cls in EVENT_TYPES.items()
}


@dataclass(frozen=True, slots=True)
class Header:
    """What must agree before a journal is continued or replayed.

    `money` says whose orders these are (``broker sim``, ``paper kite``): positions of one are nothing to another.
    """

    trade_date: str
    config_sha256: str
    day_pack_sha256: str
    money: str
    engine: str = ENGINE

    def belongs_with(self, other: "Header") -> bool:
        """Return whether both are of one day, configuration, pack and money, whichever known engine began it."""
        are_known = {self.engine, other.engine} <= {ENGINE, *EARLIER_ENGINES}
        return are_known and replace(other, engine=self.engine) == self


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record as stored."""

    kind: Kind
    sequence: int
    time_ms: int
    payload: bytes


def encode_event(event: Event) -> tuple[Kind, bytes]:
    """Kind and payload of an event; a frame is its raw TICK rows."""
    if isinstance(event, Frame):
        return Kind.FRAME, event.ticks.tobytes()
    return _KIND_OF[type(event)], _encoder.encode(event)


def decode_event(record: JournalRecord) -> Event:
    """The event of an event record (`record.kind` below `COMMAND`); a DataError for one of another release."""
    try:
        if record.kind is Kind.FRAME:
            return Frame(record.time_ms, np.frombuffer(record.payload, TICK).copy())
        event: Event = _decoders[record.kind].decode(record.payload)
    except (ValueError, msgspec.MsgspecError) as error:
        name = record.kind.name.lower()
        raise DataError(f"journal record {record.sequence} is not a {name} of this release: {error}") from error
    return event


def encode_command(command: Command) -> bytes:
    """A command as its name and fields."""
    return _encoder.encode((type(command).__name__, command))
