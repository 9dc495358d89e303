"""Memory that a process no longer needs, given back to the operating system."""

import ctypes
import mmap
import re
import sys
from pathlib import Path

_SPAN = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ")


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
    offered = start = end = 0
    for line in mappings.read_text().splitlines():
        if head := _SPAN.match(line):
            access, file = head[3], Path(line.split(maxsplit=5)[-1]).name
            is_library = ".so" in file and access in ("r-xp", "r--p")
            start, end = (int(head[1], 16), int(head[2], 16)) if is_library else (0, 0)
        elif line.startswith("Anonymous:") and end and line.split()[1] == "0":
            if madvise(start, end - start, mmap.MADV_DONTNEED) == 0:
                offered += end - start
    return offered
