"""The write-ahead journal on disk: append, sync, heal a torn tail, verify the chain, read back."""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter
from pathlib import Path

import msgspec

from g6_core.adapters.files import unwritable
from g6_core.domain.errors import DataError
from g6_core.schema.journal import (
    HASH_BYTES,
    MAGIC,
    MAX_HEADER,
    MAX_PAYLOAD,
    PREFIX,
    RECORD,
    SEQUENCE_AT,
    VERSION,
    Header,
    JournalRecord,
    Kind,
)

KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Healing:
    """What opening a journal found: whole records kept, bytes of a torn tail cut off."""

    records: int
    dropped_bytes: int

    def __str__(self) -> str:
        if not self.dropped_bytes:
            return f"journal is whole: {self.records} records"
        return f"journal healed: {self.records} whole records kept, a torn tail of {self.dropped_bytes} bytes cut off"


class Torn(Exception):
    """The file ends inside a record (or inside the header)."""


class JournalReader:
    """Reads and verifies records one by one; `offset` is the end of the last whole one."""

    def __init__(self, file: BufferedReader, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = path.stat().st_size
        self.records = 0
        self.offset = 0
        self.chain = b""
        self.header = self._read_header()

    def _take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise Torn
        return data

    def _read_header(self) -> Header:
        start = self._file.read(PREFIX.size)
        if start[: len(MAGIC)] != MAGIC[: len(start)]:
            raise DataError(f"{self._path}: not a G6 journal; move it away and start again")
        if len(start) < PREFIX.size:
            raise Torn
        _, version, length = PREFIX.unpack(start)
        changed = DataError(f"{self._path}: the header was changed; restore the file from a copy")
        if version != VERSION:
            raise DataError(
                f"{self._path}: journal version {version}, this program reads {VERSION}; use its own release"
            )
        if length > MAX_HEADER:
            raise changed
        body = self._take(length)
        self.chain = self._take(HASH_BYTES)
        if hashlib.sha256(start + body).digest() != self.chain:
            raise changed
        self.offset = PREFIX.size + length + HASH_BYTES
        try:
            return msgspec.json.decode(body, type=Header)
        except msgspec.MsgspecError as error:
            raise DataError(f"{self._path}: a header of another release ({error}); use that release") from error

    def __iter__(self) -> Iterator[JournalRecord]:
        while self.offset < self._size:
            yield self._next()

    def _next(self) -> JournalRecord:
        head = self._take(RECORD.size)
        length, kind, sequence, time_ms = RECORD.unpack(head)
        end = self.offset + RECORD.size + length + HASH_BYTES
        if end > self._size:
            raise self._torn_or_changed()
        payload = self._take(length)
        stored = self._take(HASH_BYTES)
        if hashlib.sha256(self.chain + head + payload).digest() != stored or sequence != self.records + 1:
            raise self._torn_or_changed() if end == self._size else self._changed()
        known = KINDS.get(kind)
        if known is None:
            raise DataError(f"{self._path}: record {sequence} is of a kind ({kind}) that this program does not know")
        self.chain = stored
        self.offset = end
        self.records += 1
        return JournalRecord(known, sequence, time_ms, payload)

    def _torn_or_changed(self) -> Exception:
        """Torn, unless a whole later record follows: then a length was changed, and cutting would destroy good data."""
        self._file.seek(self.offset)
        tail = self._file.read()
        following = struct.pack("<Q", self.records + 2)
        place = tail.find(following)
        while place >= 0:
            if _is_record(tail, place - SEQUENCE_AT):
                return self._changed()
            place = tail.find(following, place + 1)
        return Torn()

    def _changed(self) -> DataError:
        return DataError(
            f"{self._path}: record {self.records + 1} at byte {self.offset} breaks the hash chain, with data after it: "
            "the file was changed; restore it from a copy"
        )


def _is_record(data: bytes, start: int) -> bool:
    """True when a whole record begins at `start`, by the hash before it and its own."""
    if start < HASH_BYTES or start + RECORD.size > len(data):
        return False
    end = start + RECORD.size + RECORD.unpack_from(data, start)[0]
    found = hashlib.sha256(data[start - HASH_BYTES : end]).digest()
    return data[end : end + HASH_BYTES] == found


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """The file for reading; a DataError when it cannot be."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no journal there; trade the day first, or name its data directory") from error
    except OSError as error:
        raise DataError(f"{path}: the journal cannot be read ({error.strerror}); mend or move it away") from error
    with file:
        yield file


def read_journal(path: Path) -> Iterator[JournalRecord]:
    """All whole records, verified. A torn tail simply ends the journal; a changed record is a DataError."""
    with _opened(path) as file:
        try:
            yield from JournalReader(file, path)
        except Torn:
            return


def read_header(path: Path) -> Header:
    """The header alone; a DataError when there is none to read."""
    with _opened(path) as file:
        try:
            return JournalReader(file, path).header
        except Torn:
            raise DataError(f"{path}: cut off inside its header; nothing of it can be used") from None


def inspect(path: Path) -> Healing:
    """What opening would find, without changing anything."""
    with _opened(path) as file:
        try:
            reader = JournalReader(file, path)
        except Torn:
            return Healing(0, path.stat().st_size)
        try:
            for _ in reader:
                pass
        except Torn:
            return Healing(reader.records, path.stat().st_size - reader.offset)
    return Healing(reader.records, 0)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Journal:
    """Appends records to one day's journal. Not safe for two writers: the caller holds the lease."""

    def __init__(self, file: BufferedWriter, path: Path, chain: bytes, sequence: int) -> None:
        self._file = file
        self._path = path
        self._chain = chain
        self._sequence = sequence

    @classmethod
    def open(cls, path: Path, header: Header) -> tuple["Journal", Healing]:
        """Start a journal, or continue one whose header agrees, cutting off a torn tail.

        Raises DataError for a file that is no journal, was changed, belongs elsewhere or cannot be written.
        """
        healing, chain = _heal(path, header) if path.exists() else (Healing(0, 0), b"")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose a directory that can") from error
        if not chain:
            start = _header_bytes(header)
            chain = start[-HASH_BYTES:]
            file.write(start)
            _sync(file)
            _sync_directory(path.parent)
        return cls(file, path, chain, healing.records), healing

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last record."""
        return self._sequence, self._chain.hex()

    def append(self, kind: Kind, time_ms: int, payload: bytes) -> None:
        """Add one record; it is on disk after the next `sync`."""
        assert len(payload) <= MAX_PAYLOAD, f"a {kind.name} of {len(payload)} bytes"
        self._sequence += 1
        head = RECORD.pack(len(payload), kind, self._sequence, time_ms)
        self._chain = hashlib.sha256(self._chain + head + payload).digest()
        # Tens of thousands a day: a context manager would cost as much as the record.
        try:
            self._file.write(head + payload + self._chain)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def flush(self) -> None:
        """Hand everything to the operating system: survives the death of this process."""
        try:
            self._file.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error

    def sync(self) -> None:
        """Force everything to the disk: survives the death of the machine."""
        with self._writing():
            _sync(self._file)

    def close(self) -> None:
        """Sync and close."""
        with self._writing():
            try:
                _sync(self._file)
            finally:
                self._file.close()

    def abandon(self) -> None:
        """Close after something has already gone wrong: what can be saved is, and no second error is raised."""
        with contextlib.suppress(DataError):
            self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """DataError for what the disk refuses: a write after this one would tear the chain."""
        try:
            yield
        except OSError as error:
            raise unwritable(self._path, error) from error


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make a new file's name as durable as its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _header_bytes(header: Header) -> bytes:
    body = msgspec.json.encode(header)
    start = PREFIX.pack(MAGIC, VERSION, len(body)) + body
    return start + hashlib.sha256(start).digest()


def _heal(path: Path, header: Header) -> tuple[Healing, bytes]:
    """Check the chain of an existing file and cut a torn tail; (healing, last hash), empty hash to start anew."""
    size = path.stat().st_size
    foreign = DataError(
        f"{path}: belongs to another day, configuration or day pack; move it away or use its own configuration"
    )
    with _opened(path) as file:
        try:
            reader = JournalReader(file, path)
        except Torn:
            if not _header_bytes(header).startswith(path.read_bytes()):
                raise foreign from None
            os.truncate(path, 0)
            return Healing(0, size), b""
        if reader.header.money != header.money:
            raise DataError(
                f"{path}: this day was begun with '{reader.header.money}' orders, not '{header.money}': positions of "
                "the one are nothing to the other; go on as it was begun, or use another data directory"
            )
        if not reader.header.belongs_with(header):
            raise foreign
        try:
            for _ in reader:
                pass
        except Torn:
            os.truncate(path, reader.offset)
    return Healing(reader.records, size - reader.offset), reader.chain
