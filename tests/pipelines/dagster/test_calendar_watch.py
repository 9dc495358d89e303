"""The check of the known calendar warns in time, by the machine's date, in a job of its own."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from g6_core.domain.calendar import MarketRules
from g6_pipelines.checks.calendar import calendar_check
from g6_pipelines.definitions import defs
from g6_pipelines.resources import G6Resource


@pytest.mark.parametrize(
    ("today", "passed", "words"),
    [
        (date(2026, 11, 15), True, "known until 2026-12-31"),
        (date(2026, 11, 16), False, "in 45 days"),
        (date(2026, 12, 1), False, "in 30 days"),
        (date(2027, 2, 1), False, "provisional"),
    ],
)
def test_the_check_warns_45_days_before_the_end(rules: MarketRules, today: date, passed: bool, words: str) -> None:
    published = {year: day for year, day in rules.days.published.items() if year <= 2026}
    days = replace(rules.days, published=published, last=date(2026, 12, 31))
    check = calendar_check(replace(rules, days=days, _expiries={}, _monthly={}), today)
    assert check.passed == passed
    assert words in check.detail
    assert ("g6 market refresh" in check.detail) == (not passed)


def test_the_calendar_job_only_warns_and_no_days_run_asks(config_dir: Path, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("calendar").execute_in_process(
            instance=instance, resources={"g6": G6Resource(data_dir=str(tmp_path), config_dir=str(config_dir))}
        )
    (found,) = result.get_asset_check_evaluations()
    assert (found.check_name, found.severity) == ("calendar_is_known", dg.AssetCheckSeverity.WARN)
    asked = {
        key.name
        for name in ("pre_open", "session", "evening")
        for key in defs.resolve_job_def(name).asset_layer.asset_graph.asset_check_keys
    }
    assert "chain_is_fresh" in asked
    assert "calendar_is_known" not in asked
