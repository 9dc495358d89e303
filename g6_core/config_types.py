"""Value types of the configuration files: strict numbers, percentages, times of day, dates."""

import re
from datetime import date, time
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def refuse(problem: str, fix: str, key: str = "") -> NoReturn:
    """Refuse a value inside a validator; `key` names the offending key below the one being validated."""
    context = {"problem": problem, "fix": fix, **({"key": key} if key else {})}
    raise PydanticCustomError("rule", "{problem}", context)


def _clock(value: Any) -> time:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        refuse(f"{value!r} is not a time of day", 'write it in quotes as "HH:MM", IST')
    return time(int(match[1]), int(match[2]), int(match[3] or 0))


def _of_day_ms(value: Any) -> int:
    moment = _clock(value)
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1000


def _day(value: Any) -> date:
    if type(value) is not date:
        refuse(f"{value!r} is not a date", "write it as 2025-08-29, without quotes")
    return value


class Strictly(BaseModel):
    """Base of all configuration models: frozen, unknown keys are errors, no infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Int = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), Field(min_length=1)]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1)]
ClockTime = Annotated[time, BeforeValidator(_clock)]
TimeOfDayMs = Annotated[int, BeforeValidator(_of_day_ms)]
Day = Annotated[date, BeforeValidator(_day)]
