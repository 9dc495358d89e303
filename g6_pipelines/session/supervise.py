"""Whether a session needs a new run: one decision over plain facts, which the supervisor sensor collects. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from g6_core.domain.calendar import Session
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, ist_clock

BEFORE_OPEN_MS = 5 * MINUTE_MS
# A session that was cut off at the close still has its last cycles to account for.
AFTER_CLOSE_MS = 15 * MINUTE_MS
# A run that has just been started has not reached its lease yet.
GRACE_MS = 15 * SECOND_MS
# A run that fails by itself again and again needs a person; it is tried on, but once a minute.
FAILURES_MAX = 20
FAILURES_WINDOW_MS = 10 * MINUTE_MS
FAILURES_PAUSE_MS = MINUTE_MS


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run of the session's day, as the instance has it.

    `waits` is true while it is only queued; `is_over` when it has ended; `has_failed` when its own error ended it, and
    not somebody who killed it. `changed_ms` is when it was launched, started or ended, by the machine's clock.
    """

    run_id: str
    waits: bool
    is_over: bool
    changed_ms: int
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: fail the `stale` runs, whose processes are gone, and start a new one, or why not."""

    start: bool
    why: str
    stale: tuple[str, ...] = ()


def judge(
    day: date,
    market_ms: int,
    hours: Session | None,
    finished: bool,
    leased: bool,
    runs: Sequence[RunFact],
    machine_ms: int,
) -> Verdict:
    """Decide. `market_ms` is the market's time, `hours` from the first open to the last close (None: a holiday)."""
    if hours is None:
        return Verdict(False, f"{day} is no trading day")
    if not hours.open_ms - BEFORE_OPEN_MS <= market_ms < hours.close_ms + AFTER_CLOSE_MS:
        return Verdict(False, f"the session of {day} is from {ist_clock(hours.open_ms)[:5]}")
    if finished:
        return Verdict(False, f"the session of {day} is complete")
    if leased:
        return Verdict(False, "a session is collecting")
    if any(run.waits for run in runs):
        return Verdict(False, "a run is queued")
    working = [run for run in runs if not run.is_over]
    if any(machine_ms - run.changed_ms < GRACE_MS for run in working):
        return Verdict(False, "a run is starting")
    stale = tuple(run.run_id for run in working)
    ages_ms = [machine_ms - run.changed_ms for run in runs if run.has_failed]
    recent = [age_ms for age_ms in ages_ms if age_ms < FAILURES_WINDOW_MS]
    if len(recent) >= FAILURES_MAX and min(recent) < FAILURES_PAUSE_MS:
        why = f"{len(recent)} runs failed in ten minutes: look at the last one; tried each minute"
        return Verdict(False, why, stale)
    return Verdict(True, "nobody collects", stale)
