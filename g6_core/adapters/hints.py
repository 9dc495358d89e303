"""Command lines that a message asks a person to type: they must work where that person stands."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit


def command(*words: object, program: str = "g6", environment: Mapping[str, object] | None = None) -> str:
    """Return a command line of ours to paste into a shell: quoted, with its variables, and found without an activated
    environment."""
    variables = [f"{name}={shlex.quote(str(value))}" for name, value in (environment or {}).items()]
    return " ".join([*variables, shlex.join([_path_of(program), *map(str, words)])])


def serve_command(url: str) -> str:
    """Return the command that starts a simulated exchange where this address looks for one."""
    return command("sim", "serve", "--port", urlsplit(url).port or 80)


def _path_of(program: str) -> str:
    """The bare name where the shell finds it, else the way to the one beside this Python."""
    beside = Path(sys.executable).with_name(program)
    if shutil.which(program) or not beside.exists():
        return program
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
