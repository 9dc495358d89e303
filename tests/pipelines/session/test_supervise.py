"""When a session needs a new run, and when an evening does."""

from datetime import date

import pytest

from g6_core.domain.calendar import Session
from g6_core.domain.ist import MINUTE_MS
from g6_pipelines.session.supervise import (
    EVENING_CRASHES_MAX,
    FAILURES_MAX,
    RunFact,
    RunPhase,
    judge,
    judge_evening,
)

DAY = date(2026, 11, 18)
OPEN, CLOSE = 1_763_436_600_000, 1_763_459_700_000
HOURS = Session(OPEN, CLOSE)
NOW = 1_900_000_000_000
"""The machine's clock need not be the market's."""


def working(age_ms: int, run_id: str = "r1") -> RunFact:
    return RunFact(run_id, RunPhase.STARTED, NOW - age_ms)


def starting(age_ms: int, run_id: str = "s1") -> RunFact:
    return RunFact(run_id, RunPhase.STARTING, NOW - age_ms)


def ended(age_ms: int, number: int = 0) -> RunFact:
    return RunFact(f"e{number}", RunPhase.KILLED, NOW - age_ms)


def failed(newest_ms: int) -> list[RunFact]:
    """As many failures as make the supervisor slow, a second between two."""
    return [RunFact(f"f{k}", RunPhase.FAILED, NOW - newest_ms - 1_000 * k) for k in range(FAILURES_MAX)]


QUEUED = RunFact("q", RunPhase.QUEUED, NOW - 60_000)


@pytest.mark.parametrize(
    ("market_ms", "hours", "finished", "leased", "runs", "start", "stale", "why"),
    [
        (OPEN, None, False, False, [], False, (), "no trading day"),
        (OPEN - 5 * MINUTE_MS - 1, HOURS, False, False, [], False, (), "of 2026-11-18 is from"),
        (OPEN - 5 * MINUTE_MS, HOURS, False, False, [], True, (), "nobody"),
        (CLOSE + 15 * MINUTE_MS - 1, HOURS, False, False, [ended(60_000)], True, (), "nobody"),
        (CLOSE + 15 * MINUTE_MS, HOURS, False, False, [], False, (), "of 2026-11-18 is from"),
        (OPEN, HOURS, True, False, [], False, (), "complete"),
        (OPEN, HOURS, False, True, [working(60_000)], False, (), "collecting"),
        # Dagster believes that it works, or does not know of it: only the lease counts.
        (OPEN, HOURS, False, True, [], False, (), "collecting"),
        (OPEN, HOURS, False, False, [working(15_000)], True, ("r1",), "nobody"),
        (OPEN, HOURS, False, False, [working(90_000), working(3_000_000, "r2")], True, ("r1", "r2"), "nobody"),
        (OPEN, HOURS, False, False, [working(14_999)], False, (), "starting"),
        (OPEN, HOURS, False, False, [working(2_000), working(90_000, "r2")], False, (), "starting"),
        (OPEN, HOURS, False, False, [QUEUED, working(90_000)], False, (), "queued"),
        # A process that starts slowly is left alone, with one more beside it; only after a minute it counts as dead.
        (OPEN, HOURS, False, False, [starting(14_999)], False, (), "starting"),
        (OPEN, HOURS, False, False, [starting(15_000)], True, (), "nobody"),
        (OPEN, HOURS, False, False, [starting(20_000), starting(45_000, "s2")], False, (), "starting"),
        (OPEN, HOURS, False, False, [starting(20_000), starting(60_000, "s2")], True, ("s2",), "nobody"),
        (OPEN, HOURS, False, False, [starting(20_000), working(60_000)], True, ("r1",), "nobody"),
        (OPEN, HOURS, False, False, [ended(1_000)], True, (), "nobody"),
        # Killed as often as you like: the next run is asked for at once. One that fails by itself is tried each minute.
        (OPEN, HOURS, False, False, [ended(1_000, k) for k in range(2 * FAILURES_MAX)], True, (), "nobody"),
        (OPEN, HOURS, False, False, failed(1_000), False, (), "look at the last"),
        (OPEN, HOURS, False, False, failed(1_000)[1:], True, (), "nobody"),
        (OPEN, HOURS, False, False, failed(59_999), False, (), "look at the last"),
        (OPEN, HOURS, False, False, failed(60_000), True, (), "nobody"),
    ],
)
def test_the_lease_and_the_market_decide(market_ms, hours, finished, leased, runs, start, stale, why) -> None:
    verdict = judge(DAY, market_ms, hours, finished, leased, runs, NOW)
    assert (verdict.start, verdict.stale) == (start, stale)
    assert why in verdict.why


@pytest.mark.parametrize(("late_ms", "start"), [(0, False), (22 * MINUTE_MS, True), (MINUTE_MS, False)])
def test_a_record_that_shows_the_end_of_the_day_late_is_waited_for(late_ms: int, start: bool) -> None:
    final_ms = CLOSE + late_ms if late_ms else 0
    assert judge(DAY, CLOSE + 16 * MINUTE_MS, HOURS, False, False, [], NOW, final_ms).start is start
    assert not judge(DAY, CLOSE + 37 * MINUTE_MS, HOURS, False, False, [], NOW, final_ms).start


KILLED, DONE, FAILED, CANCELED = RunPhase.KILLED, RunPhase.DONE, RunPhase.FAILED, RunPhase.CANCELED


@pytest.mark.parametrize(
    ("newest_first", "start", "why"),
    [
        ([], True, "has not run"),
        ([RunPhase.QUEUED], False, "running"),
        ([RunPhase.STARTED, KILLED], False, "running"),
        ([KILLED], True, "died 1 times"),
        ([KILLED] * (EVENING_CRASHES_MAX - 1), True, "died"),
        ([KILLED] * EVENING_CRASHES_MAX, False, "look at the machine"),
        ([DONE, KILLED], False, "done"),
        # What came after a good evening was asked for by a person.
        ([CANCELED, DONE], False, "done"),
        ([CANCELED], False, "cancelled by a person"),
        ([CANCELED, KILLED], False, "cancelled by a person"),
        ([FAILED], False, "own error"),
        ([FAILED, KILLED], False, "own error"),
    ],
)
def test_an_evening_is_started_again_after_a_crash_only(newest_first, start, why) -> None:
    verdict = judge_evening(DAY, newest_first)
    assert verdict.start is start
    assert why in verdict.why
