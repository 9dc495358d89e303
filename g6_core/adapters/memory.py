"""Memory that a process no longer needs, given back to the operating system."""

import ctypes
import gc
import mmap
import re
import sys
from collections.abc import Callable
from pathlib import Path

_SPAN = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ")


# The answer to one call is thousands of objects and holds no cycle. By default each seven hundred of them are searched
# for cycles, and now and then everything that is loaded: a twentieth of a day's time.
_OBJECTS_AT_ONCE = 20_000


def as_process(main: Callable[[], int]) -> int:
    """Run what this process is for and return its exit code; garbage is searched for rarely, and not at the end."""
    gc.set_threshold(_OBJECTS_AT_ONCE)
    try:
        return main()
    finally:
        # What is left ends with the process: to search it once more takes half a second after a day.
        gc.freeze()


def release_libraries() -> int:
    """Give back the pages of all loaded shared libraries that are still what the files hold: their code and constants,
    most of which was needed to start only.

    Nothing is lost: a page that is needed again is read again. Only mappings that cannot be written to and have no
    page of their own are touched; where the loader has put addresses in, one that is read again would lack them.
    Returns the bytes whose pages were offered; 0 where the system does not tell (everything but Linux).
    """
    mappings = Path("/proc/self/smaps")
    if not sys.platform.startswith("linux") or not mappings.exists():
        return 0
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    offered = start = length = 0
    for line in mappings.read_text().splitlines():
        if head := _SPAN.match(line):
            is_library = ".so" in Path(line.split(maxsplit=5)[-1]).name and head[3] in ("r-xp", "r--p")
            start = int(head[1], 16)
            length = int(head[2], 16) - start if is_library else 0
        elif line.startswith("Anonymous:"):
            is_unchanged = length and line.split()[1] == "0"
            if is_unchanged and madvise(start, length, mmap.MADV_DONTNEED) == 0:
                offered += length
    return offered
