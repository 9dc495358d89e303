"""One job a phase of the day; their assets share one set of partitions."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from g6_pipelines.assets import before_open, repair, session
from g6_pipelines.checks.calendar import calendar_is_known
from g6_pipelines.partitions import TIMEZONE

# A session that hangs ends the same day; a collection is continued by a new run, never by a blind retry.
SESSION_TAGS = {"dagster/max_runtime": str(12 * 3600), "dagster/max_retries": "0"}


def schedule(job: Any, cron: str, description: str) -> Callable[[Callable[..., Any]], dg.ScheduleDefinition]:
    """Return `dg.schedule` by the clock of India, of a schedule that is off until somebody turns it on."""
    off, zone = dg.DefaultScheduleStatus.STOPPED, TIMEZONE
    return dg.schedule(cron, job=job, description=description, execution_timezone=zone, default_status=off)


pre_open_job = dg.define_asset_job(
    "pre_open",
    dg.AssetSelection.groups(before_open.GROUP),
    description="Before the open: the dump, the expiry codes, the day pack.",
)
session_job = dg.define_asset_job(
    "session",
    # The calendar is no matter of one day and has a job of its own.
    dg.AssetSelection.groups(session.GROUP) - dg.AssetSelection.checks(calendar_is_known),
    tags=SESSION_TAGS,
    description="The whole session in one run: a cycle an interval over all its indices, one limiter for the broker.",
)
evening_job = dg.define_asset_job(
    "evening",
    dg.AssetSelection.groups(repair.GROUP),
    description="After the close: repair, capture what expires, reconcile, score, pick for tomorrow, report, archive.",
)
JOBS = (pre_open_job, session_job, evening_job)
