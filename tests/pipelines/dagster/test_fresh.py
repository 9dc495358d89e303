"""The freshness job as its schedule starts it: without a partition, against the market's time."""

from datetime import date, time

import dagster as dg
import pytest

from g6_core.domain.ist import at
from g6_pipelines.definitions import defs
from g6_pipelines.places import Now
from tests.pipelines.dagster.kit import DAY, Made

MONDAY = date(2025, 9, 1)


def evaluation(made: Made, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    result = defs.resolve_job_def("freshness").execute_in_process(
        instance=instance, resources={"g6": made.installation.g6}, raise_on_error=False
    )
    (found,) = result.get_asset_check_evaluations()
    return found


def at_kite(monkeypatch: pytest.MonkeyPatch, day: date, clock: time) -> None:
    at_market(monkeypatch, Now(day, at(day, clock), has_tomorrow=True))


def at_market(monkeypatch: pytest.MonkeyPatch, now: Now) -> None:
    monkeypatch.setattr("g6_pipelines.places.market_now", lambda: now)


def test_a_missed_day_of_any_configured_index_leaves_a_red_mark(
    made: Made, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_kite(monkeypatch, MONDAY, time(8, 0))
    found = evaluation(made, instance)
    told = str(found.metadata["found"].value)
    assert not found.passed
    # Two of the five were collected.
    assert (told.count(f"{DAY} is complete"), told.count(f"{DAY} is not complete")) == (2, 3)
    at_kite(monkeypatch, MONDAY, time(16, 0))
    after = evaluation(made, instance)
    assert f"{MONDAY} is not complete, the newest complete day is {DAY}" in str(after.metadata["found"].value)


def test_without_a_market_nothing_can_be_missing(made: Made, instance: dg.DagsterInstance) -> None:
    found = evaluation(made, instance)
    assert (found.passed, found.metadata["compared"].value) == (True, 1)


def test_an_exchange_that_does_not_answer_is_not_taken_for_fresh(
    made: Made, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G6_SIM_URL", "http://127.0.0.1:9")
    found = evaluation(made, instance)
    assert not found.passed
    assert "127.0.0.1:9" in str(found.description)


def test_what_a_simulated_market_does_not_have_is_not_missing(
    made: Made, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = at(DAY, time(16, 0))
    at_market(monkeypatch, Now(DAY, evening, has_tomorrow=False, indices=("NIFTY",)))
    found = evaluation(made, instance)
    assert found.passed
    assert str(found.description).startswith("NIFTY: ") and f"{DAY} is complete" in str(found.description)
    at_market(monkeypatch, Now(DAY, evening, has_tomorrow=False, indices=("SENSEX",)))
    red = evaluation(made, instance)
    assert not red.passed
    assert str(red.description).startswith("SENSEX: day_complete:")
