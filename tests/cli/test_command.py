"""Every command of `g6` speaks one style: help in whole sentences, wrong values refused in one line of our words."""

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest
import typer
from typer.core import TyperOption

from g6_core.cli.command import Group, first_sentence, run
from g6_core.cli.main import app, commands_by_name, load
from g6_core.domain.errors import UserError
from tests.command_line import g6

WIDTH = 80


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group of the product, by its path."""
    for name, entry_point in sorted(commands_by_name().items()):
        command = load(entry_point)
        yield name, command
        for child, inner in getattr(command, "commands", {}).items():
            yield f"{name} {child}", inner


COMMANDS = dict(commands())


def page_of(path: str, width: int) -> str:
    """The help page of a command on a terminal of this width."""
    out = io.StringIO()
    root = typer.main.get_group(app)
    with redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        root.main([*path.split(), "--help"], prog_name="g6", standalone_mode=False)
    return out.getvalue()


@pytest.mark.parametrize("path", ["", *COMMANDS], ids=lambda path: path or "g6")
def test_a_help_page_is_in_the_house_style_with_whole_sentences(path: str) -> None:
    page = page_of(path, WIDTH)
    lines = page.splitlines()
    assert lines[0].startswith(f"Usage: g6 {path}".rstrip())
    assert max(len(line) for line in lines) <= WIDTH, max(lines, key=len)
    # Dots behind a bracket say that there may be more of these.
    assert not re.search(r"\w\.\.\.", page.replace("(root=...)", "").replace("files...", "")), "something is cut"
    assert not any(box in page for box in "│╭╰"), "a second style"
    flat = " ".join(page.split())
    command = COMMANDS.get(path)
    for name, inner in getattr(command, "commands", {}).items():
        assert f"{name} {first_sentence(inner.help)}" in flat
    if command is not None:
        assert first_sentence(command.help).endswith("."), command.help
    assert isinstance(command, Group) == hasattr(command, "commands")


def options() -> Iterator[tuple[str, str, str, str]]:
    """(command, option, a wrong value, what the refusal says) of every date, time and number of every command."""
    wrong: dict[Any, tuple[tuple[str, str], ...]] = {
        "YYYY-MM-DD": (("19-11-2026", "not a date; write it like 2025-08-29"), ("20261119", "not a date")),
        "HH:MM": (("9", "not a time of day; write it like 09:14"),),
        int: (("many", "not a whole number; write it like 7"), ("2.5", "not a whole number")),
        float: (("fast", "not a number; write it like 2.5"),),
    }
    for path, command in COMMANDS.items():
        for option in (one for one in command.params if isinstance(one, TyperOption)):
            kind = option.metavar if option.metavar in wrong else option.type_descriptor.annotation
            for value, words in wrong.get(kind, ()):
                yield path, option.opts[0], value, words
            if option.max is not None:
                yield path, option.opts[0], str(option.max + 1), f"choose {option.min} to {option.max}"


def test_every_date_time_and_number_is_refused_in_our_own_words() -> None:
    tried = list(options())
    assert {path.split()[0] for path, *_ in tried} >= {"day", "data", "demo", "journal", "ledger", "sim", "stream"}
    for path, option, value, words in tried:
        with pytest.raises(UserError) as refused:
            run(COMMANDS[path], [option, value])
        said = str(refused.value)
        assert said.startswith(f"{option} {value}: {words}") and "\n" not in said, path


def test_a_number_from_the_environment_is_refused_by_the_name_of_its_variable() -> None:
    ended = g6("up", environment={"G6_CONTROL_PORT": "http"})
    assert ended.returncode == 2
    assert ended.stderr == "g6: G6_CONTROL_PORT=http: not a whole number; write it like 7\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dya", "did you mean `g6 day`?"),
        ("journal shwo", "did you mean `g6 journal show`?"),
        ("day --sead 7", "did you mean --seed?"),
        ("day --seed", "--seed: its value is missing"),
        ("journal replay", "--data-dir is missing; `g6 journal replay --help`"),
    ],
)
def test_a_slip_of_the_keyboard_is_one_line_with_the_right_word(words: str, said: str) -> None:
    ended = g6(*words.split())
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
