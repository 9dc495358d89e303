"""How a command ends: the exit codes, and one line on stderr for whatever went wrong.

    G6Error        its message in red, its own exit code
    Ctrl-C         130
    anything else  a bug of ours: one line and 1; the traceback only with G6_DEBUG=1

Typer itself answers wrong usage (2) before any of our code runs.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from enum import IntEnum

from g6_core.domain.errors import G6Error


class ExitCode(IntEnum):
    """What the shell sees; the table in the README says the same."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIG = 3
    DATA = 4
    CHECK_FAILED = 5
    INTERRUPTED = 130


def exit_code_of(command: Callable[[], object]) -> int:
    """Run `command` to its end, say on stderr what went wrong if anything did, and return the exit code.

    Ctrl+C counts as Ctrl+C even where a library turned it into an error of its own.
    """
    interrupts: list[int] = []

    def note(number: int, _frame: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, note) if threading.current_thread() is threading.main_thread() else None
    try:
        code = _exit_code_of(command)
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
    return ExitCode.INTERRUPTED if interrupts and code != ExitCode.OK else code


def _exit_code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as stop:
        return _code_of(stop)
    except KeyboardInterrupt:
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone: nobody is left to tell, and the interpreter must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.UNEXPECTED
    except G6Error as error:
        _say(str(error))
        _trace_if_asked()
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last frame before the shell; the traceback is one variable away
        _say(f"unexpected {type(error).__name__}: {error} (a bug of G6; G6_DEBUG=1 shows where)")
        _trace_if_asked()
        return ExitCode.UNEXPECTED
    return ExitCode.OK


def _code_of(stop: SystemExit) -> int:
    """`sys.exit` takes nothing, a number or a last word; the shell wants a number."""
    match stop.code:
        case None:
            return ExitCode.OK
        case int(code):
            return code
        case last_word:
            _say(str(last_word))
            return ExitCode.UNEXPECTED


def _say(message: str) -> None:
    """Red where a terminal shows it; never wrapped, so that a line stays one line in a log."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text(f"g6: {message}", style="red"))


def _trace_if_asked() -> None:
    if os.environ.get("G6_DEBUG") == "1":
        traceback.print_exc()
