"""Children never outlive their parent, however it ends, and a bad end is told in one line."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from g6_core.cli.parts import require_port
from g6_core.cli.processes import Processes, free_port
from g6_core.domain.errors import DataError, UserError

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _alive(pid)


def test_everything_is_ended_when_the_group_is_left(tmp_path: Path) -> None:
    with Processes(tmp_path, {}) as group:
        pids = [group.start(name, SLEEPER).process.pid for name in ("one", "two")]
        assert all(_alive(pid) for pid in pids)
    assert all(_gone(pid) for pid in pids)


def test_a_child_that_ends_badly_is_named_with_its_last_words(tmp_path: Path) -> None:
    bad = [sys.executable, "-c", "import sys; print('the disk is full'); sys.exit(3)"]
    with Processes(tmp_path, {}) as group, pytest.raises(DataError, match=r"collector ended with 3: the disk is full"):
        group.run("collector", bad)


def test_a_killed_parent_takes_its_children_with_it(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from g6_core.cli.processes import Processes
        with Processes(Path({str(tmp_path)!r}), {{}}) as group:
            print(group.start("child", {SLEEPER!r}).process.pid, flush=True)
            time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert _gone(child)


def test_a_killed_parent_takes_its_childrens_children_with_it(tmp_path: Path) -> None:
    child = f"import subprocess, time; print(subprocess.Popen({SLEEPER!r}).pid, flush=True); time.sleep(600)"
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from g6_core.cli.processes import Processes
        with Processes(Path({str(tmp_path)!r}), {{}}) as group:
            child = group.start("child", [sys.executable, "-c", {child!r}])
            while not child.last_words().startswith(tuple("123456789")):
                time.sleep(0.01)
            print(child.last_words().split()[0], flush=True)
            time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert _gone(grandchild)


def test_free_ports_are_ports() -> None:
    assert 1024 < free_port() < 65_536


@pytest.mark.parametrize("text", ["", "http", "0", "70000", "-1", "3000 "])
def test_what_is_no_port_is_refused_by_the_name_of_its_option(text: str) -> None:
    with pytest.raises(UserError, match=rf"UI_PORT={text}: not a port; write a number from 1 to 65535"):
        require_port(text, "web UI", "UI_PORT")


def test_a_port_that_somebody_has_is_refused_with_the_way_to_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(UserError, match=rf"port {port} \(web UI\) cannot be had: .*; choose another UI_PORT"):
            require_port(port, "web UI", "UI_PORT")
