"""The session run over real sockets: as fast as the limit allows, whole whatever happens, nothing twice.

The same at length (a whole day, fifty deaths, minutes of real time): `python -m tests.soak.session --help`.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from g6_core.adapters.lake import read_lake
from g6_core.config import Settings, load_settings
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import Phase
from g6_core.sim.modelled import ModelledSource
from g6_pipelines.session.known import read_heartbeat
from tests.pipelines.dagster.kit import narrow_config
from tests.sim.server.kit import DAY, Address, Server, serving, serving_here, until
from tests.soak.kit import collected, collector, figures_of, indices_of, killed, lake_problems

MINUTES = 5


@pytest.fixture(scope="module")
def opens(settings, rules) -> int:
    return rules.joint_session(settings.indices, DAY).open_ms


@pytest.fixture(scope="module")
def two(config_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of two indices and few strikes, a cycle a minute."""
    target = narrow_config(config_dir, tmp_path_factory.mktemp("two") / "config")
    file = target / "g6.yaml"
    document = yaml.safe_load(file.read_text())
    document["collection"]["interval_s"] = 60
    document["indices"] = {name: document["indices"][name] for name in ("NIFTY", "SENSEX")}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return target


def test_every_index_code_and_offset_in_as_few_calls_as_the_limit_allows(settings, rules, opens, tmp_path) -> None:
    assert {len(index.offsets) for index in settings.indices.values()} == {21}
    with serving("--lockstep", *indices_of(settings)) as server:
        report, cycles = collected(server, settings, rules, DataPaths(tmp_path), opens + MINUTES * MINUTE_MS)
        assert server.status()["faults_fired"] == {}
    figures = figures_of(report, cycles)
    assert figures["contracts"] > 500, "one call cannot hold them"
    assert (figures["calls_failed"], figures["keys_missing"], figures["coverage_pct"]) == (0, 0, 100.0)
    assert figures["cycle_ms_max"] <= figures["cycle_ms_bound"] == 2_400
    # The levels are asked for first only while nothing is known; a new strike finds room in the second call.
    assert [cycle.calls for cycle in cycles] == [3] + [2] * (MINUTES - 1)
    assert figures["late_ms_max"] == 0
    assert lake_problems(DataPaths(tmp_path), settings, rules, opens + MINUTES * MINUTE_MS) == []


@pytest.mark.slow
def test_with_everything_going_wrong_each_contract_is_still_accounted_for(settings, rules, opens, tmp_path) -> None:
    lead_ms, quote = 30 * MINUTE_MS, {"method": "GET", "path": "/quote"}
    names = ("http_429", "http_5xx", "html_body", "malformed_json", "missing_keys", "slow_ms", "token_expired")
    at = {kind: lead_ms + (2 * place + 1) * MINUTE_MS for place, kind in enumerate(names)}
    with serving("--lockstep", *indices_of(settings)) as server:
        server.order(
            # A burst that outlasts the patience of one call, then ones that do not.
            {"kind": "http_429", "in_ms": at["http_429"], "for_ms": 4 * SECOND_MS, **quote},
            {"kind": "http_5xx", "in_ms": at["http_5xx"], "for_ms": 30 * SECOND_MS, **quote},
            {"kind": "html_body", "in_ms": at["html_body"], "count": 1, **quote},
            {"kind": "malformed_json", "in_ms": at["malformed_json"], "count": 1, **quote},
            {"kind": "missing_keys", "in_ms": at["missing_keys"], "for_ms": 30 * SECOND_MS, **quote},
            {"kind": "slow_ms", "in_ms": at["slow_ms"], "delay_ms": 7_500, "count": 1, **quote},
            {"kind": "token_expired", "in_ms": at["token_expired"]},
        )
        end_ms = opens + 16 * MINUTE_MS
        report, cycles = collected(server, settings, rules, DataPaths(tmp_path), end_ms)
        fired = server.status()["faults_fired"]
    assert set(fired) == set(names), "each of them has happened"
    assert lake_problems(DataPaths(tmp_path), settings, rules, end_ms) == []
    by_minute = {(cycle.time_ms - opens) // MINUTE_MS: cycle for cycle in cycles}
    whole = {minute for minute, cycle in by_minute.items() if cycle.live == cycle.expected}
    # One batch was given up in the burst; in the outage nothing came, and in the fifth trouble nothing but the levels.
    assert set(range(16)) - whole == {1, 3, 9}
    assert by_minute[1].live > 0 and by_minute[3].live == by_minute[9].live == 0
    assert "429" in by_minute[1].reasons[0] and "503" in by_minute[3].reasons[0]
    assert by_minute[9].keys_missing > 500
    for minute in (5, 7, 11, 13):
        assert by_minute[minute].calls_failed > 0, "repeated, and nothing is missing"
    lived = report.coverage
    assert lived.live + lived.stale + lived.missing == lived.expected == sum(cycle.expected for cycle in cycles)
    lake = pl.concat([read_lake(DataPaths(tmp_path).lake(DAY, name)) for name in settings.indices])
    assert set(lake["call_status"]) <= {"live", "stale", "missing", "no_contract"}


@pytest.fixture
def flowing(settings) -> Iterator[Server]:
    """Half a minute of real time for the last quarter of an hour."""
    with serving("--speed", "30", "--start", "15:25", "--index", "NIFTY", "--index", "SENSEX") as server:
        yield server


def narrowed(config: Path) -> Settings:
    return load_settings(config)


@pytest.mark.slow
def test_killed_at_any_moment_the_day_is_whole_after_the_last_start(flowing, two, rules, tmp_path) -> None:
    lives = killed(flowing, tmp_path, 3, seed=20_261_120, longest_s=4.0, G6_CONFIG_DIR=str(two))
    assert len(lives) == 3
    last = collector(flowing, tmp_path, G6_CONFIG_DIR=str(two))
    said, complaints = last.communicate(timeout=120)
    assert last.returncode == 0, complaints
    assert lake_problems(DataPaths(tmp_path), narrowed(two), rules) == []
    assert json.loads(said)["skipped"] == ""
    beat = read_heartbeat(DataPaths(tmp_path))
    assert beat is not None and beat.phase is Phase.FINISHED


@pytest.fixture
def begun(rules) -> Iterator[Address]:
    """A session that does not end while a test of it runs."""
    with serving_here(ModelledSource(("NIFTY", "SENSEX"), DAY, rules, 7), start=time(9, 20), speed=1) as server:
        yield server


@pytest.mark.slow
def test_a_second_run_says_who_collects_and_ends_without_a_failure(begun, two, tmp_path) -> None:
    first = collector(begun, tmp_path, G6_CONFIG_DIR=str(two))
    try:
        beaten = DataPaths(tmp_path)
        until(lambda: read_heartbeat(beaten) is not None, "the first one collects")
        second = collector(begun, tmp_path, G6_CONFIG_DIR=str(two))
        said, complaints = second.communicate(timeout=60)
        assert second.returncode == 0
        assert f"collected by process {first.pid}" in json.loads(said)["skipped"]
        assert complaints.startswith("g6 collect: skipped: the session of 2026-11-18 is being collected by process")
        assert json.loads(said)["cycles"] == 0
        assert first.poll() is None
    finally:
        ended = stopped(first, signal.SIGINT)
    assert ended.startswith('{"calls":'), "Ctrl+C ends with 0 and its figures"


def stopped(process: subprocess.Popen[str], number: int) -> str:
    process.send_signal(number)
    said, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints
    assert "stopped" in complaints and "Traceback" not in complaints
    return said
