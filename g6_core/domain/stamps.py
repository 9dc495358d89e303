"""Read a time stamp or a day from text, whoever wrote it: the one reader for every recording and list.

A stamp is a date, a clock to the minute or finer, and perhaps a zone; without a zone it is Indian time. A zone counts
whatever stands before it. The date comes year first, day first, or with the month's name; a month that stands first as
a number is not guessed. `AM` and `PM` belong to a clock of twelve hours. What is only nearly a stamp is none: nothing
is cut off, because a stamp read by half is another moment.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from g6_core.domain.ist import SECOND_MS, at, ist_date, to_ms

# What recorders write for a cell that they have no value for, in lower case.
EMPTY_TEXTS = ("", "-", "nat", "nan", "none", "null")
YEAR_MIN, YEAR_MAX = 1970, 2100
OFFSET_MAX = timedelta(hours=14)
# A day told as a moment without zone: its midnight, or the close of an expiry. Midnight of India is 18:30 in UTC
# and 13:30 in New York, of the day before; so no other clock is taken for the day's own.
DAY_CLOCKS = (time(), time(15, 30))
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_FLAGS = re.ASCII | re.IGNORECASE | re.VERBOSE

_WEEKDAY = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+", _FLAGS)
_DATES = tuple(
    re.compile(form, _FLAGS)
    for form in (
        r"(?P<year>\d{4})(?P<mark>[-/._])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)(?!\d)",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<day>\d\d?)(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<year>\d{4})(?!\d)",
        r"(?P<day>\d\d?)[-/.\ ]?(?P<name>[a-z]{3,9})[-/.,\ ]?\ ?(?P<year>\d{4}|\d\d)(?![\d:])",
        r"(?P<day>\d\d?)/(?P<name>[a-z]{3})/(?P<year>\d{4})(?=:)",
        r"(?P<name>[a-z]{3,9})\.?\ +(?P<day>\d\d?),?\ +(?P<year>\d{4})(?![\d:])",
    )
)
_CLOCK = re.compile(
    r"""(?P<lead>\s*t\s*|,?\s+|_|:|-|)
    (?P<hour>\d\d?)(?P<mark>[:.-]?)(?P<minute>\d\d)
    (?:(?P=mark)(?P<second>\d\d)(?:[.,]\d+|(?<=\d)[:_]\d{3,9}|\d{3}(?:\d{3}){0,2})?)?
    \s*(?P<half>[ap]\.?m\.?)?
    \s*(?:
        (?P<india>\[?asia/(?:kolkata|calcutta)\]?|ist|india\ standard\ time)
        |(?P<utc>z|utc|gmt|etc/utc)?
         (?:(?P<sign>[+\-\u2212])(?P<hours>\d\d?)(?::?(?P<minutes>\d\d))?
            (?:\s*(?:\[[^\]]*\]|\([^)]*\)|(?![ap]m)[a-z]{2,5}))?)?
    )""",
    _FLAGS,
)

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:e\+?\d+)?", _FLAGS)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment that a text tells, to the second, and whether the text told its zone."""

    time_ms: int
    has_zone: bool


def read_stamp(text: str) -> Stamp | None:
    """Return the moment of a text to the second; None for what is no stamp."""
    day, rest, is_compact = _date_first(_plain(text))
    clock = _CLOCK.fullmatch(rest) if day is not None else None
    if day is None or clock is None or not _is_clear(clock, is_compact):
        return None
    hour = _hour(int(clock["hour"]), clock["half"])
    zone = _zone(clock)
    if hour is None or (zone is None and clock["sign"] is not None):
        return None
    try:
        wall = datetime(day.year, day.month, day.day, hour, int(clock["minute"]), int(clock["second"] or 0), 0, zone)
    except ValueError:
        return None
    return Stamp(to_ms(wall) // SECOND_MS * SECOND_MS, zone is not None or clock["india"] is not None)


def read_day(text: str) -> date | None:
    """Return the day of a text, of a moment with a zone the day in India; None for what is no day.

    A moment without zone is a day only with one of `DAY_CLOCKS`.
    """
    day, rest, _ = _date_first(_plain(text))
    if day is not None and not rest:
        return day
    stamp = read_stamp(text)
    if stamp is None:
        return None
    day = ist_date(stamp.time_ms)
    return day if stamp.has_zone or any(stamp.time_ms == at(day, clock) for clock in DAY_CLOCKS) else None


def is_empty(text: str) -> bool:
    """Return True for what a recorder writes where it has no value."""
    return text.strip().lower() in EMPTY_TEXTS


def is_number(text: str) -> bool:
    """Return True for a number, perhaps a count since 1970: its unit is not in it."""
    return _NUMBER.fullmatch(text.strip()) is not None


def _plain(text: str) -> str:
    """One kind of blank, none at the ends: some clocks put a narrow one before PM."""
    return " ".join(text.split())


def _date_first(text: str) -> tuple[date | None, str, bool]:
    """The date that a text begins with, what is left of it, and whether the date has no marks."""
    weekday = _WEEKDAY.match(text)
    text = text[weekday.end() :] if weekday else text
    for place, form in enumerate(_DATES):
        found = form.match(text)
        day = _date_of(found.groupdict()) if found else None
        if found and day is not None:
            return day, text[found.end() :], place == 1
    return None, text, False


def _date_of(parts: dict[str, str | None]) -> date | None:
    year, name = int(parts["year"] or 0), (parts.get("name") or "").lower()
    if name:
        month = next((number for number, full in enumerate(_MONTHS, 1) if name in (full, full[:3], full[:4])), 0)
        # NSE writes two digits of the year beside a month's name.
        year += 2000 if year < 100 else 0
    else:
        month = int(parts["month"] or 0)
    try:
        day = date(year, month, int(parts["day"] or 0))
    except ValueError:
        return None
    return day if YEAR_MIN <= year <= YEAR_MAX else None


def _is_clear(clock: re.Match[str], is_compact: bool) -> bool:
    """True where date and clock can be told apart, and two digits are two digits."""
    no_mark = not clock["mark"]
    if no_mark and len(clock["hour"]) == 1:
        return False
    match clock["lead"]:
        case "":
            return is_compact and no_mark
        case "-":
            return is_compact or (clock["mark"] == "-" and clock["second"] is not None)
        case _:
            return True


def _hour(hour: int, half: str | None) -> int | None:
    """The hour of a day; None where a clock of twelve hours shows another one."""
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        return None
    return hour % 12 + (12 if half[0].lower() == "p" else 0)


def _zone(clock: re.Match[str]) -> timezone | None:
    """The zone of a stamp; None for India and for what is no offset."""
    if clock["sign"] is None:
        return UTC if clock["utc"] else None
    offset = timedelta(hours=int(clock["hours"]), minutes=int(clock["minutes"] or 0))
    if offset > OFFSET_MAX or int(clock["minutes"] or 0) >= 60:
        return None
    return timezone(offset if clock["sign"] == "+" else -offset)
