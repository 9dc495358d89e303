"""What others see of a session: heartbeat and runtime status, whole at every moment; metrics for Prometheus."""

import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from g6_core.domain.errors import ConfigError
from g6_core.schema.session import Phase
from g6_pipelines.session.known import read_heartbeat
from g6_pipelines.session.metrics import CollectorMetrics, metrics_port, served_metrics
from g6_pipelines.session.watch import SessionWatch
from g6_pipelines.stages.collect import CycleReport, IndexCycle
from tests.pipelines.collecting import DAY, Collecting, collecting, narrowed
from tests.pipelines.collecting import refusal as refused

CONTRACTS = 2 * 2 * 5


@pytest.fixture
def world(rules, settings, tmp_path) -> Collecting:
    def refuse_fourth(request, number):
        return refused(request, 503, "NetworkException", "later") if number == 3 else None

    return collecting(rules, narrowed(settings), tmp_path, fault=refuse_fourth)


def watched(world: Collecting, *listeners) -> SessionWatch:
    """A day of which each cycle was watched."""
    watch = SessionWatch(world.paths, DAY, ("NIFTY",), 900, world.clock, listeners)
    watch.began()
    beat = read_heartbeat(world.paths)
    assert beat is not None and (beat.phase, beat.cycle, beat.day) == (Phase.WAITING, "", DAY)
    world.cycles = _Told(watch)
    world.finish()
    return watch


class _Told(list):
    def __init__(self, watch: SessionWatch) -> None:
        super().__init__()
        self._watch = watch

    def append(self, cycle) -> None:
        super().append(cycle)
        self._watch(cycle)


def test_the_status_has_the_names_of_the_source_and_the_figures_of_the_cycle(world) -> None:
    watch = watched(world)
    status = json.loads(world.paths.runtime_status.read_text())
    assert status["timestamp"].endswith("Z") and status["cycle_time"].endswith("Z")
    assert (status["cycle"], status["interval"], status["elapsed"], status["drift_ms"]) == (25, 900, 0.0, 0)
    assert status["sleep_sec"] == 900.0
    assert status["indices"] == ["NIFTY"]
    assert status["indices_info"] == {"NIFTY": {"ltp": 24_512.35, "options": CONTRACTS}}
    assert (status["options_last_cycle"], status["contracts_expected"]) == (CONTRACTS, CONTRACTS)
    assert status["options_per_minute"] == round(CONTRACTS / 15, 1)
    assert (status["success_rate_pct"], status["api_calls"]) == (100.0, 27)
    assert status["api_success_rate"] == round(26 / 27, 4)
    assert status["readiness_ok"] and status["readiness_reason"] == "NIFTY 24512.35"
    assert 10 < status["memory_mb"] < 4_000 and status["cpu_pct"] >= 0
    watch.finished()
    beat = read_heartbeat(world.paths)
    assert beat is not None and (beat.phase, beat.cycle) == (Phase.FINISHED, status["cycle_time"])


def test_passed_cycles_are_counted_without_a_word_to_others(world) -> None:
    told: list[int] = []
    world.clock.sleep_until(world.source.session.open_ms + 20 * 900_000 + 1_000)
    watch = watched(world, lambda status, cycle: told.append(cycle.time_ms))
    assert len(world.cycles) == 25 and len(told) == 5, "twenty had passed"
    status = json.loads(world.paths.runtime_status.read_text())
    assert (status["cycle"], status["success_rate_pct"]) == (25, 20.0)
    watch.finished()
    beat = read_heartbeat(world.paths)
    assert beat is not None and beat.cycle == status["cycle_time"]


def test_a_reader_never_sees_half_a_status(world) -> None:
    seen, torn, over = 0, [], threading.Event()

    def read() -> None:
        nonlocal seen
        while not over.is_set():
            try:
                json.loads(world.paths.runtime_status.read_bytes())
                seen += 1
            except FileNotFoundError:
                continue
            except ValueError as error:
                torn.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        watched(world)
    finally:
        over.set()
        reader.join()
    assert torn == [] and seen > 20


def test_what_is_no_heartbeat_is_none(world) -> None:
    assert read_heartbeat(world.paths) is None
    world.paths.heartbeat.parent.mkdir(parents=True)
    world.paths.heartbeat.write_text('{"pid": 1')
    assert read_heartbeat(world.paths) is None


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


def scraped(url: str) -> dict[str, float]:
    """Samples by name, with the index where they have one."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=5)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_have_the_names_of_the_source(world) -> None:
    metrics, port, said = CollectorMetrics(1, 0), free_port(), []
    with served_metrics(metrics, port, said.append):
        assert scraped(f"http://127.0.0.1:{port}/metrics") == {"g6_expiry_cache_hits": 1, "g6_expiry_cache_misses": 0}
        watched(world, metrics.heard)
        found = scraped(f"http://127.0.0.1:{port}/metrics")
    assert said == []
    assert found["g6_index_options_processedNIFTY"] == CONTRACTS
    assert found["g6_index_options_processed_totalNIFTY"] == 25 * CONTRACTS
    assert (found["g6_cycles_total"], found["g6_api_calls_total"], found["g6_api_calls_failed_total"]) == (25, 27, 1)
    assert found["g6_api_success_rate"] == round(26 / 27, 4)
    assert (found["g6_cycle_elapsed_seconds"], found["g6_cycle_success_rate_pct"]) == (0.0, 100.0)


def test_a_port_in_use_is_one_line_and_no_reason_to_stop() -> None:
    said: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with served_metrics(CollectorMetrics(0, 0), port, said.append):
            assert len(said) == 1 and f"port {port}" in said[0] and "G6_METRICS_PORT" in said[0]


@pytest.mark.parametrize(("text", "port"), [("", 9108), ("0", 0), ("9200", 9200)])
def test_the_port_comes_from_the_environment(text: str, port: int, monkeypatch) -> None:
    monkeypatch.setenv("G6_METRICS_PORT", text)
    assert metrics_port() == port


@pytest.mark.parametrize("text", ["x", "-1", "70000", "٣"])
def test_a_port_that_is_none_is_named(text: str, monkeypatch) -> None:
    monkeypatch.setenv("G6_METRICS_PORT", text)
    with pytest.raises(ConfigError, match="G6_METRICS_PORT"):
        metrics_port()


@pytest.mark.slow
def test_a_real_prometheus_scrapes_it(world, tmp_path) -> None:
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus missing: install it to have the metrics scraped by the real one")
    metrics, ours, theirs = CollectorMetrics(1, 0), free_port(), free_port()
    watched(world, metrics.heard)
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "scrape_configs:\n- job_name: g6\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{ours}']}}]\n"
    )
    where = ["--storage.tsdb.path", str(tmp_path / "tsdb"), "--web.listen-address", f"127.0.0.1:{theirs}"]
    with served_metrics(metrics, ours, pytest.fail), requests.Session() as session:
        session.trust_env = False
        process = subprocess.Popen([binary, "--config.file", str(config), *where], stderr=subprocess.DEVNULL)
        try:
            query = {"query": 'g6_index_options_processed_total{index="NIFTY"}'}
            found, give_up_s = [], time.monotonic() + 40
            while not found and time.monotonic() < give_up_s:
                time.sleep(0.2)
                try:
                    answer = session.get(f"http://127.0.0.1:{theirs}/api/v1/query", params=query, timeout=2)
                    found = answer.json()["data"]["result"] if answer.ok else []
                except requests.RequestException:
                    continue
        finally:
            process.terminate()
            process.wait(20)
    assert [one["value"][1] for one in found] == [str(25 * CONTRACTS)]


def test_a_provisional_day_on_which_nothing_moves_is_told_and_collected_on(world) -> None:
    watch = SessionWatch(world.paths, DAY, ("NIFTY",), 900, world.clock, provisional="2027-03-22 is provisional")
    still = CycleReport(0, 0, 0, 1, 0, 2, 1, 0, 0, (), (), (IndexCycle("NIFTY", (), 24_500.0),))
    watch(still)
    assert watch.newest is not None and not watch.newest.readiness_ok
    assert "no quote has moved" in watch.newest.readiness_reason
    watch(replace(still, live=2))
    assert watch.newest.readiness_ok
