"""Small files that must never be half written, and the one canonical form of JSON that is hashed."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from g6_core.domain.errors import DataError

LOCK_TIMEOUT_S = 30.0
_ENCODER = msgspec.json.Encoder(order="sorted")


def canonical_json(value: object) -> bytes:
    """Compact JSON with sorted keys: equal values give equal bytes. Dataclasses and dates are understood."""
    return _ENCODER.encode(value)


def plain(value: object) -> Any:
    """Dataclasses, dates and enums to what JSON would read back."""
    return msgspec.json.decode(canonical_json(value))


def sha256_hex(data: bytes) -> str:
    """Lower-case hex digest."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` as a whole: temporary file beside it, fsync, rename, fsync of the folder.

    Raises DataError when the folder or file cannot be written.
    """
    _replace(path, data, os.fsync)


def write_shown(path: Path, data: bytes) -> None:
    """Replace `path` as a whole for those who look now; what a machine that dies leaves of it may be older, or nothing.

    Raises DataError when the folder or file cannot be written.
    """
    _replace(path, data, lambda _: None)


def _replace(path: Path, data: bytes, settle: Callable[[int], None]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            settle(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            settle(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Nobody else holds `lock` meanwhile, not even a process elsewhere. DataError when it does not become free."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise DataError(f"{lock} is held by another process; let that one finish") from error
    except OSError as error:
        raise unwritable(lock, error) from error


def unwritable(path: Path, error: OSError) -> DataError:
    """The one line for a path that cannot be written."""
    fix = (
        "free some disk space" if error.errno == errno.ENOSPC else "make the data directory writable or choose another"
    )
    return DataError(f"cannot write {path}: {error.strerror}; {fix}")


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything; a short write is continued, a full disk raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def claim_schema(path: Path, schema: dict[str, object], continues: Sequence[dict[str, object]] = ()) -> None:
    """Write the schema file of a folder, or check that the folder is of this schema or of one that it `continues`.

    Raises DataError when it is of another one.
    """
    if not path.exists():
        write_atomic(path, msgspec.json.format(canonical_json(schema)) + b"\n")
        return
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if found in continues:
        write_atomic(path, msgspec.json.format(canonical_json(schema)) + b"\n")
    elif found != schema:
        raise DataError(f"{path}: written with another schema version; move the folder {path.parent} away")
