"""Indian Standard Time, the only module that knows about time zones.

Everything stored is UTC (text ends in ``Z``); everything shown to people is IST.
Times inside G6 are integers: milliseconds since the Unix epoch, UTC (``*_ms``). India has kept one offset since 1945,
so they are reckoned with it: looking it up for every moment costs several times as much.
"""

from datetime import UTC, date, datetime, time, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

import pytz

IST = pytz.timezone("Asia/Kolkata")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_MS = 1_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000
IST_OFFSET_MS = 19_800_000
_OFFSET = timezone(timedelta(milliseconds=IST_OFFSET_MS))


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch; a naive datetime is read as IST (Kite's convention)."""
    aware = moment.replace(tzinfo=_OFFSET) if moment.tzinfo is None else moment
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def at(day: date, clock_time: time) -> int:
    """`clock_time` IST on `day`, in milliseconds since the epoch."""
    return to_ms(datetime.combine(day, clock_time))


def to_ist(time_ms: int) -> datetime:
    """Aware IST datetime of a stamp."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(_OFFSET)


def ist_date(time_ms: int) -> date:
    """Calendar day in India of a stamp."""
    return to_ist(time_ms).date()


def utc_text(time_ms: int) -> str:
    """``2025-08-29T03:54:16Z``; milliseconds are written only when there are any."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time_ms % 1000:03d}Z" if time_ms % 1000 else f"{text}Z"


# Every answer carries one, and many are of the same second.
@lru_cache(maxsize=64)
def http_date(time_ms: int) -> str:
    """``Fri, 29 Aug 2025 03:54:16 GMT``: how HTTP says when an answer was made."""
    return format_datetime(_EPOCH + timedelta(milliseconds=time_ms), usegmt=True)


@lru_cache(maxsize=64)
def from_http_date(text: str) -> int:
    """Milliseconds since the epoch of an HTTP date, whole seconds. Raises ValueError."""
    moment = parsedate_to_datetime(text)
    return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def ist_text(time_ms: int) -> str:
    """``2025-08-29 09:24:16``: wall clock in India, as Kite writes it in JSON."""
    return to_ist(time_ms).strftime("%Y-%m-%d %H:%M:%S")


def ist_clock(time_ms: int) -> str:
    """``09:24:16``, for people."""
    return to_ist(time_ms).strftime("%H:%M:%S")
