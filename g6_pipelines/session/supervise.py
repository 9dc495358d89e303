"""Decides whether a session or an evening needs a new run, over plain facts that sensor and schedule collect. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from g6_core.domain.calendar import Session
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, ist_clock

BEFORE_OPEN_MS = 5 * MINUTE_MS
# A session that was cut off at the close still has its last cycles to account for, and its closing state to ask.
AFTER_CLOSE_MS = 15 * MINUTE_MS
# A run that has just been started has not reached its lease yet.
GRACE_MS = 15 * SECOND_MS
# A busy machine may need longer to start a process. It is given the time, with a second one beside it in case that it
# is dead: whoever gets to the lease first collects. To fail the first one would have nobody ever start.
STARTING_MAX_MS = MINUTE_MS
STARTING_MAX = 2
# A run that fails by itself again and again needs a person; it is tried on, but once a minute.
FAILURES_MAX = 20
FAILURES_WINDOW_MS = 10 * MINUTE_MS
FAILURES_PAUSE_MS = MINUTE_MS
# An evening whose process dies each time needs a person; one that fails by itself would do the same again.
EVENING_CRASHES_MAX = 3


class RunPhase(StrEnum):
    """How far a run has come. `FAILED` is one that its own error ended, `KILLED` one whose process is gone."""

    QUEUED = "queued"
    STARTING = "starting"
    STARTED = "started"
    DONE = "done"
    CANCELED = "canceled"
    KILLED = "killed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run of the session's day, as the instance has it; when it was launched, started or ended (machine's clock)."""

    run_id: str
    phase: RunPhase
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: fail the `stale` runs, whose processes are gone, and start a new one, or why not."""

    start: bool
    why: str
    stale: tuple[str, ...] = ()


def over_ms(hours: Session, final_ms: int) -> int:
    """When nobody takes up a session any more; `final_ms` is from when on the market shows what the day came to, where
    that is late (0: at once)."""
    return max(hours.close_ms, final_ms) + AFTER_CLOSE_MS


def judge(
    day: date,
    market_ms: int,
    hours: Session | None,
    finished: bool,
    leased: bool,
    runs: Sequence[RunFact],
    machine_ms: int,
    final_ms: int = 0,
) -> Verdict:
    """Decide. `market_ms` is the market's time, `hours` from the first open to the last close (None: a holiday),
    `final_ms` as in `over_ms`."""
    if hours is None:
        return Verdict(False, f"{day} is no trading day")
    if not hours.open_ms - BEFORE_OPEN_MS <= market_ms < over_ms(hours, final_ms):
        return Verdict(False, f"the session of {day} is from {ist_clock(hours.open_ms)[:5]}")
    if finished:
        return Verdict(False, f"the session of {day} is complete")
    if leased:
        return Verdict(False, "a session is collecting")
    if any(run.phase is RunPhase.QUEUED for run in runs):
        return Verdict(False, "a run is queued")
    ages_ms = {run.run_id: machine_ms - run.changed_ms for run in runs}
    working = [run for run in runs if run.phase in (RunPhase.STARTING, RunPhase.STARTED)]
    slow = [run for run in working if run.phase is RunPhase.STARTING and ages_ms[run.run_id] < STARTING_MAX_MS]
    if len(slow) >= STARTING_MAX or any(ages_ms[run.run_id] < GRACE_MS for run in working):
        return Verdict(False, "a run is starting")
    stale = tuple(run.run_id for run in working if run not in slow)
    failures_ms = [ages_ms[run.run_id] for run in runs if run.phase is RunPhase.FAILED]
    recent = [age_ms for age_ms in failures_ms if age_ms < FAILURES_WINDOW_MS]
    if len(recent) >= FAILURES_MAX and min(recent) < FAILURES_PAUSE_MS:
        why = f"{len(recent)} runs failed in ten minutes: look at the last one; tried each minute"
        return Verdict(False, why, stale)
    return Verdict(True, "nobody collects", stale)


def judge_evening(day: date, phases: Sequence[RunPhase]) -> Verdict:
    """Decide whether the evening of `day` is to be started, from its runs so far, the newest first.

    After a crash it is started again, a few times. What a person cancelled and what failed by its own error is theirs.
    """
    if any(phase in (RunPhase.QUEUED, RunPhase.STARTING, RunPhase.STARTED) for phase in phases):
        return Verdict(False, f"the evening of {day} is running")
    if RunPhase.DONE in phases:
        return Verdict(False, f"the evening of {day} is done")
    crashes = phases.count(RunPhase.KILLED)
    match phases[0] if phases else None:
        case RunPhase.CANCELED:
            why = "was cancelled by a person; launch the evening job for the day if it is still wanted"
        case RunPhase.FAILED:
            why = "failed by its own error; read it in the run, mend it and launch the evening job for the day"
        case RunPhase.KILLED if crashes >= EVENING_CRASHES_MAX:
            why = f"lost its process {crashes} times; look at the machine, then launch the evening job for the day"
        case _:
            return Verdict(True, f"its process died {crashes} times" if crashes else "it has not run")
    return Verdict(False, f"the evening of {day} {why}")
