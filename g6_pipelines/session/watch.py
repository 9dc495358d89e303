"""What the session run leaves behind after each cycle: heartbeat, runtime status, metrics and the last quotes."""

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from g6_core.adapters.files import canonical_json, write_shown
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, utc_text
from g6_core.ports import Clock
from g6_core.schema.options import OptionRow, RowStatus
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import Heartbeat, IndexInfo, Phase, RuntimeStatus
from g6_pipelines.stages.collect import CycleReport, CycleTotals, IndexCycle
from g6_pipelines.stages.fresh import QUIET_MS

_SEEN = (RowStatus.LIVE, RowStatus.STALE)
_PAGE_MB = resource.getpagesize() / 1_048_576


def options_seen(rows: Sequence[OptionRow]) -> int:
    """Contracts with a quote among the rows of one index, identical expiries once."""
    seen = {side.symbol for row in rows for side in (row.call, row.put) if side.status in _SEEN}
    return len(seen)


@dataclass(slots=True)
class SessionWatch:
    """Called after each cycle; `listeners` are told the status and the cycle. Counts from the start of this process.

    `doubts` are about the dump that the whole session goes by: while there are any, no status says that all is well.
    `provisional` says why it is only assumed that the market is open, "" on a known day.
    """

    paths: DataPaths
    day: date
    indices: tuple[str, ...]
    interval_s: int
    clock: Clock
    listeners: Sequence[Callable[[RuntimeStatus, CycleReport], None]] = ()
    doubts: tuple[str, ...] = ()
    provisional: str = ""
    newest: RuntimeStatus | None = None
    _totals: CycleTotals = field(default_factory=CycleTotals)
    _cpu: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), time.process_time()))

    def began(self) -> None:
        """The lease is held; the first cycle has not come yet."""
        self._beat(Phase.WAITING, self.newest.cycle_time if self.newest else "")

    def finished(self) -> None:
        """Every cycle of the day is in the lake."""
        self._beat(Phase.FINISHED, self.newest.cycle_time if self.newest else "")

    def __call__(self, cycle: CycleReport) -> None:
        """A cycle is in the lake."""
        self._totals.add(cycle)
        if cycle.passed:
            # There may be hundreds at once, and what others see is of now.
            return
        self.newest = self._status(cycle)
        write_shown(self.paths.runtime_status, canonical_json(self.newest) + b"\n")
        self._beat(Phase.COLLECTING, self.newest.cycle_time)
        for tell in self.listeners:
            tell(self.newest, cycle)

    def _status(self, cycle: CycleReport) -> RuntimeStatus:
        now_ms, totals = self.clock.now_ms(), self._totals
        info = {one.underlying: IndexInfo(one.spot, options_seen(one.rows)) for one in cycle.indices}
        troubles = (*(f"instruments dump: {doubt}" for doubt in self.doubts), *self._silence(), *cycle.reasons)
        seen = sum(one.options for one in info.values())
        return RuntimeStatus(
            timestamp=utc_text(now_ms),
            day=self.day,
            cycle=totals.cycles,
            cycle_time=utc_text(cycle.time_ms),
            elapsed=(cycle.ended_ms - cycle.started_ms) / SECOND_MS,
            drift_ms=cycle.started_ms - cycle.time_ms,
            interval=self.interval_s,
            sleep_sec=max(0, cycle.time_ms + self.interval_s * SECOND_MS - now_ms) / SECOND_MS,
            success_rate_pct=round(100 * totals.live / totals.expected, 2) if totals.expected else 0.0,
            options_last_cycle=seen,
            options_per_minute=round(seen * MINUTE_MS / (self.interval_s * SECOND_MS), 1),
            contracts_expected=cycle.expected,
            api_calls=totals.calls,
            api_success_rate=round(1 - totals.calls_failed / totals.calls, 4) if totals.calls else 0.0,
            memory_mb=round(_resident_mb(), 1),
            cpu_pct=round(self._cpu_pct(), 1),
            readiness_ok=not troubles and any(one.spot is not None for one in cycle.indices),
            readiness_reason="; ".join(troubles) or _levels(cycle.indices),
            indices=self.indices,
            indices_info=info,
        )

    def _silence(self) -> tuple[str, ...]:
        """What is wrong when nothing has moved on a provisional day. Collecting goes on: quotes may move yet."""
        if not self.provisional or self._totals.live or self._totals.cycles * self.interval_s * SECOND_MS < QUIET_MS:
            return ()
        return (f"no quote has moved since the start, the exchange may be closed: {self.provisional}",)

    def _beat(self, phase: Phase, cycle: str) -> None:
        now = utc_text(self.clock.now_ms())
        beat = Heartbeat(os.getpid(), self.day, phase, self.indices, cycle, now)
        write_shown(self.paths.heartbeat, canonical_json(beat) + b"\n")

    def _cpu_pct(self) -> float:
        """Of one core, since the last cycle."""
        (before_s, used_s), now = self._cpu, (time.monotonic(), time.process_time())
        self._cpu = now
        return 100 * (now[1] - used_s) / max(now[0] - before_s, 1e-9)


def _levels(indices: Sequence[IndexCycle]) -> str:
    return ", ".join(f"{one.underlying} {one.spot:.2f}" for one in indices if one.spot is not None) or "no index level"


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB
