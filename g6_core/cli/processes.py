"""Child processes that never outlive their parent: started with a log each, watched, ended in reverse order."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from g6_core.domain.errors import DataError

GRACE_S = 10.0
TAIL_LINES = 3
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


@dataclass(slots=True)
class Child:
    """One running process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """The end of its log, as one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " | ".join(line.strip() for line in lines[-TAIL_LINES:])


@dataclass(slots=True)
class Processes:
    """A group of children with one environment and one folder of logs. Use it as a context manager."""

    logs: Path
    environment: Mapping[str, str]
    children: list[Child] = field(default_factory=list)

    def __enter__(self) -> "Processes":
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a process; it gets SIGTERM when this one dies."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def run(self, name: str, command: Sequence[str]) -> None:
        """Start a process and wait for its good end; DataError with its last words otherwise."""
        child = self.start(name, command)
        self.expect(child, child.process.wait())

    def expect(self, child: Child, code: int | None) -> None:
        """DataError unless the process ended with 0."""
        if code != 0:
            raise DataError(f"{child.name} ended with {code}: {child.last_words()} (all of it in {child.log})")

    def watch(self, *must_live: Child) -> None:
        """DataError when one of these has ended."""
        for child in must_live:
            if not child.running:
                raise DataError(f"{child.name} ended with {child.process.returncode}: {child.last_words()}")

    def stop(self) -> None:
        """End what still runs, newest first: SIGTERM to its group, SIGKILL after a grace period."""
        for child in reversed(self.children):
            if child.running:
                _signal_group(child, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(GRACE_S)
            # Also when the leader has gone: nothing of its group may stay.
            _signal_group(child, signal.SIGKILL)
            child.process.wait()


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)
