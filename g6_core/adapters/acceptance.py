"""A person's word that a day with failed checks may be followed by trading; and whether it was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.hints import command
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import DayPack
from g6_core.schema.paths import DataPaths


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What was accepted, why and when (UTC text)."""

    day: date
    problems: tuple[str, ...]
    why: str
    accepted_at: str


def accept(paths: DataPaths, acceptance: Acceptance) -> None:
    """Keep it. DataError when the directory cannot be written."""
    write_atomic(paths.acceptance(acceptance.day), canonical_json(acceptance) + b"\n")


def accepted(paths: DataPaths, day: date) -> Acceptance | None:
    """What was accepted of a day; None when nothing was. DataError when the document is damaged."""
    path = paths.acceptance(day)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Acceptance)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it and accept the day again") from error


def held_back(paths: DataPaths, pack: DayPack) -> Sequence[str]:
    """Why the day of a pack must not be armed: what the day before left behind and nobody has accepted.

    Looked at when it is needed, so that a person's word counts at once. A word about other problems does not count.
    """
    before = pack.day_before
    if before is None or not before.problems:
        return ()
    try:
        given = accepted(paths, before.day)
    except DataError as error:
        return (str(error),)
    if given is not None and set(before.problems) <= set(given.problems):
        return ()
    word = command("data", "accept", "--date", before.day, "--data-dir", paths.root, "--why", "...")
    fix = f"mend it, or: {word}"
    return (f"the evening of {before.day} found: {'; '.join(before.problems)} ({fix})",)
