"""One sidecar a data directory: a lock that the operating system releases when its holder dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from g6_core.domain.errors import DataError, UserError


@contextmanager
def sidecar_lease(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; a UserError at once when another process does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another sidecar already trades here ({path} is locked); end it first, or give another --data-dir"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; choose a --data-dir you can write to") from error
    try:
        yield
    finally:
        lock.release()
