"""The runs of a trading day: how they are tagged, and what the instance knows of them as plain facts."""

from datetime import date

import dagster as dg
from dagster._core.execution.plan.objects import ErrorSource

from g6_pipelines.partitions import INDICES, partition_key
from g6_pipelines.session.supervise import RunFact, RunPhase

DAY_TAG = "g6/day"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# Enough to see whether runs fail one after the other; the newest come first.
RUNS_MAX = 50
_PHASES = {
    dg.DagsterRunStatus.QUEUED: RunPhase.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED: RunPhase.QUEUED,
    dg.DagsterRunStatus.STARTING: RunPhase.STARTING,
    dg.DagsterRunStatus.SUCCESS: RunPhase.DONE,
    dg.DagsterRunStatus.CANCELED: RunPhase.CANCELED,
}


def whole_day(day: date) -> dict[str, str]:
    """Return the tags of one run over all indices of a day: a range of partitions, so that quote calls batch."""
    return {
        RANGE_START_TAG: partition_key(day, INDICES[0]),
        RANGE_END_TAG: partition_key(day, INDICES[-1]),
        DAY_TAG: str(day),
    }


def runs_of(instance: dg.DagsterInstance, job: str, day: date) -> list[RunFact]:
    """Return the newest runs of a job that were started for a day, the newest first."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, tags={DAY_TAG: str(day)}), limit=RUNS_MAX)
    return [
        RunFact(
            record.dagster_run.run_id,
            _phase(instance, record.dagster_run),
            round(1000 * (record.end_time or record.start_time or record.update_timestamp.timestamp())),
        )
        for record in records
    ]


def _phase(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunPhase:
    """A process that was killed leaves no failed step behind; only its own error does."""
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return _PHASES.get(run.status, RunPhase.STARTED)
    failures = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    events = [one.event_log_entry.dagster_event for one in failures]
    # SIGTERM, at a reboot say, ends a step with an error as well, which is not its own.
    own = [one for one in events if one and one.step_failure_data.error_source is not ErrorSource.INTERRUPT]
    return RunPhase.FAILED if own else RunPhase.KILLED
