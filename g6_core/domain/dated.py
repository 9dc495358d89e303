"""A value that changes on known dates, and the lookup of the one in force on a day."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Generic, TypeVar

from g6_core.domain.errors import CalendarError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeline(Generic[T]):
    """Values with the first day each is valid; a value holds until the next one starts.

    `name` and `file` only serve the error message. `starts` ascends strictly and is as long as `values`.
    """

    name: str
    file: str
    starts: tuple[date, ...]
    values: tuple[T, ...]

    def __post_init__(self) -> None:
        assert len(self.starts) == len(self.values) > 0, f"{self.name}: one start per value"
        assert all(a < b for a, b in pairwise(self.starts)), f"{self.name}: starts ascend"

    def at(self, day: date) -> T:
        """The value in force on `day`; CalendarError before the first one."""
        place = bisect_right(self.starts, day)
        if place == 0:
            raise CalendarError(
                f"{self.name}: no rule covers {day}, the first starts {self.starts[0]}; "
                f"use a later date or add the older rule to {self.file}"
            )
        return self.values[place - 1]
