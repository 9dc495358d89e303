"""The `g6` command finds, describes and loads its subcommands, and a broken one hurts only itself."""

from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from g6_core.cli import main as cli

PLUGINS = {
    "plain": (
        '"""Module words."""\n\ndef run(name: str) -> None:\n    """Greet somebody."""\n    print("hello", name)\n',
        "run",
    ),
    "group": (
        (
            '"""Look at it."""\nfrom g6_core.cli.command import command_group\napp = command_group(__doc__)\n'
            '@app.command()\ndef show():\n    print("shown")\n'
        ),
        "app",
    ),
    "nameless": ('"""Has no such function."""\n', "absent"),
    "needy": ('"""Needs what nobody has."""\n\nimport a_module_that_nobody_has\n', "run"),
    "garbled": ('"""Is not Python."""\n\ndef run(:\n', "run"),
    "value": ('"""Is a number."""\n\nrun = 3\n', "run"),
}


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command of each kind, good and broken, instead of the installed ones."""
    found = {"lost": EntryPoint("lost", "g6_plugin_lost:run", cli.GROUP)}
    for name, (source, attribute) in PLUGINS.items():
        (tmp_path / f"g6_plugin_{name}.py").write_text(source, encoding="utf-8")
        found[name] = EntryPoint(name, f"g6_plugin_{name}:{attribute}", cli.GROUP)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cli, "commands_by_name", lambda: found)


def test_help_describes_every_command_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.partition("Commands:")[2].splitlines() if line}
    assert list(lines) == sorted(lines)
    assert "Greet somebody." in lines["plain"]
    assert "Look at it." in lines["group"]
    assert "Needs what nobody has." in lines["needy"]
    assert "not available: g6_plugin_lost is not installed" in lines["lost"]
    assert "not available: g6_plugin_garbled line 3 is not Python" in lines["garbled"]


def test_a_plain_function_is_a_command_with_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plain", "world"]) == 0
    assert capsys.readouterr().out == "hello world\n"
    assert cli.main(["plain", "-h"]) == 0
    assert "Usage: g6 plain" in capsys.readouterr().out


def test_a_typer_app_is_a_group_even_with_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["group", "show"]) == 0
    assert capsys.readouterr().out == "shown\n"


@pytest.mark.parametrize("name", ["nameless", "needy", "garbled", "lost", "value"])
def test_a_broken_command_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"g6: command '{name}' (g6_plugin_{name}:")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["plian"], "plian: no such command; did you mean `g6 plain`?"),
        (["zzz"], "zzz: no such command; choose one of garbled, group"),
        (["plain"], "plain: <name> is missing; `g6 plain --help`"),
        (["plain", "a", "--odd"], "plain --odd: no such option; `g6 plain --help`"),
        (["plain", "a", "b"], "plain: nothing is known about 'b'"),
        (["group", "shwo"], "group shwo: no such command; "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_ends_with_two(
    args: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(args) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"g6: {words}")
    assert said.count("\n") == 1


def test_no_command_at_all_shows_the_help_and_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "Usage: g6" in capsys.readouterr().err


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"g6 {version('g6')}\n"
