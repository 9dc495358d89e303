"""Writes points to InfluxDB as far as it takes them: a request that is too large in parts, what is too old not at all.

Of a request with points older than its retention InfluxDB writes the rest or nothing, by version, and does not say
which. Age is a matter of time alone, so the moment before which it keeps nothing is looked for: the newest points
first, then by halves. Sending a point twice is harmless. n moments cost log2(n) + 2 requests at most, and a limit on
the size of n lines is found in log2(n).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from g6_core.adapters.influx import BeyondRetention, TooLarge

LINES_MAX: Final = 100_000


class Store(Protocol):
    """Takes lines of points."""

    def write(self, lines: bytes) -> None:
        """As `Influx.write`."""
        ...


@dataclass(slots=True)
class PointWriter:
    """One store and what was learned of it: how many lines it takes at once, and what it keeps no more.

    `skipped` counts the points that were too old, `beyond_ms` is the newest of their times (0 for none).
    """

    store: Store
    lines_max: int = LINES_MAX
    skipped: int = 0
    beyond_ms: int = 0

    def write(self, lines: bytes) -> None:
        """Write every line that is not too old. Raises what the store raises, TooLarge only for a single line."""
        ordered = sorted(lines.splitlines(), key=_time_ms)
        if not self._are_taken(ordered):
            self._write_kept([(time_ms, list(group)) for time_ms, group in groupby(ordered, _time_ms)])

    def _write_kept(self, moments: Sequence[tuple[int, list[bytes]]]) -> None:
        """Write the moments that the store keeps, oldest first in `moments`, and count the others."""
        kept_from = len(moments)
        if self._are_taken(moments[-1][1]):
            oldest, kept_from = 0, len(moments) - 1
            while oldest < kept_from:
                middle = (oldest + kept_from) // 2
                if self._are_taken([line for _, group in moments[middle:kept_from] for line in group]):
                    kept_from = middle
                else:
                    oldest = middle + 1
        beyond = moments[:kept_from]
        self.skipped += sum(len(group) for _, group in beyond)
        self.beyond_ms = max([self.beyond_ms, *(time_ms for time_ms, _ in beyond)])

    def _are_taken(self, lines: Sequence[bytes]) -> bool:
        """Write lines, in as many requests as it takes; False when one of them holds something too old."""
        if len(lines) <= self.lines_max:
            try:
                return self._is_taken(b"\n".join(lines))
            except TooLarge:
                if len(lines) == 1:
                    raise
                self.lines_max = (len(lines) + 1) // 2
        step = self.lines_max
        return all(self._are_taken(lines[start : start + step]) for start in range(0, len(lines), step))

    def _is_taken(self, lines: bytes) -> bool:
        try:
            self.store.write(lines)
        except BeyondRetention:
            return False
        return True


def _time_ms(line: bytes) -> int:
    """The stamp of a line: what follows its last blank."""
    return int(line.rpartition(b" ")[2])
