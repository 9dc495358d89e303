"""A lease: a file lock that the operating system releases when its holder dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from g6_core.adapters.files import unwritable


@contextmanager
def lease(path: Path, patience_s: float) -> Iterator[bool]:
    """Whether this process holds the lease inside of the block; false when another one kept it for `patience_s`.

    Raises DataError when the file cannot be written.
    """
    lock = FileLock(path, timeout=patience_s)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield True
    finally:
        lock.release()


def is_leased(path: Path) -> bool:
    """Whether somebody holds the lease. It is held for a moment to find out, so holders must be patient."""
    if not path.exists():
        return False
    with lease(path, 0) as ours:
        return not ours
