"""Child processes that never outlive their parent: started with a log each, watched, ended in reverse order.

Three things see to that: `stop` at a normal end; the kernel's parent-death signal; and a keeper, which ends whole
groups, so that also the children's children go when this process is killed.
"""

import contextlib
import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from g6_core.domain.errors import DataError

GRACE_S = 10.0
POLL_S = 0.05
TAIL_LINES = 3
DAGSTER_FAILURE = re.compile(r"^dagster\.\S+\.Failure: (.+)$", re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
KEEPER = Path(__file__).with_name("keeper.py")
_SET_PARENT_DEATH_SIGNAL = 1


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """Ask the kernel (Linux) to end this process when its parent dies, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _begin_in_turns() -> None:
    die_with_parent()
    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@dataclass(slots=True)
class Child:
    """One running process and where its output goes: into `log` from byte `log_start` on."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int = 0

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self.process.poll() is None

    def tell(self, line: str) -> None:
        """Give it a line, if it was started to listen; one that has ended hears nothing."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def answer(self, wait_s: float) -> str:
        """Return its next line on standard output; "" when none came within `wait_s`, or when it has ended."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], wait_s)
        return self.process.stdout.readline().decode().rstrip() if ready else ""

    def last_words(self) -> str:
        """Why it ended, by its log, as one line."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.log_start)
                text = COLOURS.sub("", file.read().decode(errors="replace"))
        except OSError:
            return ""
        # A job of Dagster's says why it failed in one line of its own, and much else after it.
        if reasons := DAGSTER_FAILURE.findall(text):
            return str(reasons[-1])
        return " | ".join(line.strip() for line in text.strip().splitlines()[-TAIL_LINES:])


@dataclass(slots=True)
class Processes:
    """A group of children with one environment and one folder of logs. Use it as a context manager."""

    logs: Path
    environment: Mapping[str, str]
    children: list[Child] = field(default_factory=list)
    _keeper: "subprocess.Popen[str] | None" = field(default=None, init=False)

    def __enter__(self) -> "Processes":
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.logs}: {error.strerror or error}; choose a --data-dir you can write to") from error
        # A session of its own: Ctrl+C at the terminal is for the parent, and so is its shell's end.
        command = [sys.executable, "-I", "-S", str(KEEPER)]
        self._keeper = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], *, listens: bool = False, in_turns: bool = False) -> Child:
        """Start a process; it gets SIGTERM when this one dies. One that `listens` has pipes for `tell` and `answer`.

        Those that work `in_turns` share a core: each waits while another works, and to wake the next one on another
        core costs more than the turn itself.
        """
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            log_start = output.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
                stdout=subprocess.PIPE if listens else output,
                stderr=output,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=_begin_in_turns if in_turns else die_with_parent,
            )
        child = Child(name, process, log, log_start)
        self.children.append(child)
        self._tell_keeper(f"+{process.pid}")
        return child

    def run(self, name: str, command: Sequence[str]) -> None:
        """Start a process and wait for its good end; DataError with its last words otherwise."""
        child = self.start(name, command)
        code = child.process.wait()
        self.end(child)
        self.expect(child, code)

    def expect(self, child: Child, code: int | None) -> None:
        """DataError unless the process ended with 0."""
        if code != 0:
            raise DataError(f"{child.name} ended with {code}: {child.last_words()} (all of it in {child.log})")

    def watch(self, *must_live: Child) -> None:
        """DataError when one of these has ended."""
        for child in must_live:
            if not child.running:
                raise DataError(f"{child.name} ended with {child.process.returncode}: {child.last_words()}")

    def end(self, *children: Child, grace_s: float = GRACE_S) -> None:
        """End these together: SIGTERM to their groups, SIGKILL to whatever of them is left after a grace period."""
        for child in children:
            if child.running:
                _signal_group(child, signal.SIGTERM)
        give_up_s = time.monotonic() + grace_s
        while any(child.running for child in children) and time.monotonic() < give_up_s:
            time.sleep(POLL_S)
        for child in children:
            # Also when the leader has gone: nothing of its group may stay.
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
            self._forget(child)

    def kill(self) -> None:
        """End everything at once. Safe in a signal handler: whoever waits in `end` goes on."""
        for child in self.children:
            _signal_group(child, signal.SIGKILL)

    def stop(self) -> None:
        """End what still runs, newest first, and the keeper last."""
        for child in reversed(self.children.copy()):
            self.end(child)
        if self._keeper is not None:
            # Closes its stdin and waits for its end: it has nothing left to keep.
            with contextlib.suppress(BrokenPipeError), self._keeper:
                self._keeper = None

    def _forget(self, child: Child) -> None:
        """Its number may be given to somebody else's process from now on."""
        if child in self.children:
            self.children.remove(child)
            self._tell_keeper(f"-{child.process.pid}")

    def _tell_keeper(self, line: str) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.write(f"{line}\n")


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)
