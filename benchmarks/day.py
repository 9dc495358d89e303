"""A recorded trading day by stage: time, CPU and peak memory, each run in a process of its own.

Collecting and trading take turns for the whole session, and so each is charged with what passes while it has its turn;
`start` is everything that is no stage: imports, and reading the recording. The peak is the largest resident memory
(Linux: of the stage itself, looked at every `LOOK_S`; elsewhere since the process began).

Seconds of one machine are nothing to another, nor to the same one when it is busy: beside them stands the CPU of the
day in *yardsticks*, a fixed piece of plain work that is measured before and after it.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from g6_core.adapters.world import MODELLED
from g6_core.cli.day_run import DayRequest, draw_report, run_day
from g6_core.cli.stages import stage

# Without a recording the last trading day up to this one is modelled.
MODELLED_DAY = date(2025, 8, 29)
START = "start"
LOOK_S = 0.1
YARDSTICK_ROUNDS = 400
_STATUS, _CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Cost:
    """What a stage took; `cpu_s` includes the processes it waited for."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


@dataclass(slots=True)
class Meter:
    """Charges what passes to the stage whose turn it is, the rest to `rest`."""

    rest: str = START
    costs: dict[str, Cost] = field(default_factory=dict)
    _seconds: float = field(default_factory=time.perf_counter)
    _cpu_s: float = 0.0
    _looked_s: float = 0.0

    def charge(self, name: str) -> None:
        """Charge this stage with what passed since the last call."""
        new = name not in self.costs
        cost = self.costs.setdefault(name, Cost())
        seconds, cpu_s = time.perf_counter(), _cpu_s()
        cost.seconds += seconds - self._seconds
        cost.cpu_s += cpu_s - self._cpu_s
        self._seconds, self._cpu_s = seconds, cpu_s
        if new or seconds - self._looked_s > LOOK_S:
            cost.peak_mb = max(cost.peak_mb, _peak_mb())
            self._looked_s = time.perf_counter()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Give the stage its turn."""
        self.charge(self.rest)
        try:
            yield
        finally:
            self.charge(name)

    def stage(self, name: str) -> Callable[..., Any]:
        """Look up a stage of the day, as `g6_core.cli.stages.stage` does, with its turns measured."""
        with self.turn(name):
            found = stage(name)

        @wraps(found)
        def whole(*args: Any, **more: Any) -> Any:
            with self.turn(name):
                return found(*args, **more)

        @wraps(found)
        def in_turns(*args: Any, **more: Any) -> Generator[int, None, Any]:
            running = found(*args, **more)
            while True:
                with self.turn(name):
                    try:
                        wake_ms = next(running)
                    except StopIteration as done:
                        return done.value
                yield wake_ms

        return in_turns if isgeneratorfunction(found) else whole


def _cpu_s() -> float:
    waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited_for.ru_utime + waited_for.ru_stime


def _peak_mb() -> float:
    """Return the largest resident memory since the last call."""
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        _CLEAR_PEAK.write_text("5")
        return int(line.split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def yardstick_s() -> float:
    """Return the CPU seconds of a fixed piece of plain work: texts, dictionaries, JSON, hashes and arrays."""
    start_s = time.process_time()
    digest = hashlib.sha256()
    for number in range(YARDSTICK_ROUNDS):
        rows = {f"key {place}": {"place": place, "share": place / 7, "number": number} for place in range(200)}
        digest.update(msgspec.json.encode(json.loads(json.dumps(rows))))
        digest.update(np.sort(np.arange(2_000, dtype=np.int64) * 7_919 % 2_003).tobytes())
    return time.process_time() - start_s


def measured_day(source: str, folder: Path, config_dir: Path) -> dict[str, Any]:
    """Run the day in this process; its costs by stage, in order, and the hash of its journal."""
    before_s = yardstick_s()
    meter = Meter()
    request = DayRequest(source, None, None, 0, folder, config_dir, None)
    result = run_day(request, MODELLED_DAY, lambda *_: None, meter.stage)
    meter.charge(meter.rest)
    with meter.turn("report"):
        draw_report(request)
    costs = {name: msgspec.to_builtins(cost) for name, cost in meter.costs.items()}
    return {
        "stages": costs,
        "yardsticks": sum(cost.cpu_s for cost in meter.costs.values()) / ((before_s + yardstick_s()) / 2),
        "journal_sha256": result.summary["journal_sha256"],
        "checks_passed": result.checks_passed,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the day `rounds` times; the least of each figure, and whether all rounds decided the same."""
    source = MODELLED if options.recording is None else str(options.recording.resolve())
    rounds = [_round(source, options.dir) for _ in range(options.rounds)]
    stages = {
        name: {figure: round(min(one["stages"][name][figure] for one in rounds), 3) for figure in first}
        for name, first in rounds[0]["stages"].items()
    }
    return {
        "source": MODELLED if options.recording is None else options.recording.name,
        "rounds": options.rounds,
        "stages": stages,
        "total": {
            "seconds": round(sum(one["seconds"] for one in stages.values()), 3),
            "cpu_s": round(sum(one["cpu_s"] for one in stages.values()), 3),
            "peak_mb": max(one["peak_mb"] for one in stages.values()),
            "yardsticks": round(min(one["yardsticks"] for one in rounds), 1),
        },
        "agree": len({one["journal_sha256"] for one in rounds}) == 1 and all(one["checks_passed"] for one in rounds),
    }


def _round(source: str, folder: Path | None) -> dict[str, Any]:
    """One day in a process of its own: what an earlier one has loaded and piled up counts as nobody's."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        command = [sys.executable, "-m", "benchmarks.day", source, data]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"the day ended with {done.returncode}")
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def lines(result: dict[str, Any]) -> list[str]:
    """The figures for people."""
    head = f"  {'stage':12}{'time s':>9}{'CPU s':>9}{'peak MB':>9}"
    rows = [
        f"  {name:12}{one['seconds']:>9.2f}{one['cpu_s']:>9.2f}{one['peak_mb']:>9.0f}"
        for name, one in (*result["stages"].items(), ("total", result["total"]))
    ]
    agreed = "all rounds decided the same" if result["agree"] else "ROUNDS DIFFER, or a check of the evening failed"
    cost = f"the whole day costs {result['total']['yardsticks']} yardsticks of CPU"
    return [f"a day of {result['source']}, least of {result['rounds']} rounds; {agreed}", head, *rows, cost]


def main(source: str, data_dir: str) -> None:
    """One round, as JSON on stdout."""
    config = Path(__file__).resolve().parents[1] / "config"
    found = measured_day(source, Path(data_dir), config)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
