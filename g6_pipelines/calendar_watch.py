"""Asks every morning whether the known trading days end soon: nothing else would until days become provisional."""

import dagster as dg

from g6_pipelines.checks.calendar import calendar_is_known
from g6_pipelines.partitions import TIMEZONE

calendar_job = dg.define_asset_job(
    "calendar",
    dg.AssetSelection.checks(calendar_is_known),
    description="Do the known holidays reach far enough? Needs no partition.",
)


@dg.schedule(
    job=calendar_job,
    cron_schedule="0 8 * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="08:00 every day.",
)
def calendar_schedule(_: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Start the check, on days without a session too."""
    return dg.RunRequest()
