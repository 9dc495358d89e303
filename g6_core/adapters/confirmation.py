"""A person's word that the exchange trades on a provisional day; nothing is armed on such a day without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.hints import command
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.schema.paths import DataPaths

TYPED = "typed by a person"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Which day was confirmed, by whom and when (UTC text)."""

    day: date
    by: str
    confirmed_at: str


def confirm_day(paths: DataPaths, confirmation: Confirmation) -> None:
    """Write the confirmation of a day. DataError when the directory cannot be written."""
    write_atomic(paths.confirmation(confirmation.day), canonical_json(confirmation) + b"\n")


def confirm_simulated(paths: DataPaths, rules: MarketRules, day: date, confirmed_at: str) -> None:
    """Write that a provisional day is traded because a simulated exchange serves it; nothing for a known day."""
    if rules.provisional(day):
        confirm_day(paths, Confirmation(day, "the simulated exchange serves this day", confirmed_at))


def confirmed(paths: DataPaths, day: date) -> Confirmation | None:
    """Return the confirmation of a day; None without one. DataError when the document is damaged."""
    path = paths.confirmation(day)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Confirmation)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it and confirm the day again") from error
    return found if found.day == day else None


def unconfirmed(paths: DataPaths, day: date, provisional: str, *, typed: bool = False) -> Sequence[str]:
    """Return why `day` must not be armed: it is `provisional` ("" for a known day) and nobody has confirmed it.

    Where it must be `typed`, a simulated exchange's word does not count. Looked at when it is needed, so that a
    person's word counts at once.
    """
    if not provisional:
        return ()
    try:
        found = confirmed(paths, day)
    except DataError as error:
        return (str(error),)
    if found is not None and (found.by == TYPED or not typed):
        return ()
    word = command("stream", "confirm", day, "--data-dir", paths.root)
    return (f"{provisional}; or look whether the exchange trades and confirm this day: {word}",)
