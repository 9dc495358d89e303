"""`g6` commands in this process: what they print and how they end, without starting an interpreter for each.

Tests about processes themselves (signals, memory, kills, warnings at start) start real ones instead.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from g6_core.cli.main import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def g6(*words: object, environment: Mapping[str, str] | None = None) -> Ended:
    """Run one command line; `environment` is added to the process's own for as long as it runs."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        code = main([str(word) for word in words])
    return Ended(code, out.getvalue(), err.getvalue())
