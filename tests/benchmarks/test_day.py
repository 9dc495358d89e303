"""The cost of a day: an alarm when a recorded day takes twice the CPU or the memory that it took when last measured."""

import json
from pathlib import Path

import pytest

from benchmarks.day import Meter, lines
from tests.benchmarks.test_benchmarks import run

# `python -m benchmarks day --rounds 1 --recording NIFTY.parquet`, 1 December 2026, the dearer of two runs.
YARDSTICKS, PEAK_MB = 64.9, 286.0


@pytest.mark.slow
def test_a_recorded_day_costs_less_than_twice_what_it_cost_when_it_was_last_measured(
    shared_data: Path, tmp_path: Path
) -> None:
    recording = shared_data / "nse-chain-20250829" / "NIFTY.parquet"
    done = run("day", "--rounds", "1", "--json", "--recording", str(recording), "--dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"prepare", "collect", "trade", "repair", "reconcile", "score", "summary", "report"} < result[
        "stages"
    ].keys()
    assert all(one["cpu_s"] > 0 < one["peak_mb"] for one in result["stages"].values()), lines(result)
    assert result["total"]["yardsticks"] < 2 * YARDSTICKS, lines(result)
    assert result["total"]["peak_mb"] < 2 * PEAK_MB, lines(result)


def test_what_passes_is_charged_to_whose_turn_it_is() -> None:
    meter = Meter()
    with meter.turn("repair"):
        sum(range(2_000_000))
    meter.charge(meter.rest)
    repair, rest = meter.costs["repair"], meter.costs["start"]
    assert repair.cpu_s > 0 and repair.seconds >= repair.cpu_s / 2 and repair.peak_mb > 1
    assert rest.seconds >= 0
