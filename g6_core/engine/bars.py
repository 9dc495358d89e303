"""Bars of the index: ticks to 1 s, 1 s to 1 m, 1 m to 5 m, in compiled code over explicit arrays.

Ticks are placed by their exchange stamp. A second is closed two seconds after its end, so duplicates
and disorder within two seconds change nothing; what comes later is dropped and counted. Ticks with the
same stamp keep their order of arrival. A minute without ticks has no bar: nothing is invented.
"""

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel

Ints = NDArray[np.int64]

GRACE_MS = 2_000
PENDING = 8
# One pending second: second, open, high, low, close, first stamp, last stamp, ticks.
SECOND_FIELDS = 8
# One open bar: start_ms, open, high, low, close, ticks, is open.
BAR_FIELDS = 7
FRAMES_MS = (60_000, 300_000)
# Counters: highest second closed, late ticks, garbage ticks.
COUNTERS = 3


def new_pending() -> Ints:
    """Empty ring of seconds that may still change."""
    pending = np.zeros((PENDING, SECOND_FIELDS), np.int64)
    pending[:, 0] = -1
    return pending


def new_open_bars() -> Ints:
    """One bar under construction per time frame (1 m, 5 m)."""
    return np.zeros((len(FRAMES_MS), BAR_FIELDS), np.int64)


@kernel("void(i8[:, :], i8[:], i8, i8)")
def add_tick(pending: Ints, counters: Ints, stamp_ms: int, price: int) -> None:
    """Put one price (paise) into its second; `counters[1]` counts what comes too late or was not closed in time."""
    second = stamp_ms // 1000
    row = pending[second % PENDING]
    if second <= counters[0] or second < row[0]:
        counters[1] += 1
        return
    if row[0] != second:
        if row[0] >= 0:
            counters[1] += row[7]
        row[0] = second
        row[1] = row[2] = row[3] = row[4] = price
        row[5] = row[6] = stamp_ms
        row[7] = 1
        return
    if stamp_ms < row[5]:
        row[1] = price
        row[5] = stamp_ms
    if stamp_ms >= row[6]:
        row[4] = price
        row[6] = stamp_ms
    row[2] = max(row[2], price)
    row[3] = min(row[3], price)
    row[7] += 1


@kernel("i8(i8[:, :], i8, i8[:, :], i8)")
def _emit(open_bars: Ints, frame: int, out: Ints, count: int) -> int:
    out[count, 0] = frame
    out[count, 1:7] = open_bars[frame, 0:6]
    open_bars[frame, 6] = 0
    return count + 1


@kernel("i8(i8[:, :], i8, i8, i8, i8, i8, i8, i8, i8[:, :], i8)")
def _merge(
    open_bars: Ints, frame: int, width_ms: int, at_ms: int, o: int, h: int, low: int, c: int, out: Ints, count: int
) -> int:
    bar = open_bars[frame]
    start = at_ms // width_ms * width_ms
    if bar[6] == 1 and bar[0] != start:
        count = _emit(open_bars, frame, out, count)
    if bar[6] == 0:
        bar[0] = start
        bar[1] = o
        bar[2] = h
        bar[3] = low
        bar[4] = c
        bar[5] = 1
        bar[6] = 1
        return count
    bar[2] = max(bar[2], h)
    bar[3] = min(bar[3], low)
    bar[4] = c
    bar[5] += 1
    return count


@kernel("i8(i8[:, :], i8[:], i8[:, :], i8, i8[:, :])")
def close_until(pending: Ints, counters: Ints, open_bars: Ints, now_ms: int, out: Ints) -> int:
    """Close every second that ended two seconds before `now_ms`, and the bars that end with them.

    Closed bars go to `out` rows (frame, start_ms, open, high, low, close, parts), 1 m before 5 m;
    returns how many. `out` needs room for 2 * PENDING + 2 rows.
    """
    count = 0
    last = (now_ms - GRACE_MS) // 1000 - 1
    first = last
    for k in range(PENDING):
        if counters[0] < pending[k, 0] < first:
            first = pending[k, 0]
    for second in range(max(first, counters[0] + 1), last + 1):
        row = pending[second % PENDING]
        if row[0] == second:
            count = _merge(open_bars, 0, 60_000, second * 1000, row[1], row[2], row[3], row[4], out, count)
            count = _merge(open_bars, 1, 300_000, second * 1000, row[1], row[2], row[3], row[4], out, count)
            row[0] = -1
    counters[0] = max(counters[0], last)
    end_ms = (last + 1) * 1000
    if open_bars[0, 6] == 1 and open_bars[0, 0] + 60_000 <= end_ms:
        count = _emit(open_bars, 0, out, count)
    if open_bars[1, 6] == 1 and open_bars[1, 0] + 300_000 <= end_ms:
        count = _emit(open_bars, 1, out, count)
    return count
