"""The collector's figures for Prometheus, on 127.0.0.1:9108: read from the newest status, served from a thread."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.registry import Collector

from g6_core.domain.errors import ConfigError
from g6_core.schema.session import RuntimeStatus

if TYPE_CHECKING:
    from g6_pipelines.stages.collect import CycleReport

HOST = "127.0.0.1"
DEFAULT_PORT = 9108
# The older text format: in the newer one a gauge and a counter may not share the name that the source gave both.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_port() -> int:
    """`G6_METRICS_PORT`, 9108 by default; 0 serves nothing. Raises ConfigError."""
    text = os.environ.get("G6_METRICS_PORT") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise ConfigError(f"G6_METRICS_PORT={text}: not a port; write a number from 1 to 65535, or 0 for none")
    return int(text)


class CollectorMetrics(Collector):
    """Counts cycles as they come; `cache_hits` and `cache_misses` are how often the dump of the day was at hand."""

    def __init__(self, cache_hits: int, cache_misses: int) -> None:
        self._caches = {"hits": cache_hits, "misses": cache_misses}
        self._newest: RuntimeStatus | None = None
        self._options: Counter[str] = Counter()
        self._keys_missing = self._calls_failed = 0

    def page(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self)

    def heard(self, status: RuntimeStatus, cycle: "CycleReport") -> None:
        """Count a cycle that is done."""
        self._options.update({name: info.options for name, info in status.indices_info.items()})
        self._keys_missing += cycle.keys_missing
        self._calls_failed += cycle.calls_failed
        self._newest = status

    def collect(self) -> Iterator[Metric]:
        """Yield the newest status as metrics; two families share a name, which only the older text format allows."""
        for name, count in self._caches.items():
            yield UnknownMetricFamily(f"g6_expiry_cache_{name}", f"Dump of the day: cache {name}", value=count)
        status = self._newest
        if status is None:
            return
        last = GaugeMetricFamily("g6_index_options_processed", "Options in the last cycle", labels=["index"])
        total = CounterMetricFamily("g6_index_options_processed", "Options since the start", labels=["index"])
        level = GaugeMetricFamily("g6_index_ltp_rupees", "Level of the index in the last cycle", labels=["index"])
        for name, info in status.indices_info.items():
            last.add_metric([name], info.options)
            total.add_metric([name], self._options[name])
            if info.ltp is not None:
                level.add_metric([name], info.ltp)
        yield from (last, total, level)
        yield CounterMetricFamily("g6_cycles", "Cycles since the start", value=status.cycle)
        yield GaugeMetricFamily("g6_cycle_elapsed_seconds", "From start to last answer", value=status.elapsed)
        yield GaugeMetricFamily("g6_cycle_drift_seconds", "How late it started", value=status.drift_ms / 1000)
        yield GaugeMetricFamily("g6_cycle_success_rate_pct", "Live contracts", value=status.success_rate_pct)
        yield GaugeMetricFamily("g6_options_per_minute", "At the last cycle's rate", value=status.options_per_minute)
        yield CounterMetricFamily("g6_api_calls", "Quote calls", value=status.api_calls)
        yield CounterMetricFamily("g6_api_calls_failed", "Quote calls without a good answer", value=self._calls_failed)
        yield GaugeMetricFamily("g6_api_success_rate", "Share of calls answered well", value=status.api_success_rate)
        yield CounterMetricFamily("g6_keys_missing", "Asked for, not in the reply", value=self._keys_missing)
        yield GaugeMetricFamily("g6_memory_megabytes", "Resident memory", value=status.memory_mb)


@contextmanager
def served_metrics(metrics: CollectorMetrics, port: int, say: Callable[[str], None]) -> Iterator[None]:
    """Serve the page on `port` meanwhile. A port that cannot be had is said in one line: collection goes on."""
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(metrics)) if port else None
    except OSError as error:
        say(f"no metrics: port {port}: {error.strerror}; end what listens there or set G6_METRICS_PORT")
        server = None
    if server is None:
        yield
        return
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(metrics: CollectorMetrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Any path but /metrics is none."""
            known = self.path.partition("?")[0] in ("/", "/metrics")
            body = metrics.page() if known else b"see /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is no news."""

    return Handler
