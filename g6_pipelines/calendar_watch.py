"""Asks every morning whether the known trading days end soon: nothing else would until days become provisional."""

import dagster as dg

from g6_pipelines.checks.calendar import calendar_is_known
from g6_pipelines.jobs import schedule

calendar_job = dg.define_asset_job(
    "calendar",
    dg.AssetSelection.checks(calendar_is_known),
    description="Do the known holidays reach far enough? Needs no partition.",
)


@schedule(calendar_job, "0 8 * * *", "08:00 every day.")
def calendar_schedule(_: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Start the check, on days without a session too."""
    return dg.RunRequest()
