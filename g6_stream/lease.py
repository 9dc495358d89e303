"""One sidecar a data directory: a lock that the operating system releases when its holder dies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from g6_core.adapters.folders import first_missing
from g6_core.domain.errors import DataError, UserError


@contextmanager
def sidecar_lease(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; a UserError at once when another process does."""
    made = first_missing(path.parent)
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
        if made is not None:
            _remove_empty(path, made)


def _remove_empty(path: Path, made: Path) -> None:
    """Take away the lock and the folders that were made for it, as far as nothing else is in them."""
    path.unlink(missing_ok=True)
    for folder in (one for one in path.parents if one.is_relative_to(made)):
        with suppress(OSError):
            folder.rmdir()
