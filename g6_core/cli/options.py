"""What several commands read from their options in the same way and refuse in the same words."""

from datetime import date, time

from g6_core.domain.errors import UserError

SPEED_MAX = 100.0


def date_of(text: str) -> date | None:
    """A date, None for no text. Raises UserError."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--date {text}: not a date; write it like 2025-08-29") from None


def clock_time_of(text: str) -> time:
    """A time of day. Raises UserError."""
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise UserError(f"--start {text}: not a time of day; write it like 09:14") from None


def speed_of(speed: float, hint: str = "") -> float:
    """How many times faster than real time. Raises UserError, with the hint at its end."""
    if not 0 < speed <= SPEED_MAX:
        raise UserError(f"--speed {speed:g}: choose more than 0 and at most {SPEED_MAX:g}{hint}")
    return speed
