"""The README's commands exist with the options it gives them, and the list of a day stands in the order it works in."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from g6_core.cli.main import commands_by_name, load

PROJECT = Path(__file__).resolve().parents[2]
DAY = (
    "g6 sim serve",
    "+day_pack",
    "g6 collect",
    "g6 stream run",
    "g6 stream status",
    "group:evening",
    "g6 data coverage",
)


def lines() -> Iterator[str]:
    """Every command of a code block, on one line and without its remark."""
    for block in re.findall(r"^```\n(.*?)^```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.M | re.S):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    tried = 0
    for words in (shlex.split(line, comments=True) for line in lines() if line.startswith(".venv/bin/g6 ")):
        command = load(commands_by_name()[words[1]])
        rest = words[2:]
        if inner := getattr(command, "commands", None):
            command, rest = inner[rest[0]], rest[1:]
        known = {name for parameter in command.params for name in parameter.opts}
        given = [word for word in rest if word.startswith("--")]
        assert set(given) <= known, words
        required = {one.opts[0] for one in command.params if one.required and one.param_type_name == "option"}
        assert required <= set(given), words
        tried += 1
    assert tried > 15


def test_the_day_in_pieces_stands_in_the_order_in_which_it_works() -> None:
    text = "\n".join(lines())
    places = [text.index(words, text.index(DAY[0])) for words in DAY]
    assert places == sorted(places)
