"""The `g6` command: finds its subcommands by name and loads only the one that was asked for.

A package adds a command with an entry point in the group `g6.commands`. It names a plain function (one command) or a
`typer.Typer` (a group of commands). `g6 --help` reads the one-line descriptions from the source text, imports none of
the modules and so stays fast and survives a broken one.
"""

import ast
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from g6_core.adapters.memory import as_process
from g6_core.cli.command import Group, command_group, run
from g6_core.cli.errors import exit_code_of
from g6_core.domain.errors import UserError

GROUP = "g6.commands"
HELP = """\
G6: data and trading for buyers of Indian index options on Zerodha Kite.

A newcomer starts here; no account and no data are needed:

\b
  g6 doctor                                        is this machine ready?
  g6 day --source modelled --data-dir data/first   a whole simulated day
  g6 day --source NIFTY.parquet --data-dir data/r  the same on your recording

Every command has its own --help. Results go to stdout, problems to stderr in one line.

\b
Exit codes:
    0  done                         3  the configuration is wrong
    1  unexpected (G6_DEBUG=1: why) 4  data missing or broken, closed day
    2  wrong usage or input         5  it ran, but a check failed
  130  interrupted
"""


class LazyGroup(Group):
    """A command group whose members are entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, in order."""
        return sorted(commands_by_name())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that carries name and description: enough for `--help` and completion."""
        entry_point = commands_by_name().get(cmd_name)
        if entry_point is None:
            return None
        return TyperCommand(cmd_name, short_help=describe(entry_point), rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command, imported now that it was asked for."""
        entry_point = commands_by_name().get(args[0])
        if entry_point is None:
            return super().resolve_command(ctx, args)
        return entry_point.name, load(entry_point), args[1:]


def commands_by_name() -> dict[str, EntryPoint]:
    """Entry points of the group by command name; where an old installation lists one twice, the first stays."""
    found: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=GROUP):
        found.setdefault(entry_point.name, entry_point)
    return found


def load(entry_point: EntryPoint) -> Any:
    """Import a command.

    Raises:
        UserError: the module cannot be imported or names neither a function nor a Typer app.
    """
    try:
        target = entry_point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        message = f"command '{entry_point.name}' ({entry_point.value}) cannot be loaded: {error}; run `make venv` again"
        raise UserError(message) from error
    if isinstance(target, typer.Typer):
        # get_group, because get_command would melt an app of one command into that command.
        return typer.main.get_group(target)
    if not callable(target):
        raise UserError(f"command '{entry_point.name}' ({entry_point.value}) is neither a function nor a typer.Typer")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(entry_point.name)(target)
    return typer.main.get_command(app)


def describe(entry_point: EntryPoint) -> str:
    """First docstring line of the command's function, else of its module, read without importing the module."""
    try:
        spec = find_spec(entry_point.module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        return f"(not available: {entry_point.module} is not installed)"
    try:
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except SyntaxError as error:
        return f"(not available: {entry_point.module} line {error.lineno} is not Python)"
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point.attr)
    docstring = next((ast.get_docstring(node) for node in functions), None) or ast.get_docstring(tree) or ""
    return docstring.partition("\n")[0]


app = command_group(HELP, LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"g6 {version('g6')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Options before the command; their callbacks have done all there is to do."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's own) and return its exit code."""
    command = typer.main.get_group(app)
    return exit_code_of(lambda: run(command, args))


def script() -> int:
    """Run this process's own command line and return its exit code."""
    return as_process(main)


if __name__ == "__main__":
    sys.exit(script())
