"""Folders that are made for a run, and taken away again when the run is refused."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from g6_core.domain.errors import UserError


def first_missing(folder: Path) -> Path | None:
    """Return the topmost folder that would have to be made for this one; None when it is there."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


@contextmanager
def nothing_left_if_refused(folder: Path) -> Iterator[Event]:
    """Remove `folder` and what was made above it when a UserError ends the block before the event is set.

    A folder that was there before stays as it is.
    """
    made, begun = first_missing(folder), Event()
    try:
        yield begun
    except UserError:
        if made is not None and not begun.is_set():
            shutil.rmtree(made, ignore_errors=True)
        raise
