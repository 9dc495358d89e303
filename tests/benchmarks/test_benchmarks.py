"""The benchmarks at tiny sizes: everything is there and the results agree. Nothing here is timed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.exact import error_of, has_volatility
from benchmarks.iv import errors_of, random_contracts
from benchmarks.runner import Contender, Peers, Timing, race, ratios

PROJECT = Path(__file__).resolve().parents[2]
FIGURES = {"name", "ours", "items", "rounds", "min_ms", "median_ms", "items_per_s"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a user does it; pinned to a core only in its own process."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_iv_agrees_with_its_bound_and_names_peers_that_are_not_there(tmp_path: Path) -> None:
    done = run("iv", "--small", "--rounds", "1", "--json", "--chain", str(tmp_path / "no.parquet"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    ours, *others = result["sets"]["random"]["contenders"]
    assert (ours["name"], ours["unsolved"], ours["over_bound"], ours["checked"]) == ("G6", 0, 0, 2_000)
    assert ours.keys() >= FIGURES
    peers = {"pyvolr", "QuantLib", "py_vollib_vectorized", "py_lets_be_rational"}
    assert {one["name"].split()[0] for one in others} | (result["absent"].keys() - {"chain"}) == peers
    assert "chain" in result["absent"]


@pytest.mark.slow
def test_iv_measures_the_recorded_chain(shared_data: Path) -> None:
    chain = shared_data / "nse-chain-20250829" / "NIFTY.parquet"
    done = run("iv", "--small", "--rounds", "1", "--json", "--chain", str(chain))
    assert done.returncode == 0, done.stderr
    one = json.loads(done.stdout)["sets"]["chain"]
    assert (one["contracts"], one["contenders"][0]["unsolved"], one["contenders"][0]["over_bound"]) == (672, 0, 0)


@pytest.mark.slow
def test_the_collector_and_its_peers_write_the_same_values(tmp_path: Path) -> None:
    done = run("collector", "--small", "--rounds", "2", "--json", "--dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["agree"], result["files"], result["contracts"]) == (True, 48, 96)
    assert [one["ours"] for one in result["contenders"]] == [True, False, False]
    assert result["speed_up"]["against"].startswith("pandas")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_benchmark_is_refused_with_the_known_ones() -> None:
    done = run("nothing")
    assert done.returncode == 2
    assert all(name in done.stderr for name in BENCHMARKS)


def test_a_missing_peer_is_named_and_not_an_error() -> None:
    peers = Peers()
    assert peers.load("nobody-has-this", "nobody_has_this") is None
    assert "nobody_has_this" in peers.absent["nobody-has-this"]


def test_everybody_runs_every_round_after_a_warm_up_and_begins_in_turn() -> None:
    calls: list[str] = []
    contenders = [Contender(name, lambda name=name: calls.append(name), 1) for name in "ab"]
    timings = race(contenders, 2)
    assert "".join(calls) == "ab" + "ab" + "ba"
    assert [(one.name, one.rounds) for one in timings] == [("a", 2), ("b", 2)]


def test_the_ratio_is_per_item_and_against_the_best() -> None:
    def timing(name: str, ours: bool, items: int, min_s: float) -> Timing:
        return Timing(name, ours, items, 1, min_s, 2 * min_s, {})

    timings = [timing("us", True, 100, 1.0), timing("slow", False, 10, 1.0), timing("fast", False, 10, 0.5)]
    assert ratios(timings, ["slow", "fast"]) == {"against": "fast", "by_min": 5.0, "by_median": 5.0}
    assert ratios(timings, ["slow"])["by_min"] == 10.0
    assert ratios(timings, []) == {"against": None, "by_min": None, "by_median": None}


def test_errors_count_the_unsolved_and_leave_badly_conditioned_ones_out_of_the_maximum() -> None:
    sigmas, bound = np.array([0.1, 0.2, 0.3]), np.array([1e-10, 1e-10, 1e-3])
    found = errors_of(np.array([0.1 + 2e-10, np.nan, 0.3 + 1e-4]), sigmas, bound)
    assert (found.checked, found.unsolved, found.over_bound) == (3, 1, 1)
    assert found.max_error == pytest.approx(2e-10)


def test_random_contracts_are_the_same_every_time_and_belong_to_their_volatilities() -> None:
    contracts, sigmas = random_contracts(1_000)
    again, _ = random_contracts(1_000)
    assert np.array_equal(contracts.prices, again.prices)
    for sigma, row in list(zip(sigmas.tolist(), contracts.rows(), strict=True))[:50]:
        price, forward, strike, _, discount, is_call = row
        assert has_volatility(price, forward, strike, discount, is_call)
        assert abs(error_of(sigma, *row)) < 1e-3
