"""Options that several commands have, read in the same way and refused in the same words."""

import re
from datetime import date, time
from typing import Any

import typer

from g6_core.domain.errors import UserError

SPEED_MAX = 100.0
# Hours and minutes, seconds if you like: what means nothing else elsewhere.
CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")


def read_date(text: str | date) -> date:
    """Return a date. Raises ValueError saying how one is written."""
    if isinstance(text, date):
        return text
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    # Week dates and dates without hyphens are dates to Python only.
    if found is None or str(found) != text:
        raise ValueError("not a date; write it like 2025-08-29")
    return found


def read_clock_time(text: str | time) -> time:
    """Return a time of day. Raises ValueError saying how one is written."""
    if isinstance(text, time):
        return text
    if CLOCK_TIME.fullmatch(text) is None:
        raise ValueError("not a time of day; write it like 09:14")
    return time.fromisoformat(text)


def date_option(help: str, name: str = "--date") -> Any:  # noqa: A002 - as Typer calls it
    """Return an option that takes a date."""
    return typer.Option(name, parser=read_date, metavar="YYYY-MM-DD", help=help)


def start_option(help: str) -> Any:  # noqa: A002
    """Return `--start`, a time of day in India, with this help."""
    return typer.Option("--start", parser=read_clock_time, metavar="HH:MM", help=help)


def speed_of(speed: float, hint: str = "") -> float:
    """Return how many times faster than real time. Raises UserError, with the hint at its end."""
    if not 0 < speed <= SPEED_MAX:
        raise UserError(f"--speed {speed:g}: choose more than 0 and at most {SPEED_MAX:g}{hint}")
    return speed
