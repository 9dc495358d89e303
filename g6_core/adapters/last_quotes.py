"""The last row of each collected contract in Redis, for readers that want no files: dashboards, ad-hoc runs.

One hash an index, ``g6:quotes:NIFTY``: field is the contract's symbol, value its JSON with time and quote. Each cycle
replaces the hash, which ends by itself when nobody collects; the status of the cycle is published on ``g6:cycles``.
Redis is a convenience. It may vanish at any moment: the cycle then waits for it no longer than its timeout, says so
once, and Redis is left alone for a while.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from g6_core.adapters.files import canonical_json
from g6_core.domain.errors import ConfigError
from g6_core.domain.ist import SECOND_MS, utc_text
from g6_core.ports import Clock
from g6_core.schema.options import OptionRow, RowStatus, SideCells

if TYPE_CHECKING:
    from redis import Redis

PREFIX = "g6:quotes:"
CHANNEL = "g6:cycles"
# After a failure nobody asks again for so long.
PAUSE_MS = 30 * SECOND_MS
_SEEN = (RowStatus.LIVE, RowStatus.STALE)


class LastQuotes:
    """Publishes cycles. `say` hears when Redis is lost and when it is back."""

    def __init__(self, redis: "Redis", clock: Clock, expire_s: int, say: Callable[[str], None]) -> None:
        self._redis = redis
        self._clock = clock
        self._expire_s = expire_s
        self._say = say
        self._lost = False
        self._again_ms = 0

    def publish(self, rows_by_index: Mapping[str, Sequence[OptionRow]], status: object) -> None:
        """Replace the last quotes of these indices in one transaction, and tell subscribers the status."""
        from redis.exceptions import RedisError

        if self._clock.now_ms() < self._again_ms:
            return
        try:
            pipe = self._redis.pipeline(transaction=True)
            for name, rows in rows_by_index.items():
                quotes = last_quotes(rows)
                pipe.delete(PREFIX + name)
                if quotes:
                    pipe.hset(PREFIX + name, mapping=quotes)
                    pipe.expire(PREFIX + name, self._expire_s)
            pipe.publish(CHANNEL, canonical_json(status))
            pipe.execute()
        except (RedisError, OSError) as error:
            self._again_ms = self._clock.now_ms() + PAUSE_MS
            if not self._lost:
                self._say(f"Redis is away ({type(error).__name__}): collection goes on without it")
            self._lost = True
            return
        if self._lost:
            self._say("Redis is back")
        self._lost = False


def last_quotes(rows: Iterable[OptionRow]) -> dict[Any, Any]:
    """Symbol -> JSON of the contracts that have a quote: rupees, units, time in UTC."""
    found: dict[Any, Any] = {}
    for row in rows:
        for side in (row.call, row.put):
            if side.status in _SEEN and side.symbol not in found:
                found[side.symbol] = canonical_json(_cells(row, side))
    return found


def _cells(row: OptionRow, side: SideCells) -> dict[str, object]:
    return {"time": utc_text(row.time_ms), "expiry": row.expiry, "strike": row.strike, **side._asdict()}


@contextmanager
def open_last_quotes(
    url: str | None, timeout_ms: int, expire_s: int, clock: Clock, say: Callable[[str], None]
) -> Iterator[LastQuotes | None]:
    """The publisher that the settings ask for; `G6_REDIS_URL` names a server with a password. None: not wanted.

    Raises ConfigError for an address that is none. Nothing is connected before the first cycle.
    """
    address = os.environ.get("G6_REDIS_URL") or url
    if not address:
        yield None
        return
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeout_s = timeout_ms / 1000
    try:
        # Its own retries would multiply the timeout.
        redis = Redis.from_url(
            address, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise ConfigError(f"the address of Redis: {error}; write it like redis://127.0.0.1:6379/0") from error
    try:
        yield LastQuotes(redis, clock, expire_s, say)
    finally:
        redis.close()
