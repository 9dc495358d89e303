"""What somebody may have meant by a name that nobody has."""

from collections.abc import Sequence
from difflib import get_close_matches


def nearest(name: str, names: Sequence[str]) -> str:
    """Return the name that was probably meant, "" when none is near."""
    return next(iter(get_close_matches(name.lower(), names, n=1)), "")


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Return ``did you mean command?``, or ``choose one of command, frame`` when no name is near."""
    near = nearest(name, names)
    return f"did you mean {near}?" if near else f"choose one of {', '.join(names)}"
