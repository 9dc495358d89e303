"""A whole day with everything going wrong, real InfluxDB and Redis killed in it, and its repair: the short version.

At length, with every index, strike and minute: `python -m tests.soak.session faults`.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from g6_core.config import load_settings
from g6_core.domain.calendar import MarketRules
from tests.pipelines.dagster.kit import narrow_config
from tests.soak.faults import faulty_day

KINDS = {"http_429", "http_5xx", "html_body", "malformed_json", "missing_keys", "slow_ms", "token_expired"}


@pytest.mark.slow
def test_after_the_repair_every_minute_is_accounted_for_and_the_copy_is_the_lake(
    config_dir: Path, rules: MarketRules, tmp_path: Path
) -> None:
    narrow = load_settings(narrow_config(config_dir, tmp_path / "config"))
    settings = replace(narrow, file=narrow.file.model_copy(update={"indices": {"NIFTY": narrow.indices["NIFTY"]}}))
    figures = faulty_day(settings, rules, tmp_path / "soak")
    assert figures["problems"] == []
    assert set(figures["faults_fired"]) - {"in the evening"} == KINDS, "each of them has happened"
    account = figures["account"]
    assert account["open"] == 0 < account["repaired"]
    assert account["live"] < account["expected"] == account["live"] + account["repaired"] + account["no_trade"]
    assert all(" complete, " in answer for answer in account["answers"])
    # The report says what happened: to the calls, to the stores, and that the first repair gave up.
    said = " ".join(figures["said"])
    for words in ("influx: ", "influx: answers again", "Redis is away", "Redis is back"):
        assert words in said
    for words in ("429", "503"):
        assert any(words in reason for reason in figures["reasons"]), figures["reasons"]
    first, second, third = figures["repairs"]
    assert any("not asked after 10 refusals" in reason for reason in first["reasons"]), figures["repairs"]
    assert second["answered"] > 0 == third["calls"]
