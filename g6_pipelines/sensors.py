"""The session's supervisor: starts the session run before the open, and again whenever nobody collects."""

import time

import dagster as dg

from g6_core.adapters.lease import is_leased
from g6_core.domain.errors import G6Error
from g6_core.schema.session import Phase
from g6_pipelines.jobs import session_job
from g6_pipelines.partitions import INDICES
from g6_pipelines.places import market_now
from g6_pipelines.resources import G6Resource
from g6_pipelines.runs import runs_of, whole_day
from g6_pipelines.session.supervise import judge

INTERVAL_S = 5


@dg.sensor(
    job=session_job,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Has the session collected from five minutes before the open until its last cycle is in the lake.",
)
def session_supervisor(context: dg.SensorEvaluationContext, g6: G6Resource) -> dg.RunRequest | dg.SkipReason:
    """The lease decides whether somebody collects, never what Dagster believes of a run."""
    from g6_pipelines.session.known import read_heartbeat, session_hours

    try:
        now = market_now()
        if now is None:
            return dg.SkipReason("no simulated exchange runs, so there is no session")
        hours = session_hours(g6.site, now.day)
        leased = is_leased(g6.site.paths.session_lock(now.day))
        beat = read_heartbeat(g6.site.paths)
    except G6Error as error:
        return dg.SkipReason(str(error))
    whole = beat is not None and beat.day == now.day and set(INDICES) <= set(beat.indices)
    if leased and beat is not None and beat.day == now.day and not whole:
        return dg.SkipReason(f"only {', '.join(beat.indices)} is being collected: end that run and all will be")
    finished = beat is not None and whole and beat.phase is Phase.FINISHED
    runs = runs_of(context.instance, session_job.name, now.day)
    verdict = judge(now.day, now.time_ms, hours, finished, leased, runs, _machine_ms(), now.final_ms)
    for run_id in verdict.stale:
        run = context.instance.get_run_by_id(run_id)
        if run is not None:
            context.instance.report_run_failed(run, "worker gone: nobody holds the lease of the session")
    return dg.RunRequest(tags=whole_day(now.day)) if verdict.start else dg.SkipReason(verdict.why)


SENSORS = (session_supervisor,)


def _machine_ms() -> int:
    return time.time_ns() // 1_000_000
