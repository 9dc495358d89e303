"""Metrics for Prometheus: read from the newest status, and two things that have to be counted where they happen."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from g6_core.domain.events import Command, Event, WriteResult
from g6_core.engine.state import EngineState
from g6_core.engine.step import step
from g6_stream.status import Status

STEP_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5)


class Telemetry:
    """The registry of one sidecar."""

    def __init__(self, newest: Callable[[], Status | None]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StatusCollector(newest))
        self._steps = Histogram(
            "g6_step_seconds", "Time the engine takes for one event", buckets=STEP_SECONDS, registry=self._registry
        )
        self._writes = Counter(
            "g6_order_writes", "Order writes by what became of them", ["action", "outcome"], registry=self._registry
        )

    def timed_step(self, state: EngineState, event: Event) -> tuple[Command, ...]:
        """The engine's `step`, measured."""
        started = time.perf_counter()
        commands = step(state, event)
        self._steps.observe(time.perf_counter() - started)
        return commands

    def wrote(self, result: WriteResult) -> None:
        """Count one order write."""
        self._writes.labels(result.action, result.outcome).inc()

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


class _StatusCollector(Collector):
    def __init__(self, newest: Callable[[], Status | None]) -> None:
        self._newest = newest

    def describe(self) -> Iterator[Metric]:
        """Nothing known in advance: the names come with the first status."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The newest status as metrics."""
        status = self._newest()
        if status is None:
            return
        feed = status.feed
        yield CounterMetricFamily("g6_frames", "Messages of the feed", value=feed.frames)
        yield CounterMetricFamily("g6_ticks", "Ticks in them", value=feed.ticks)
        yield CounterMetricFamily("g6_garbage_frames", "Messages that were not understood", value=feed.garbage)
        yield CounterMetricFamily("g6_feed_reconnects", "Connections after the first", value=max(feed.connects - 1, 0))
        yield CounterMetricFamily("g6_decisions", "Judged bars", value=status.decisions)
        refusals = CounterMetricFamily("g6_refusals", "Entries that a rule blocked", labels=["rule"])
        for rule, count in status.refusals.items():
            refusals.add_metric([rule], count)
        yield refusals
        yield GaugeMetricFamily("g6_feed_connected", "1 while the feed is up", value=status.feed_connected)
        yield GaugeMetricFamily("g6_feed_age_seconds", "Since its last message", value=status.feed_age_ms / 1000)
        yield GaugeMetricFamily("g6_ready", "1 when it would enter", value=not status.reasons)
        yield GaugeMetricFamily("g6_open_positions", "Positions held", value=_held(status))
        yield GaugeMetricFamily("g6_day_pnl_rupees", "Day's result net of charges", value=status.day_pnl_paise / 100)
        yield GaugeMetricFamily("g6_journal_records", "Records in the journal", value=status.journal_records)


def _held(status: Status) -> int:
    return sum(1 for one in status.positions if one.quantity)
