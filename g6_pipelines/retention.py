"""The nightly job that removes what is older than the configuration keeps: data, logs of runs, runs without results."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from g6_core.config_schema import RetentionSettings
from g6_core.domain.ist import ist_date
from g6_pipelines.jobs import schedule
from g6_pipelines.resources import G6Resource, one_line

NO_RESULT = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
OVER = (*NO_RESULT, dg.DagsterRunStatus.SUCCESS)


@dg.op
def remove_old_data(context: dg.OpExecutionContext, g6: G6Resource) -> None:
    """Streams and CSV files, of days that are complete in the archive where there is one."""
    from g6_pipelines.stages.archive import configured_store
    from g6_pipelines.stages.retain import due, remove

    with one_line():
        site = g6.site
        store = configured_store(site.settings) if site.settings.archive is not None else None
        found = due(site, store, ist_date(time.time_ns() // 1_000_000))
        for one in remove(site.paths, store, found):
            context.log.info(one.line(removed=True))


@dg.op
def remove_old_runs(context: dg.OpExecutionContext, g6: G6Resource) -> None:
    """Logs of runs, and runs that failed or were canceled without having made anything."""
    context.log.info(prune_runs(context.instance, g6.site.settings.retention, datetime.now(UTC)))


def prune_runs(instance: dg.DagsterInstance, kept: RetentionSettings, now: datetime) -> str:
    """Remove what is older; says what.

    A run that has made something stays: with it Dagster would forget that the partition was made.
    """
    said = []
    if kept.logs_days is not None:
        old = dg.RunsFilter(statuses=list(OVER), updated_before=now - timedelta(days=kept.logs_days))
        ids = instance.get_run_ids(old)
        for run_id in ids:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        said.append(f"{len(ids)} runs are older than {kept.logs_days} days and have no logs any more")
    if kept.runs_days is not None:
        old = dg.RunsFilter(statuses=list(NO_RESULT), updated_before=now - timedelta(days=kept.runs_days))
        made = dg.DagsterEventType.ASSET_MATERIALIZATION
        gone = [
            run_id
            for run_id in instance.get_run_ids(old)
            if not instance.get_records_for_run(run_id, of_type=made, limit=1).records
        ]
        for run_id in gone:
            instance.delete_run(run_id)
        said.append(f"{len(gone)} runs without results removed, older than {kept.runs_days} days")
    return "; ".join(said) or "runs and their logs are kept for ever"


@dg.job(name="retention", description="Every night: what is older than the configuration keeps.")
def retention_job() -> None:
    """Data, then runs; one does not wait for the other."""
    remove_old_data()
    remove_old_runs()


@schedule(retention_job, "30 23 * * *", "23:30 of every date.")
def retention_schedule() -> dg.RunRequest:
    """Every date: days without a session make others older."""
    return dg.RunRequest()
