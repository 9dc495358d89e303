"""What a collecting process says of itself every cycle: its heartbeat and its runtime status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Phase(StrEnum):
    """How far a session is. Only `finished` means that every cycle of the day is in the lake."""

    WAITING = "waiting"
    COLLECTING = "collecting"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process and the newest cycle of the session of `day`; `indices` is what it collects, times end in ``Z``."""

    pid: int
    day: date
    phase: Phase
    indices: tuple[str, ...]
    cycle: str
    time: str


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """One index in the newest cycle: its level in rupees and how many options were processed."""

    ltp: float | None
    options: int


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """The newest cycle: counts since this process started, seconds, percent (0 to 100), shares (0 to 1) and megabytes.

    `timestamp` is when it was written and `cycle_time` when the cycle was due. `elapsed` is from its start to its last
    answer, `drift_ms` how late it started. `success_rate_pct` is the share of expected contracts that were live, over
    all cycles of this process; `options_last_cycle` counts contracts that had a quote, identical expiries once.
    """

    timestamp: str
    day: date
    cycle: int
    cycle_time: str
    elapsed: float
    drift_ms: int
    interval: int
    sleep_sec: float
    success_rate_pct: float
    options_last_cycle: int
    options_per_minute: float
    contracts_expected: int
    api_calls: int
    api_success_rate: float
    memory_mb: float
    cpu_pct: float
    readiness_ok: bool
    readiness_reason: str
    indices: tuple[str, ...]
    indices_info: Mapping[str, IndexInfo]
