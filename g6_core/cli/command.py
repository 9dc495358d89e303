"""One style for every command: whole sentences on the help pages, and one line with the fix for wrong usage.

Typer answers wrong usage with three lines and a library's words ("Input should be a valid integer"). Here the line says
what was written, what it should look like, and which command explains it.
"""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from g6_core.cli.errors import ExitCode
from g6_core.domain.errors import UserError
from g6_core.domain.suggest import nearest

_EXTRA = re.compile(r"unexpected extra argument\S* \((.*)\)")
# What a value of each kind looks like; the kinds are those of pydantic, which Typer reads values with.
_SHOULD_BE = {
    "int_parsing": "not a whole number; write it like 7",
    "int_from_float": "not a whole number; write it like 7",
    "int_parsing_size": "not a whole number of a usual size; write it like 7",
    "float_parsing": "not a number; write it like 2.5",
    "finite_number": "not a number; write it like 2.5",
}


class Group(TyperGroup):
    """A group of commands: bare, it shows its help; an unknown command is one line with the nearest name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command's name."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and its arguments. Raises UserError for a command that there is not."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            path, names = ctx.command_path, self.list_commands(ctx)
            near = nearest(args[0], names)
            fix = f"did you mean `{path} {near}`?" if near else f"choose one of {', '.join(names)}"
            raise UserError(f"{path} {args[0]}: no such command; {fix}".removeprefix("g6 "))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write every command with the whole first sentence of its help."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, first_sentence(one.short_help or one.help or "")) for name, one in commands if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def command_group(purpose: str | None, cls: type[Group] = Group, **more: Any) -> typer.Typer:
    """Return a group of commands in the house's style; `purpose` is its help, the docstring of its module."""
    return typer.Typer(cls=cls, help=purpose, no_args_is_help=True, add_completion=False, rich_markup_mode=None, **more)


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text, on one line and never cut."""
    words = text.partition("\n\n")[0].split()
    ends = (place for place, word in enumerate(words) if word.endswith(".") and word != "...")
    return " ".join(words[: next(ends, len(words)) + 1])


def run(command: Any, args: Sequence[str] | None) -> None:
    """Run a command line to its end; `args` None is this process's own.

    Raises SystemExit with the command's exit code unless that is 0, UserError for wrong usage.
    """
    try:
        code = command.main(args=args, prog_name="g6", standalone_mode=False)
    except typer.TyperException as error:
        raise UserError(usage_line(error)) from error
    except typer.Abort:
        raise UserError("no answer came, so nothing was done") from None
    if isinstance(code, int) and code:
        sys.exit(code)


def usage_line(error: Any) -> str:
    """Return wrong usage as one line: what was written, what it should be, which help page says more."""
    context: Any = getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    path = context.command_path if context is not None else "g6"
    given, more = path.removeprefix("g6").strip(), f"`{path} --help` says more"
    if parameter is not None:
        refused = _refused_value(error)
        if refused is None:
            return f"{given}: {_name_of(parameter)} is missing; {more}"
        value, problem = refused
        return f"{_given_by(parameter, value)}: {problem}"
    wrong = getattr(error, "option_name", None)
    if wrong is not None and context is None:
        return f"{wrong}: its value is missing; write it behind the option"
    if wrong is not None:
        known = [name for one in context.command.get_params(context) for name in one.opts]
        near = nearest(wrong, known)
        return f"{given} {wrong}: no such option; {f'did you mean {near}?' if near else more}".lstrip()
    message = " ".join(error.format_message().split()).rstrip(".")
    if extra := _EXTRA.search(message):
        message = f"nothing is known about {extra[1]!r}"
    return f"{given}: {message[:1].lower()}{message[1:]}; {more}".removeprefix(": ")


def _refused_value(error: Any) -> tuple[object, str] | None:
    """The value that was refused and why, in our words; None when there is no value at all."""
    cause = error.__cause__
    if cause is None or not hasattr(cause, "errors"):
        return None if hasattr(error, "param_type") else ("", str(error.format_message()))
    found = cause.errors()[0]
    if "error" in found.get("ctx", {}):
        # One of our own readers (`options`) said why.
        return found["input"], str(found["ctx"]["error"])
    low, high = error.param.min, error.param.max
    if found["type"] in ("greater_than_equal", "less_than_equal"):
        span = (
            f"{low} to {high}" if None not in (low, high) else f"at least {low}" if high is None else f"at most {high}"
        )
        return found["input"], f"choose {span}"
    return found["input"], _SHOULD_BE.get(found["type"], str(found["msg"]))


def _name_of(parameter: Any) -> str:
    return parameter.opts[0] if parameter.param_type_name == "option" else f"<{parameter.name}>"


def _given_by(parameter: Any, value: object) -> str:
    """``--port 99999``, or the environment variable where the value comes from there."""
    variable = parameter.envvar
    if isinstance(variable, str) and os.environ.get(variable) == value:
        return f"{variable}={value}"
    return f"{_name_of(parameter)} {value}"
