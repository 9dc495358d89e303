"""When the phases start on ordinary days, holidays, special sessions, and after a missed tick."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, time
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from g6_core.domain.ist import at, to_ist
from g6_core.schema.options import RowStatus
from g6_core.schema.paths import DataPaths
from g6_pipelines.definitions import defs
from g6_pipelines.freshness import freshness_schedule
from g6_pipelines.runs import DAY_TAG, RANGE_END_TAG, RANGE_START_TAG
from g6_pipelines.schedules import evening_schedule, pre_open_schedule
from tests.pipelines.test_fresh import collect

BUDGET_SATURDAY = date(2025, 2, 1)
MUHURAT = date(2025, 10, 21)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """One with a reference: a schedule opens the instance itself."""
    with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as opened:
        yield opened


def asked(schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance, day: date, clock: time):
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=to_ist(at(day, clock)))
    return schedule(context)


@pytest.mark.parametrize("day", [date(2025, 8, 29), BUDGET_SATURDAY, MUHURAT])
def test_trading_days_and_special_sessions_start_one_run_over_all_indices(day, instance) -> None:
    request = asked(pre_open_schedule, instance, day, time(9, 0))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == str(day)
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == (f"{day}|NIFTY", f"{day}|SENSEX")


@pytest.mark.parametrize("schedule", [pre_open_schedule, evening_schedule], ids=lambda one: one.name)
@pytest.mark.parametrize(("day", "why"), [(date(2025, 8, 27), "Ganesh Chaturthi"), (date(2025, 8, 30), "a Saturday")])
def test_closed_days_are_skipped_with_the_reason(schedule, day, why, instance) -> None:
    answer = asked(schedule, instance, day, time(18, 0))
    assert isinstance(answer, dg.SkipReason)
    assert why in str(answer.skip_message)


# The last close of all indices, by the dated rules: 15:30 until August 2026, 15:40 since, 15:45 from 7 December 2026.
@pytest.mark.parametrize(
    ("day", "waits", "starts"),
    [
        (date(2025, 8, 29), time(15, 30), time(15, 45)),
        (date(2026, 11, 19), time(15, 45), time(16, 0)),
        (date(2026, 12, 8), time(15, 45), time(16, 0)),
        (MUHURAT, time(14, 45), time(15, 0)),
    ],
)
def test_the_evening_follows_the_close_of_its_date(day, waits, starts, instance) -> None:
    waiting = asked(evening_schedule, instance, day, waits)
    assert isinstance(waiting, dg.SkipReason)
    assert "is not over" in str(waiting.skip_message)
    assert isinstance(asked(evening_schedule, instance, day, starts), dg.RunRequest)


def an_evening(instance: dg.DagsterInstance, day: date) -> dg.DagsterRun:
    return instance.create_run_for_job(defs.resolve_job_def("evening"), tags={DAY_TAG: str(day)})


def test_the_evening_is_started_once_even_when_its_first_tick_was_missed(instance) -> None:
    day = date(2025, 8, 28)
    late = asked(evening_schedule, instance, day, time(21, 30))
    assert isinstance(late, dg.RunRequest)
    an_evening(instance, day)
    again = asked(evening_schedule, instance, day, time(21, 45))
    assert isinstance(again, dg.SkipReason)
    assert "is running" in str(again.skip_message)


def test_a_crashed_evening_is_started_again_under_a_key_of_its_own(instance) -> None:
    day = date(2025, 8, 26)
    first = asked(evening_schedule, instance, day, time(16, 0))
    instance.report_run_failed(an_evening(instance, day), "its worker is gone")
    again = asked(evening_schedule, instance, day, time(16, 15))
    assert isinstance(first, dg.RunRequest) and isinstance(again, dg.RunRequest)
    assert again.run_key != first.run_key
    assert again.tags == first.tags


def test_a_cancelled_evening_is_left_to_the_person_who_cancelled_it(instance) -> None:
    day = date(2025, 8, 25)
    run = an_evening(instance, day)
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)
    answer = asked(evening_schedule, instance, day, time(16, 0))
    assert isinstance(answer, dg.SkipReason)
    assert "cancelled by a person" in str(answer.skip_message)


@dg.op
def broken() -> None:
    raise RuntimeError("a file is damaged")


@dg.op
def interrupted() -> None:
    raise DagsterExecutionInterruptedError


def test_an_evening_that_was_ended_with_its_machine_is_started_again(instance) -> None:
    day = date(2025, 8, 21)
    ending = dg.GraphDefinition("evening", node_defs=[interrupted]).to_job(tags={DAY_TAG: str(day)})
    with suppress(DagsterExecutionInterruptedError):
        ending.execute_in_process(instance=instance, raise_on_error=False)
    (run,) = instance.get_runs(dg.RunsFilter(tags={DAY_TAG: str(day)}))
    if not run.is_finished:
        instance.report_run_failed(run)
    failures = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    assert failures, "Dagster tells of a step that failed"
    assert isinstance(asked(evening_schedule, instance, day, time(16, 0)), dg.RunRequest)


def test_an_evening_that_failed_by_itself_waits_for_a_person(instance) -> None:
    day = date(2025, 8, 22)
    failing = dg.GraphDefinition("evening", node_defs=[broken]).to_job(tags={DAY_TAG: str(day)})
    assert not failing.execute_in_process(instance=instance, raise_on_error=False).success
    answer = asked(evening_schedule, instance, day, time(16, 0))
    assert isinstance(answer, dg.SkipReason)
    assert "own error" in str(answer.skip_message)


@pytest.mark.parametrize(
    ("day", "clock", "starts"),
    [
        (date(2025, 8, 29), time(9, 15), False),
        (date(2025, 8, 29), time(9, 30), True),
        (date(2025, 8, 29), time(15, 30), True),
        (MUHURAT, time(13, 30), False),
        (MUHURAT, time(14, 0), True),
    ],
)
def test_freshness_is_asked_while_the_market_trades(day, clock, starts, instance) -> None:
    assert isinstance(asked(freshness_schedule, instance, day, clock), dg.RunRequest if starts else dg.SkipReason)


@pytest.mark.parametrize("day", [date(2025, 8, 28), date(2025, 8, 30)], ids=["after_the_close", "a_saturday"])
def test_freshness_is_asked_once_after_what_is_due(day, instance) -> None:
    request = asked(freshness_schedule, instance, day, time(16, 0))
    assert isinstance(request, dg.RunRequest)
    instance.create_run_for_job(defs.resolve_job_def("freshness"), tags=dict(request.tags))
    again = asked(freshness_schedule, instance, day, time(16, 15))
    assert isinstance(again, dg.SkipReason)
    assert "was looked at" in str(again.skip_message)


def test_schedules_are_off_until_somebody_turns_them_on() -> None:
    for schedule in defs.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_evening_of_a_provisional_day_on_which_nothing_moved_is_left_out(
    instance, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = date(2031, 3, 24)
    monkeypatch.setenv("G6_DATA_DIR", str(tmp_path))
    assert isinstance(asked(evening_schedule, instance, day, time(18, 0)), dg.RunRequest)
    collect(DataPaths(tmp_path), day, time(9, 15), time(15, 44), status=RowStatus.STALE)
    answer = asked(evening_schedule, instance, day, time(18, 0))
    assert isinstance(answer, dg.SkipReason)
    assert "taken for a holiday" in str(answer.skip_message)
