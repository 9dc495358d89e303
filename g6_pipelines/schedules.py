"""When the phases start: fixed times in India, and a calendar that decides what they mean on a date.

The session has no schedule: its supervisor (`sensors`) starts it, and starts it again.
"""

from datetime import date

import dagster as dg

from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date, to_ms
from g6_pipelines.jobs import evening_job, pre_open_job
from g6_pipelines.partitions import INDICES, RULES, TIMEZONE, partition_key

AFTER_CLOSE_MS = 15 * MINUTE_MS
DAY_TAG = "g6/day"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

Answer = dg.RunRequest | dg.SkipReason


@dg.schedule(
    job=pre_open_job,
    cron_schedule="45 8 * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="08:45 of every trading day, special sessions included.",
)
def pre_open_schedule(context: dg.ScheduleEvaluationContext) -> Answer:
    """Every trading day."""
    return _on_trading_day(_now_ms(context))


@dg.schedule(
    job=evening_job,
    cron_schedule="*/15 10-23 * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="The first quarter of an hour that lies 15 minutes or more after the last close of the date.",
)
def evening_schedule(context: dg.ScheduleEvaluationContext) -> Answer:
    """Once a trading day; asks what has run, because a missed tick must not lose the evening."""
    now_ms = _now_ms(context)
    answer = _on_trading_day(now_ms)
    if isinstance(answer, dg.SkipReason):
        return answer
    day = ist_date(now_ms)
    due_ms = last_close_ms(day) + AFTER_CLOSE_MS
    if now_ms < due_ms:
        return dg.SkipReason(f"{day} is not over: the evening begins at {ist_clock(due_ms)[:5]}")
    done = context.instance.get_runs_count(dg.RunsFilter(job_name=evening_job.name, tags={DAY_TAG: str(day)}))
    return dg.SkipReason(f"the evening of {day} was started") if done else answer


SCHEDULES = (pre_open_schedule, evening_schedule)


def last_close_ms(day: date) -> int:
    """When the last of the configured indices stops trading."""
    return max(RULES.session(day, RULES.index(name).option_exchange).close_ms for name in INDICES)


def whole_day(day: date) -> dict[str, str]:
    """Tags of one run over all indices of a day: a range of partitions, so that quote calls batch across them."""
    return {
        RANGE_START_TAG: partition_key(day, INDICES[0]),
        RANGE_END_TAG: partition_key(day, INDICES[-1]),
        DAY_TAG: str(day),
    }


def _on_trading_day(now_ms: int) -> Answer:
    day = ist_date(now_ms)
    if not RULES.is_trading_day(day):
        return dg.SkipReason(f"{day} is {RULES.days.reason_closed(day)}")
    return dg.RunRequest(run_key=str(day), tags=whole_day(day))


def _now_ms(context: dg.ScheduleEvaluationContext) -> int:
    return to_ms(context.scheduled_execution_time)
