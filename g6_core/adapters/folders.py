"""Folders that are made for a run, and taken away again when the run is refused."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from g6_core.domain.errors import UserError


def first_missing(folder: Path) -> Path | None:
    """Return the topmost folder that would have to be made for this one; None when it is there."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


@contextmanager
def nothing_left_if_refused(folder: Path) -> Iterator[Event]:
    """Make `folder`, and remove it when a UserError ends the block before the event is set.

    Only a folder that this call has made is removed, with what is in it; folders above it only where they are empty.
    """
    first, begun, made = first_missing(folder.parent), Event(), False
    made_above = [above for above in folder.parents if first is not None and above.is_relative_to(first)]
    with suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        made = True
    try:
        yield begun
    except UserError:
        if made and not begun.is_set():
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                for above in made_above:
                    above.rmdir()
        raise
