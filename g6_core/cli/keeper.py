"""Ends process groups when its parent has died without doing it: the last resort after `kill -9`.

Told through stdin which groups run (`+pid`) and which are done (`-pid`). The kernel's parent-death signal reaches the
children of the dead process only; their own children (a run that Dagster started) are reached by their group alone.
The end of stdin means that the parent has gone, however that happened.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_S = 10.0
POLL_S = 0.05


def main() -> None:
    """Listen until stdin ends, then end what is left."""
    groups: list[int] = []
    for line in sys.stdin:
        sign, pid = line[0], int(line[1:])
        if sign == "+":
            groups.append(pid)
        elif pid in groups:
            groups.remove(pid)
    _end(groups)


def _end(groups: list[int]) -> None:
    """Ask all, wait for a while, then do not ask any more."""
    for pid in reversed(groups):
        _signal(pid, signal.SIGTERM)
    give_up_s = time.monotonic() + GRACE_S
    while any(_signal(pid, 0) for pid in groups) and time.monotonic() < give_up_s:
        time.sleep(POLL_S)
    for pid in reversed(groups):
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    """False when nobody is left in the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False


if __name__ == "__main__":
    main()
