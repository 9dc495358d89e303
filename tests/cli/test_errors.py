"""Whatever a command does, the shell gets one line and the documented number."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

import pytest

from g6_core.cli.errors import ExitCode, exit_code_of
from g6_core.domain.errors import Bug, CalendarError, ConfigError, DataError, UserError


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def command() -> NoReturn:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("unknown index 'X'"), ExitCode.USAGE, "g6: unknown index 'X'\n"),
        (ConfigError("config/g6.yaml: a [b] is unknown"), ExitCode.CONFIG, "g6: config/g6.yaml: a [b] is unknown\n"),
        (DataError("no such file"), ExitCode.DATA, "g6: no such file\n"),
        (CalendarError("2025-08-27 is a holiday"), ExitCode.DATA, "g6: 2025-08-27 is a holiday\n"),
        (Bug("cash below zero"), ExitCode.UNEXPECTED, "g6: cash below zero\n"),
        (
            ZeroDivisionError("by zero"),
            ExitCode.UNEXPECTED,
            "g6: unexpected ZeroDivisionError: by zero (a bug of G6; G6_DEBUG=1 shows where)\n",
        ),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "g6: interrupted\n"),
        (SystemExit("last words"), ExitCode.UNEXPECTED, "g6: last words\n"),
        (SystemExit(5), ExitCode.CHECK_FAILED, ""),
        (SystemExit(None), ExitCode.OK, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_becomes_one_line_and_its_code(
    error: BaseException,
    code: ExitCode,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("G6_DEBUG", raising=False)
    assert exit_code_of(raising(error)) == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", line)


def test_a_long_message_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code_of(raising(DataError("word " * 200 + "end")))
    assert capsys.readouterr().err.count("\n") == 1


def test_a_command_that_returns_has_succeeded(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(lambda: "a value") == ExitCode.OK
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [DataError("foreign schema"), ValueError("odd")], ids=["ours", "unexpected"])
def test_the_traceback_is_there_for_who_asks(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G6_DEBUG", "1")
    exit_code_of(raising(error))
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_not_an_error_worth_a_word() -> None:
    code = "import sys; from g6_core.cli.main import main; sys.stdout.write('x' * 200_000); sys.exit(main(['--help']))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as gone:
        ended = subprocess.run(
            [sys.executable, "-c", code], stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert "unexpected" not in ended.stderr
