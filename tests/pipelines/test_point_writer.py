"""Points that a store takes only in part: what is too old is found and counted, what is too large is sent in parts."""

from dataclasses import dataclass, field

import pytest

from g6_core.adapters.influx import BeyondRetention, TooLarge
from g6_pipelines.sinks.point_writer import PointWriter

FIRST_MS = 1_000_000


def lines(moments: int, each: int = 3) -> list[bytes]:
    """So many points at each of so many minutes."""
    return [b"o,offset=%d v=1i %d" % (offset, FIRST_MS + 60_000 * n) for n in range(moments) for offset in range(each)]


@dataclass
class Store:
    """Keeps what is not older than `oldest_ms`, and takes `lines_max` lines at once.

    With `writes_rest` it writes what is not too old and complains all the same, as InfluxDB does.
    """

    oldest_ms: int = 0
    lines_max: int = 1_000_000
    writes_rest: bool = True
    there: set[bytes] = field(default_factory=set)
    requests: int = 0

    def write(self, text: bytes) -> None:
        self.requests += 1
        asked = text.split(b"\n")
        if len(asked) > self.lines_max:
            raise TooLarge("413")
        good = {line for line in asked if int(line.split()[-1]) >= self.oldest_ms}
        if len(good) == len(asked) or self.writes_rest:
            self.there |= good
        if len(good) < len(asked):
            raise BeyondRetention("partial write: points beyond retention policy dropped=3")


@pytest.mark.parametrize("writes_rest", [True, False])
@pytest.mark.parametrize("old", [0, 1, 2, 31, 62, 63, 64])
@pytest.mark.parametrize("lines_max", [1_000, 100, 7, 1])
def test_what_is_kept_is_written_and_what_is_too_old_is_counted(old: int, lines_max: int, writes_rest: bool) -> None:
    asked = lines(64)
    store = Store(FIRST_MS + 60_000 * old, lines_max, writes_rest)
    writer = PointWriter(store)
    writer.write(b"\n".join(reversed(asked)))
    assert store.there == set(asked[3 * old :])
    assert (writer.skipped, writer.beyond_ms) == (3 * old, FIRST_MS + 60_000 * (old - 1) if old else 0)
    if lines_max == 1_000:
        assert store.requests <= 9


def test_a_limit_is_found_once_and_kept() -> None:
    store = Store(lines_max=60)
    writer = PointWriter(store)
    writer.write(b"\n".join(lines(64)))
    first = store.requests
    assert first <= 8 and writer.lines_max <= 60
    writer.write(b"\n".join(lines(64)))
    assert store.requests - first == 4


def test_one_line_that_is_too_large_is_refused_after_few_requests() -> None:
    store = Store(lines_max=0)
    with pytest.raises(TooLarge):
        PointWriter(store).write(b"\n".join(lines(300)))
    assert store.requests <= 12
