"""The clock of a long command goes on and its phase is named, on terminals of every width and in a log."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from g6_core.cli.progress import JobLog, Progress

LINE = "2026-11-19 15:40:00 +0530 - dagster - DEBUG - evening - run - 1 - {} - STEP_START - Started execution of step."


class Machine:
    """A monotonic clock that the test sets."""

    seconds = 100.0

    def now(self) -> float:
        return self.seconds


def on_terminal(width: int, machine: Machine) -> Progress:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    return Progress(True, "g6 demo", console, machine.now)


def seen(progress: Progress, width: int) -> str:
    out = Console(file=io.StringIO(), width=width)
    out.print(progress.rendered())
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_clock_goes_on_in_the_evening_and_nothing_is_cut(width: int) -> None:
    machine = Machine()
    progress = on_terminal(width, machine)
    progress.show("session 15:29:00", 1.0)
    progress.show("evening: data reconciliation")
    machine.seconds += 61
    first = seen(progress, width)
    machine.seconds += 64
    second = seen(progress, width)
    assert "evening: data reconciliation" in second and "1:01" in first and "2:05" in second


def test_without_a_terminal_each_phase_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=40)
    progress = Progress(True, "g6 demo", console)
    for stage in ("session 09:15:00", "session 09:16:00", "evening: chain repair", "evening: strategy scores"):
        progress.show(stage)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "g6 demo: session 09:15:00",
        "g6 demo: evening: chain repair",
        "g6 demo: evening: strategy scores",
    ]


def test_the_steps_of_a_job_are_told_once_as_they_begin_without_their_checks(tmp_path: Path) -> None:
    path = tmp_path / "evening.log"
    log = JobLog(path)
    assert log.begun() == [], "no log yet"
    path.write_text(LINE.format("chain_repair") + "\n" + LINE.format("chain_repair_is_sound") + "\n" + "half a line")
    assert log.begun() == ["chain repair"]
    assert log.begun() == []
    with path.open("a") as file:
        file.write("\n" + LINE.format("data_reconciliation") + "\n")
    assert log.begun() == ["data reconciliation"]
