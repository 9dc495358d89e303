"""The session's supervisor: by itself over a real exchange and instance, and with all of Dagster's services."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.lease import lease
from g6_core.schema.session import Heartbeat, Phase
from g6_pipelines.jobs import session_job
from g6_pipelines.partitions import INDICES
from g6_pipelines.resources import G6Resource
from g6_pipelines.runs import DAY_TAG, RANGE_END_TAG, RANGE_START_TAG
from g6_pipelines.sensors import session_supervisor
from tests.pipelines.dagster.kit import narrow_config
from tests.pipelines.dagster.services import installed
from tests.sim.server.kit import DAY, PROJECT, Server, serving

RESTART_S = 30
# Loading the definitions in a new process, there.
DEFINITIONS_S = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An exchange at ten o'clock of its day."""
    with serving("--start", "10:00", "--index", "NIFTY", "--index", "SENSEX") as running:
        yield running


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def g6(config_dir: Path, tmp_path: Path) -> G6Resource:
    return G6Resource(data_dir=str(tmp_path / "data"), config_dir=str(config_dir))


def evaluated(instance: dg.DagsterInstance, g6: G6Resource) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, resources={"g6": g6})
    answer = session_supervisor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def skipped(instance: dg.DagsterInstance, g6: G6Resource) -> str:
    answer = evaluated(instance, g6)
    assert isinstance(answer, dg.SkipReason), answer
    return str(answer.skip_message)


def a_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, day: object = DAY) -> dg.DagsterRun:
    return instance.create_run_for_job(session_job_def(), status=status, tags={DAY_TAG: str(day)})


def session_job_def() -> dg.JobDefinition:
    from g6_pipelines.definitions import defs

    return defs.resolve_job_def(session_job.name)


def test_nobody_collects_so_a_run_over_all_indices_is_asked_for(server, instance, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    answer = evaluated(instance, g6)
    assert isinstance(answer, dg.RunRequest)
    assert answer.run_key is None, "the second run of a day is as good as the first"
    assert answer.tags[RANGE_START_TAG] == f"{DAY}|{INDICES[0]}"
    assert answer.tags[RANGE_END_TAG] == f"{DAY}|{INDICES[-1]}"


def test_whoever_holds_the_lease_is_left_alone(server, instance, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    with lease(g6.site.paths.session_lock(DAY), 0):
        assert skipped(instance, g6) == "a session is collecting"
    assert isinstance(evaluated(instance, g6), dg.RunRequest)


def test_a_session_of_some_indices_only_is_named(server, instance, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    write_atomic(g6.site.paths.heartbeat, canonical_json(Heartbeat(1, DAY, Phase.COLLECTING, ("NIFTY",), "", "")))
    with lease(g6.site.paths.session_lock(DAY), 0):
        assert skipped(instance, g6) == "only NIFTY is being collected: end that run and all will be"


def test_a_run_that_dagster_believes_in_is_failed_once_its_worker_is_gone(server, instance, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    run = a_run(instance, dg.DagsterRunStatus.STARTED)
    other = a_run(instance, dg.DagsterRunStatus.STARTED, "2026-11-17")
    assert skipped(instance, g6) == "a run is starting"
    monkeypatch.setattr("g6_pipelines.sensors._machine_ms", lambda: time.time_ns() // 1_000_000 + 16_000)
    assert isinstance(evaluated(instance, g6), dg.RunRequest)
    failed, untouched = instance.get_run_by_id(run.run_id), instance.get_run_by_id(other.run_id)
    assert failed is not None and failed.status is dg.DagsterRunStatus.FAILURE
    assert untouched is not None and untouched.status is dg.DagsterRunStatus.STARTED


@dg.op
def broken() -> None:
    raise RuntimeError("the login has ended")


def test_only_a_run_that_fails_by_itself_slows_the_supervisor_down(server, instance, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    monkeypatch.setattr("g6_pipelines.session.supervise.FAILURES_MAX", 1)
    killed = a_run(instance, dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(killed, "the process is gone")
    assert isinstance(evaluated(instance, g6), dg.RunRequest)
    failing = dg.GraphDefinition(session_job.name, node_defs=[broken]).to_job(tags={DAY_TAG: str(DAY)})
    assert not failing.execute_in_process(instance=instance, raise_on_error=False).success
    assert skipped(instance, g6) == "1 runs failed in ten minutes: look at the last one; tried each minute"
    monkeypatch.setattr("g6_pipelines.sensors._machine_ms", lambda: time.time_ns() // 1_000_000 + 61_000)
    assert isinstance(evaluated(instance, g6), dg.RunRequest)


def test_a_queued_run_is_waited_for(server, instance, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    a_run(instance, dg.DagsterRunStatus.NOT_STARTED)
    assert skipped(instance, g6) == "a run is queued"


@pytest.mark.parametrize(
    ("indices", "phase", "complete"),
    [(INDICES, Phase.FINISHED, True), (INDICES, Phase.COLLECTING, False), (INDICES[:1], Phase.FINISHED, False)],
)
def test_a_session_is_over_when_every_index_is(server, instance, g6, monkeypatch, indices, phase, complete) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    beat = Heartbeat(1, DAY, phase, tuple(indices), "", "")
    write_atomic(g6.site.paths.heartbeat, canonical_json(beat))
    assert isinstance(evaluated(instance, g6), dg.SkipReason) == complete


def test_without_an_exchange_there_is_nothing_to_supervise(instance, g6, monkeypatch) -> None:
    assert "no simulated exchange runs" in skipped(instance, g6)
    monkeypatch.setenv("G6_SIM_URL", "http://127.0.0.1:9")
    assert "no simulated exchange at http://127.0.0.1:9" in skipped(instance, g6)


def test_a_second_session_run_makes_nothing_and_does_not_fail(server, g6, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", server.url)
    with lease(g6.site.paths.session_lock(DAY), 0), dg.DagsterInstance.ephemeral() as instance:
        result = session_job_def().execute_in_process(
            instance=instance,
            resources={"g6": g6},
            tags={RANGE_START_TAG: f"{DAY}|{INDICES[0]}", RANGE_END_TAG: f"{DAY}|{INDICES[-1]}"},
        )
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert not g6.site.paths.lake(DAY, "NIFTY").exists()


def slowness() -> float:
    """How many times longer a process takes to start here and now than on the machine that the promise was measured on:
    most of a restart is starting processes, and other tests start theirs at the same time."""
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import g6_pipelines.definitions"], cwd=PROJECT, check=True, timeout=120)
    return max(1.0, (time.monotonic() - began_s) / DEFINITIONS_S)


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_code_server_are_replaced_within_half_a_minute(
    server: Server, config_dir: Path, tmp_path: Path
) -> None:
    narrow = narrow_config(config_dir, tmp_path / "config")
    file = narrow / "g6.yaml"
    document = yaml.safe_load(file.read_text())
    document["indices"] = {name: document["indices"][name] for name in ("NIFTY", "SENSEX")}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    took, bound_s = [], RESTART_S * slowness()
    with installed(server, narrow, tmp_path) as (services, paths):
        first = services.await_session(paths, 0, 90)
        os.kill(first, signal.SIGKILL)
        began_s = time.monotonic()
        second = services.await_session(paths, first, bound_s)
        took.append(time.monotonic() - began_s)
        # The machine loses both: Dagster goes on believing in the run, nobody is left to say otherwise.
        services.kill_code_server()
        os.kill(second, signal.SIGKILL) if Path(f"/proc/{second}").exists() else None
        services.code_server()
        began_s = time.monotonic()
        third = services.await_session(paths, second, bound_s)
        took.append(time.monotonic() - began_s)
        os.kill(third, signal.SIGKILL)
    assert max(took) < bound_s
