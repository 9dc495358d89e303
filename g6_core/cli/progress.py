"""Where a long command is: a bar with a clock on a terminal; one line a phase where there is none."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import progress
from rich.console import Console
from rich.text import Text

READ_BYTES_MAX = 1_000_000
STEP_BEGINS = re.compile(rb" - (\w+) - STEP_START - ")


class Progress:
    """Shows the phase that a command is in. The clock goes on for as long as the command does, whatever the phase."""

    def __init__(
        self,
        shown: bool,
        command: str,
        console: Console | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._lines = shown and not self._console.is_terminal
        self._phase = ""
        self._command = command
        self._bar = progress.Progress(
            progress.TextColumn("{task.description:<20}"),
            # As wide as what is left: a narrow terminal cuts the bar, never the words.
            progress.BarColumn(bar_width=None),
            _Clock(now_s),
            console=self._console,
            transient=True,
            expand=self._console.width < 80,
            disable=not shown or self._lines,
        )
        self._task = self._bar.add_task("start", total=1.0)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, stage: str, share: float | None = None) -> None:
        """Show where the command is; `share` is how much of a phase has passed, None when nobody knows.

        A stage is its phase, and after a comma or a time of day how far it is: where there is no terminal only a new
        phase is a line.
        """
        self._bar.update(self._task, description=stage, completed=share or 0.0, total=None if share is None else 1.0)
        phase = re.split(r", | \d", stage)[0]
        if self._lines and phase != self._phase:
            self._console.print(f"{self._command}: {stage}", highlight=False, markup=False, soft_wrap=True)
        self._phase = phase

    def rendered(self) -> Any:
        """What a terminal shows now."""
        return self._bar.get_renderable()


class _Clock(progress.ProgressColumn):
    """Time since the command began: the library's own stands still once a task is full."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__()
        self._now_s, self._began_s = now_s, now_s()

    def render(self, task: progress.Task) -> Text:
        """The time as ``2:05``."""
        minutes, seconds = divmod(int(self._now_s() - self._began_s), 60)
        return Text(f"{minutes}:{seconds:02d}", style="progress.elapsed")


@dataclass(slots=True)
class JobLog:
    """The log of one of Dagster's jobs, read as it grows: which steps have begun."""

    path: Path
    offset: int = 0
    _assets: list[str] = field(default_factory=list)

    def begun(self) -> list[str]:
        """Return the steps that began since the last look, in words; the checks of a step are no step of their own."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                new = file.read(READ_BYTES_MAX)
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        names = [name.decode() for name in STEP_BEGINS.findall(whole)]
        found = []
        for name in names:
            if not any(name.startswith(f"{asset}_") for asset in self._assets):
                self._assets.append(name)
                found.append(name.replace("_", " "))
        return found
