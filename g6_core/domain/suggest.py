"""What somebody may have meant by a name that nobody has."""

from collections.abc import Sequence
from difflib import get_close_matches


def nearest(name: str, names: Sequence[str]) -> str:
    """Return the name that was probably meant, "" when none is near; capitals make no difference."""
    by_lower = {one.lower(): one for one in names}
    near = get_close_matches(name.lower(), list(by_lower), n=1)
    return by_lower[near[0]] if near else ""


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Return ``did you mean command?``, or ``choose one of command, frame`` when no name is near."""
    near = nearest(name, names)
    return f"did you mean {near}?" if near else f"choose one of {', '.join(names)}"
