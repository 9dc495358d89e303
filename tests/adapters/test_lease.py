"""A lease belongs to one process and ends with it, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from g6_core.adapters.lease import is_leased, lease
from g6_core.domain.errors import DataError

HOLD = """
import sys, time
from pathlib import Path
from g6_core.adapters.lease import lease
with lease(Path(sys.argv[1]), 0) as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def test_a_lease_of_another_process_is_seen_and_free_once_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "day.lock"
    assert not is_leased(path)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        assert is_leased(path)
        with lease(path, 0.05) as ours:
            assert not ours
        holder.send_signal(signal.SIGKILL)
        holder.wait(5)
        assert not is_leased(path)
        with lease(path, 0) as ours:
            assert ours
        assert not is_leased(path)
    finally:
        holder.kill()
        holder.communicate()


def test_a_lease_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"), lease(tmp_path / "file" / "day.lock", 0):
        pass
