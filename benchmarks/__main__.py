"""`python -m benchmarks NAME`: one benchmark, its peers and the ratio, for people or as JSON."""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

# Name on the command line -> module with `measure(options) -> dict` and `lines(result) -> list of text`.
BENCHMARKS = {
    "collector": "benchmarks.collector",
    "day": "benchmarks.day",
    "iv": "benchmarks.iv",
    "lineprotocol": "benchmarks.lineprotocol",
}
# One core, one thread: what a library would do with more is another question.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")


def main(arguments: list[str]) -> int:
    """Run one benchmark; 0 when it was measured and all results agree, 5 when they do not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="machine-readable, on one line")
    parser.add_argument("--rounds", type=int, default=15, help="rounds that everybody runs, in turn")
    parser.add_argument("--small", action="store_true", help="tiny sizes: is everything there, do the results agree?")
    parser.add_argument("--dir", type=Path, help="where collector and day write and clean up; default: here, /tmp")
    parser.add_argument("--chain", type=Path, help="a recorded NSE option chain (Parquet), for iv")
    parser.add_argument("--recording", type=Path, help="the day to run, as `g6 day --source`; default: a modelled one")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    for name in THREADS:
        os.environ[name] = "1"
    benchmark = import_module(BENCHMARKS[options.name])
    result = {
        "benchmark": options.name,
        "measured": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **benchmark.measure(options),
    }
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write("\n".join(benchmark.lines(result)) + "\n")
    return 0 if result["agree"] else 5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
