"""When the phases start: fixed times in India, and a calendar that decides what they mean on a date.

The session has no schedule: its supervisor (`sensors`) starts it, and starts it again.
"""

import os
from datetime import date
from pathlib import Path

import dagster as dg

from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date, to_ms
from g6_core.schema.paths import DataPaths
from g6_pipelines.jobs import evening_job, pre_open_job, schedule
from g6_pipelines.partitions import INDICES, RULES
from g6_pipelines.runs import runs_of, whole_day
from g6_pipelines.session.supervise import judge_evening

AFTER_CLOSE_MS = 15 * MINUTE_MS

Answer = dg.RunRequest | dg.SkipReason


@schedule(pre_open_job, "45 8 * * *", "08:45 of every trading day, special sessions included.")
def pre_open_schedule(context: dg.ScheduleEvaluationContext) -> Answer:
    """Every trading day."""
    return _on_trading_day(_now_ms(context))


@schedule(
    evening_job,
    "*/15 10-23 * * *",
    "The first quarter of an hour that lies 15 minutes or more after the last close of the date.",
)
def evening_schedule(context: dg.ScheduleEvaluationContext) -> Answer:
    """Once a trading day, again after a crash; asks what has run, because a missed tick must not lose the evening."""
    now_ms = _now_ms(context)
    answer = _on_trading_day(now_ms)
    if isinstance(answer, dg.SkipReason):
        return answer
    day = ist_date(now_ms)
    due_ms = last_close_ms(day) + AFTER_CLOSE_MS
    if now_ms < due_ms:
        return dg.SkipReason(f"{day} is not over: the evening begins at {ist_clock(due_ms)[:5]}")
    runs = runs_of(context.instance, evening_job.name, day)
    verdict = judge_evening(day, [run.phase for run in runs])
    if not verdict.start:
        return dg.SkipReason(verdict.why)
    if quiet := _quiet(day):
        return dg.SkipReason(quiet)
    # A key is good for one run only.
    return dg.RunRequest(run_key=f"{day} {len(runs) + 1}" if runs else str(day), tags=whole_day(day))


def _quiet(day: date) -> str:
    """Why the evening of a provisional day is left out: its market was looked at and stood still. "" otherwise."""
    if not RULES.provisional(day):
        return ""
    from g6_pipelines.stages.fresh import stood_still

    if not stood_still(DataPaths(Path(os.environ.get("G6_DATA_DIR") or "data")), RULES, day):
        return ""
    return f"{day} was provisional and no quote of it moved: it is taken for a holiday"


SCHEDULES = (pre_open_schedule, evening_schedule)


def last_close_ms(day: date) -> int:
    """When the last of the configured indices stops trading."""
    return RULES.joint_session(INDICES, day).close_ms


def _on_trading_day(now_ms: int) -> Answer:
    day = ist_date(now_ms)
    if not RULES.is_trading_day(day):
        return dg.SkipReason(f"{day} is {RULES.days.reason_closed(day)}")
    return dg.RunRequest(run_key=str(day), tags=whole_day(day))


def _now_ms(context: dg.ScheduleEvaluationContext) -> int:
    return to_ms(context.scheduled_execution_time)
