"""Faults that the served exchange can be told to have, in windows of virtual time: what they are and when they hit."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FAULTS_MAX = 1_000
LONG_MS = 7 * 24 * 3_600_000


class FaultKind(StrEnum):
    """What goes wrong."""

    HTTP_429 = "http_429"
    HTTP_5XX = "http_5xx"
    HTML_BODY = "html_body"
    MALFORMED_JSON = "malformed_json"
    SLOW_MS = "slow_ms"
    TIMEOUT_LOST = "timeout_lost"
    TOKEN_EXPIRED = "token_expired"
    MISSING_KEYS = "missing_keys"
    CLOCK_OFF = "clock_off"
    WS_DROP = "ws_drop"
    WS_STALL = "ws_stall"
    WS_NO_TICKS = "ws_no_ticks"
    WS_DEAD_TOKENS = "ws_dead_tokens"
    WS_OLD_STAMPS = "ws_old_stamps"


SICK = frozenset({FaultKind.WS_STALL, FaultKind.WS_NO_TICKS, FaultKind.WS_DEAD_TOKENS, FaultKind.WS_OLD_STAMPS})


class Fault(BaseModel):
    """One fault. It begins `in_ms` after it is ordered, lasts `for_ms` (virtual time) and hits at most `count` times.

    Faults of HTTP hit requests whose method is `method` (any when empty) and whose path begins with `path`.
    `happens` says whether a request that is badly answered takes effect. `token_expired` ends the session once, until
    the next login. `ws_drop` cuts every ticker and refuses new ones, `ws_stall` keeps them silent. A ticker that is up
    and sick sends heartbeats and order rows as ever: `ws_no_ticks` takes every subscription and sends no tick,
    `ws_dead_tokens` sends none of `tokens`, `ws_old_stamps` sends prices that move with stamps that stand still. With
    `until_reconnect` a ticker that connects after the fault began is well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    in_ms: Annotated[int, Field(ge=0, le=LONG_MS)] = 0
    for_ms: Annotated[int, Field(gt=0, le=LONG_MS)] = LONG_MS
    count: Annotated[int, Field(gt=0)] | None = None
    method: str = ""
    path: str = "/"
    happens: bool = False
    status: Annotated[int, Field(ge=500, le=599)] = 503
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 1_000
    """`slow_ms`: by the clock on the wall, because in lockstep nothing else moves while a request is out."""
    off_ms: Annotated[int, Field(ge=-LONG_MS, le=LONG_MS)] = 0
    """`clock_off`: what the time in the head of an answer is ahead of the time of the exchange."""
    keys: tuple[str, ...] = ()
    """`missing_keys`: what `/quote` leaves out; all when empty."""
    tokens: tuple[int, ...] = ()
    """`ws_dead_tokens`: what is not sent."""
    until_reconnect: bool = False
    """`ws_no_ticks`, `ws_dead_tokens`, `ws_old_stamps`: only what was connected before is sick."""


@dataclass(frozen=True, slots=True)
class Ills:
    """What is wrong with one ticker at a moment. `stamped_ms` is where its stamps stand still; 0 when they move."""

    stalled: bool = False
    no_ticks: bool = False
    dead: frozenset[int] = frozenset()
    stamped_ms: int = 0


WELL = Ills()


@dataclass(slots=True)
class _Ordered:
    fault: Fault
    from_ms: int
    to_ms: int
    hits: int = 0
    is_seen: bool = False

    def is_on(self, now_ms: int) -> bool:
        spent = self.fault.count is not None and self.hits >= self.fault.count
        return self.from_ms <= now_ms < self.to_ms and not spent


class FaultBook:
    """All ordered faults; `fired` counts hits by kind."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        self._ordered: list[_Ordered] = []

    def order(self, faults: list[Fault], now_ms: int) -> None:
        """Add faults; over ones are forgotten. At most FAULTS_MAX are kept, the oldest go first."""
        kept = [one for one in self._ordered if one.to_ms > now_ms]
        new = [_Ordered(fault, now_ms + fault.in_ms, now_ms + fault.in_ms + fault.for_ms) for fault in faults]
        self._ordered = [*kept, *new][-FAULTS_MAX:]

    def clear(self) -> None:
        """All well from now on."""
        self._ordered.clear()

    def hit(self, kinds: frozenset[FaultKind], now_ms: int, method: str = "", path: str = "/") -> Fault | None:
        """The first fault of these kinds that is on for a request; it counts as a hit."""
        for one in self._ordered:
            fault = one.fault
            fits = fault.method in ("", method) and path.startswith(fault.path)
            if fault.kind in kinds and fits and one.is_on(now_ms):
                one.hits += 1
                self.fired[fault.kind] += 1
                return fault
        return None

    def is_on(self, kind: FaultKind, now_ms: int) -> bool:
        """Whether a fault without requests (a cut feed) is on."""
        return any(one.fault.kind is kind and one.is_on(now_ms) for one in self._ordered)

    def ills(self, now_ms: int, connected_ms: int) -> Ills:
        """Return what is wrong now with a ticker that connected at `connected_ms`; a fault counts once."""
        on = [one for one in self._ordered if one.fault.kind in SICK and one.is_on(now_ms)]
        on = [one for one in on if not (one.fault.until_reconnect and connected_ms > one.from_ms)]
        if not on:
            return WELL
        for one in on:
            self.fired[one.fault.kind] += not one.is_seen
            one.is_seen = True
        kinds = {one.fault.kind for one in on}
        stamped_ms = min((one.from_ms for one in on if one.fault.kind is FaultKind.WS_OLD_STAMPS), default=0)
        dead = {token for one in on if one.fault.kind is FaultKind.WS_DEAD_TOKENS for token in one.fault.tokens}
        return Ills(FaultKind.WS_STALL in kinds, FaultKind.WS_NO_TICKS in kinds, frozenset(dead), stamped_ms)

    def begun(self, kind: FaultKind, now_ms: int) -> bool:
        """Whether a fault that happens once has become due since the last look."""
        due = [one for one in self._ordered if one.fault.kind is kind and one.from_ms <= now_ms and not one.hits]
        for one in due:
            one.hits += 1
            self.fired[kind] += 1
        return bool(due)
