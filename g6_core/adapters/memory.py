"""Memory that a process no longer needs, given back to the operating system."""

import ctypes
import mmap
import sys
from pathlib import Path


def release_code() -> int:
    """Give back the pages of machine code of all loaded shared libraries; most were needed to start only.

    They are unchanged copies of the files, so nothing is lost: a page that is needed again is read again. Only mappings
    of files that are executable and not writable are touched, as others hold what the loader or a compiler wrote.
    Returns the bytes whose pages were offered; 0 where the system knows no such advice (everything but Linux).
    """
    if not sys.platform.startswith("linux"):
        return 0
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    offered = 0
    for mapping in Path("/proc/self/maps").read_text().splitlines():
        span, access, _, _, inode, *file = mapping.split(maxsplit=5)
        if access == "r-xp" and inode != "0" and file and ".so" in Path(file[0]).name:
            start, end = (int(address, 16) for address in span.split("-"))
            if madvise(start, end - start, mmap.MADV_DONTNEED) == 0:
                offered += end - start
    return offered
