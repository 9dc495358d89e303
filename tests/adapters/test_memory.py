"""Pages of a library's machine code: given back, and there again when they are needed."""

import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells and takes back pages"),
]

SCRIPT = """
from pathlib import Path

from numba import njit

from g6_core.adapters.memory import release_libraries


def file_kb():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssFile"))


def twice(x):
    return 2 * x


first = njit("int64(int64)")(twice)
before = file_kb()
offered = release_libraries()
after = file_kb()
second = njit("float64(float64)")(twice)
print(offered, before - after, first(21), second(10.5))
"""


def test_code_pages_are_given_back_and_everything_goes_on() -> None:
    printed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.split()
    offered, released_kb = int(printed[0]), int(printed[1])
    assert 0 < released_kb * 1024 <= offered
    assert printed[2:] == ["42", "21.0"]
