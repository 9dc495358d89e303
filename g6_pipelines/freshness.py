"""Asks whether the chain is fresh: every quarter of an hour of a session, and once a date after whatever is due."""

import dagster as dg

from g6_core.domain.ist import ist_clock, ist_date, to_ms
from g6_pipelines.checks.fresh import chain_is_fresh
from g6_pipelines.jobs import schedule
from g6_pipelines.partitions import INDICES, RULES
from g6_pipelines.runs import DAY_TAG
from g6_pipelines.schedules import AFTER_CLOSE_MS, last_close_ms

OVER_TAG = "g6/day_over"

freshness_job = dg.define_asset_job(
    "freshness",
    dg.AssetSelection.checks(chain_is_fresh),
    description="Is the newest day complete, and is the newest cycle of now? Needs no partition.",
)


@schedule(
    freshness_job,
    "*/15 9-23 * * *",
    "Every quarter of an hour of a session, then once; on days without a session once as well.",
)
def freshness_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """A day without a session tells of the one before it: nobody may have looked since."""
    now_ms = to_ms(context.scheduled_execution_time)
    day = ist_date(now_ms)
    tags = {DAY_TAG: str(day)}
    if RULES.is_trading_day(day):
        opens_ms = RULES.joint_session(INDICES, day).open_ms
        if now_ms <= opens_ms:
            return dg.SkipReason(f"{day} has not begun: the market opens at {ist_clock(opens_ms)[:5]}")
        if now_ms < last_close_ms(day) + AFTER_CLOSE_MS:
            return dg.RunRequest(run_key=f"{day} {ist_clock(now_ms)[:5]}", tags=tags)
    tags[OVER_TAG] = "yes"
    asked = context.instance.get_runs_count(dg.RunsFilter(job_name=freshness_job.name, tags=tags))
    return dg.SkipReason(f"{day} was looked at") if asked else dg.RunRequest(tags=tags)
