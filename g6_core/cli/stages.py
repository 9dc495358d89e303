"""The stages of a day, which the other packages register by name."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from g6_core.domain.errors import UserError


def stage(name: str) -> Callable[..., Any]:
    """A stage of the day by name, from the entry-point group `g6.stages`."""
    found = [one for one in entry_points(group="g6.stages") if one.name == name]
    if not found:
        raise UserError(f"stage '{name}' is not installed; run `make venv` again")
    return found[0].load()  # type: ignore[no-any-return]
