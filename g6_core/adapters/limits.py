"""Kite's rate limits, kept together by all processes that share an API key: the newest calls of each family in a file.

Who wants to call claims the next free moment, in turn, so that nobody starves; a call is stamped again when it really
goes and when it is answered, because the broker counts it somewhere in between. The file is locked by the operating
system, which lets go when a process dies; the moment that such a process had claimed passes unused. Order writes are
not counted here; the engine limits them, and nothing may hold an exit back.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Protocol
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse

from g6_core.adapters.kite.client import Reply, exceptions
from g6_core.domain.errors import ConfigError, TryLater
from g6_core.domain.ist import SECOND_MS
from g6_core.ports import Clock

WINDOW_MS = SECOND_MS
# A read waits so long for its turn; then it is refused as the broker would refuse it.
PATIENCE_MS = 5_000
LOCK_TIMEOUT_S = 2.0
LOCK_POLL_S = 0.002


class Family(StrEnum):
    """Calls that share a limit."""

    QUOTE = "quote"
    HISTORICAL = "historical"
    OTHER = "other"


CALLS_PER_SECOND: Final[Mapping[Family, int]] = MappingProxyType(
    {Family.QUOTE: 1, Family.HISTORICAL: 3, Family.OTHER: 10}
)
# Besides the calls that fill a second, so many claims of processes that wait are remembered.
WAITING_MAX = 8
_KEPT = {family: count + WAITING_MAX for family, count in CALLS_PER_SECOND.items()}
_LAYOUT = struct.Struct(f"<{sum(_KEPT.values())}q")
# A stamp further ahead is of another time: the clock was set back, or an exchange serves an earlier day.
HORIZON_MS = (WAITING_MAX + 2) * WINDOW_MS


def family_of(method: str, path: str) -> Family | None:
    """The limit that a request counts for; None for order writes and for what is not Kite's."""
    if path.startswith("/quote"):
        return Family.QUOTE
    if path.startswith("/instruments/historical/"):
        return Family.HISTORICAL
    if (path.startswith("/orders") and method != "GET") or path.startswith("/sim/"):
        return None
    return Family.OTHER


def limits_path(api_key: str, root: str) -> Path:
    """The file of one API key at one broker: below `G6_LIMITS_DIR`, else below this user's state directory."""
    given = os.environ.get("G6_LIMITS_DIR")
    state = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    folder = Path(given) if given else Path(state) / "g6" / "limits"
    # The key itself stays out of file names.
    return folder / f"{hashlib.sha256(f'{api_key}@{root}'.encode()).hexdigest()[:16]}.stamps"


class FlowingClock(Clock, Protocol):
    """A clock whose speed is known: 1 for real time, 0 when it stands until its participants move it."""

    @property
    def speed(self) -> float:
        """How many times as fast as real time."""
        ...

    def pause_until(self, time_ms: int) -> None:
        """Wait without taking part in moving the time; any thread may. Not while time stands."""
        ...


class Limiter:
    """When a call of a family may go. `margin_ms` covers what clocks of two processes differ by."""

    def __init__(self, clock: Clock, path: Path, margin_ms: int = 0) -> None:
        """Raises ConfigError when the file's folder cannot be written."""
        self._clock = clock
        self._path = path
        self._spacing_ms = WINDOW_MS + margin_ms
        self._claims: dict[Family, int] = {}
        self._lock = FileLock(path.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S, poll_interval=LOCK_POLL_S)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._opened().close()
        except OSError as error:
            raise ConfigError(
                f"{path.parent}: {error.strerror or error}; set G6_LIMITS_DIR to a folder that every process "
                "with this API key can write"
            ) from error

    def claim(self, family: Family) -> int:
        """When the next call may go, now at the earliest; that moment is kept for this process until it calls."""
        with self._stamps() as stamps:
            return max(self._clock.now_ms(), self._claimed_ms(stamps[family], family))

    def take(self, family: Family) -> tuple[int | None, int]:
        """Count a call that goes now, and return its stamp; None when it has to wait for its turn, which is not
        claimed by that. And when the next call may go, now at the earliest."""
        with self._stamps() as stamps:
            own = stamps[family]
            stamp_ms = self._taken(own, family) if self._due_ms(own, family) <= self._clock.now_ms() else None
            return stamp_ms, self._due_ms(own, family)

    def answered(self, family: Family, stamp_ms: int) -> None:
        """The call that was stamped so has been answered, or given up."""
        now_ms = self._clock.now_ms()
        if now_ms <= stamp_ms:
            return
        with self._stamps() as stamps:
            own = stamps[family]
            if stamp_ms in own:
                own[own.index(stamp_ms)] = now_ms

    def _due_ms(self, own: list[int], family: Family) -> int:
        claimed_ms = self._claims.get(family)
        return max(self._clock.now_ms(), claimed_ms if claimed_ms in own else self._free_ms(own, family))

    def _taken(self, own: list[int], family: Family) -> int | None:
        """The stamp of a call that goes now, at the moment claimed; None, and a later claim, when others went late."""
        claimed_ms, now_ms = self._claimed_ms(own, family), self._clock.now_ms()
        del self._claims[family]
        place = own.index(claimed_ms)
        # Who went late before us, or after an old claim of ours, pushes us back as well.
        until_ms = max(claimed_ms, now_ms)
        earlier = sorted(stamp for at, stamp in enumerate(own) if at != place and stamp <= until_ms)
        free_ms = earlier[-CALLS_PER_SECOND[family]] + self._spacing_ms
        if max(free_ms, claimed_ms) > now_ms:
            own[place] = self._claims[family] = max(free_ms, claimed_ms)
            return None
        own[place] = now_ms
        return now_ms

    def _claimed_ms(self, own: list[int], family: Family) -> int:
        """The moment that this process has claimed, now if it had none; under the lock, like all use of the claims.

        A claim that the file does not have any more is from another time: the clock went back.
        """
        if self._claims.get(family) not in own:
            self._claims[family] = max(self._clock.now_ms(), self._free_ms(own, family))
            own[own.index(min(own))] = self._claims[family]
        return self._claims[family]

    def _free_ms(self, own: list[int], family: Family) -> int:
        return sorted(own)[-CALLS_PER_SECOND[family]] + self._spacing_ms

    @contextmanager
    def _stamps(self) -> Iterator[dict[Family, list[int]]]:
        """Stamps by family, locked; written back. A file that is torn, too long or from another time says nothing."""
        try:
            with self._lock, self._opened() as file:
                data = file.read()
                found = list(_LAYOUT.unpack(data)) if len(data) == _LAYOUT.size else [0] * (_LAYOUT.size // 8)
                latest_ms = self._clock.now_ms() + HORIZON_MS
                left = iter([0 if stamp > latest_ms else stamp for stamp in found])
                by_family = {family: list(islice(left, count)) for family, count in _KEPT.items()}
                yield by_family
                written = [stamp for stamps in by_family.values() for stamp in stamps]
                if written != found or len(data) != _LAYOUT.size:
                    file.seek(0)
                    file.write(_LAYOUT.pack(*written))
                    # What is longer than the layout would say nothing the next time either: no limit for good.
                    file.truncate()
        except Timeout as error:
            raise too_many("the limits of this API key are locked by another process") from error
        except OSError as error:
            raise too_many(f"the limits of this API key cannot be kept: {error}") from error

    def _opened(self) -> IO[bytes]:
        return os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)


class FamilyTurns:
    """When calls of a family may go, for a caller that waits on its own clock. The session's adapter counts them."""

    def __init__(self, limiter: Limiter, family: Family) -> None:
        self._limiter = limiter
        self._family = family

    def due_ms(self) -> int:
        """Earliest time of the next call, claimed for the caller; now if it may go at once.

        Raises TryLater while the file of the limits is locked by another process or cannot be used.
        """
        try:
            return self._limiter.claim(self._family)
        except exceptions.NetworkException as error:
            raise TryLater(str(error)) from error

    def spend(self) -> None:
        """The adapter counts the call when it goes."""


class LimitedAdapter(HTTPAdapter):
    """Lets a request go when its family's limit allows it.

    Where time flows a request waits for its turn, up to `PATIENCE_MS`, a quote up to `quote_patience_ms`. Where time
    stands nobody may wait inside of a call; there, and after the patience, the request is refused as Kite would do it,
    without having been sent. Who has less patience than the others keeps the turn, and can use it the next time.
    """

    def __init__(self, limiter: Limiter, clock: FlowingClock, quote_patience_ms: int = PATIENCE_MS) -> None:
        super().__init__()
        self._limiter = limiter
        self._clock = clock
        self._quote_patience_ms = quote_patience_ms

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send it in its turn. Raises kiteconnect's NetworkException 429 when the turn does not come."""
        family = family_of(request.method or "", urlsplit(request.url or "").path)
        if family is None:
            return super().send(request, *args, **kwargs)
        stamp_ms = self._turn(family)
        try:
            return super().send(request, *args, **kwargs)
        finally:
            # What was answered is answered, whatever becomes of the note of it.
            with suppress(exceptions.NetworkException):
                self._limiter.answered(family, stamp_ms)

    def build_response(self, req: PreparedRequest, resp: BaseHTTPResponse) -> Response:
        """Return the answer as one whose JSON is read fast: half of the time of a cycle's quotes."""
        response = super().build_response(req, resp)
        response.__class__ = Reply
        return response

    def _turn(self, family: Family) -> int:
        patience_ms = self._quote_patience_ms if family is Family.QUOTE else PATIENCE_MS
        give_up_ms = self._clock.now_ms() + patience_ms
        while True:
            # A call that cannot wait must not claim a moment that somebody else could use.
            stamp_ms, due_ms = self._limiter.take(family)
            if stamp_ms is not None:
                return stamp_ms
            if due_ms > (self._clock.now_ms() if self._clock.speed == 0 else give_up_ms):
                if self._clock.speed and patience_ms < PATIENCE_MS:
                    self._limiter.claim(family)
                raise too_many(f"the limit of {CALLS_PER_SECOND[family]} {family} calls a second is used up")
            if self._clock.speed:
                self._clock.pause_until(min(self._limiter.claim(family), give_up_ms))


def too_many(why: str) -> exceptions.NetworkException:
    """Kite's own refusal, made here: the request was not sent."""
    return exceptions.NetworkException(f"not sent: {why}", code=429)
