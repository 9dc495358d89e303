"""The quote board: newest tick of every subscribed instrument, and the one compiled call per frame.

Rows keep their place for the whole day; `order` lists them by token so that a frame is matched by
binary search. Garbage (no price, a jump no market makes, a stamp from the future) is dropped and counted; a jump
that is still there `JUMP_MEMORY_MS` after the last good tick was no garbage.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.domain.market import TICK, Quote
from g6_core.engine import bars

Ints = NDArray[np.int64]

# Rows at the start; doubled when more are needed.
CAPACITY = 256
# A price this many times the last one (or its inverse) is garbage: options, index.
JUMP_OPTION = 20
JUMP_INDEX_PCT = 10
JUMP_MEMORY_MS = 10_000
FUTURE_MS = 2_000

_TICK = from_dtype(TICK)
_I8 = types.int64[:]
_ROWS = types.Array(_TICK, 1, "C")


@kernel(types.int64(_ROWS, _I8, _I8, _I8, _ROWS, types.int64, types.int64[:, :, :], types.int64[:, :]))
def _apply(
    board: NDArray[np.void],
    tokens: Ints,
    slots: Ints,
    index_of: Ints,
    ticks: NDArray[np.void],
    now_ms: int,
    pending: Ints,
    counters: Ints,
) -> int:
    applied = 0
    for k in range(len(ticks)):
        token = ticks[k]["token"]
        place = np.searchsorted(tokens, token)
        if place >= len(tokens) or tokens[place] != token:
            continue
        slot = slots[place]
        row = board[slot]
        index = index_of[slot]
        price = ticks[k]["ltp_paise"]
        last = row["ltp_paise"]
        stamp = ticks[k]["exchange_ms"]
        bad = price <= 0 or stamp <= 0 or stamp > now_ms + FUTURE_MS
        if last > 0 and stamp - row["exchange_ms"] <= JUMP_MEMORY_MS:
            if index >= 0 and abs(price - last) * 100 > JUMP_INDEX_PCT * last:
                bad = True
            if index < 0 and (price > JUMP_OPTION * max(last, 100) or price * JUMP_OPTION < last):
                bad = True
        if bad:
            counters[max(index, 0), 2] += 1
            continue
        if index >= 0:
            bars.add_tick(pending[index], counters[index], stamp, price)
        if stamp >= row["exchange_ms"]:
            board[slot] = ticks[k]
            applied += 1
    return applied


@dataclass(slots=True)
class QuoteBoard:
    """Newest ticks, and the seconds and bars under construction of each index."""

    rows: NDArray[np.void] = field(default_factory=lambda: np.zeros(CAPACITY, TICK))
    slot_of: dict[int, int] = field(default_factory=dict)
    index_of: Ints = field(default_factory=lambda: np.full(CAPACITY, -1, np.int64))
    pending: Ints = field(default_factory=lambda: np.zeros((0, bars.PENDING, bars.SECOND_FIELDS), np.int64))
    open_bars: Ints = field(default_factory=lambda: np.zeros((0, len(bars.FRAMES_MS), bars.BAR_FIELDS), np.int64))
    counters: Ints = field(default_factory=lambda: np.zeros((1, bars.COUNTERS), np.int64))
    _tokens: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _slots: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, index_tokens: tuple[int, ...], open_ms: int) -> "QuoteBoard":
        """A board that builds bars for these index tokens, in this order, from ticks stamped at or after `open_ms`."""
        board = cls()
        count = len(index_tokens)
        board.pending = np.stack([bars.new_pending() for _ in range(count)])
        board.open_bars = np.stack([bars.new_open_bars() for _ in range(count)])
        board.counters = np.zeros((count, bars.COUNTERS), np.int64)
        board.counters[:, 0] = open_ms // 1000 - 1
        board.watch(index_tokens)
        for place, token in enumerate(index_tokens):
            board.index_of[board.slot_of[token]] = place
        return board

    def watch(self, tokens: tuple[int, ...]) -> None:
        """Give every new token a row."""
        for token in tokens:
            if token not in self.slot_of:
                slot = len(self.slot_of)
                if slot == len(self.rows):
                    self._grow()
                self.slot_of[token] = slot
                self.rows[slot]["token"] = token
        known = np.array(sorted(self.slot_of), np.int64)
        self._tokens = known
        self._slots = np.array([self.slot_of[int(token)] for token in known], np.int64)

    def _grow(self) -> None:
        """Twice the rows: on a day of a crash the windows of five indices pass through hundreds of strikes."""
        count = len(self.rows)
        self.rows = np.concatenate([self.rows, np.zeros(count, TICK)])
        self.index_of = np.concatenate([self.index_of, np.full(count, -1, np.int64)])

    def apply(self, ticks: NDArray[np.void], now_ms: int) -> int:
        """Take a frame; returns how many rows changed."""
        return int(
            _apply(self.rows, self._tokens, self._slots, self.index_of, ticks, now_ms, self.pending, self.counters)
        )

    def close_bars(self, index: int, now_ms: int) -> list[tuple[int, ...]]:
        """Bars of one index that ended: (frame, start_ms, open, high, low, close, parts), oldest first."""
        out = np.zeros((2 * bars.PENDING + 2, 7), np.int64)
        count = bars.close_until(self.pending[index], self.counters[index], self.open_bars[index], now_ms, out)
        return [tuple(int(value) for value in out[k]) for k in range(count)]

    def quote(self, token: int) -> Quote | None:
        """Newest tick of a token, None when nothing has come yet."""
        slot = self.slot_of.get(token)
        if slot is None or self.rows[slot]["exchange_ms"] == 0:
            return None
        row = self.rows[slot].item()
        return Quote(*row)
