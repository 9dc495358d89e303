"""One way to measure: contenders take turns on one core, after a warm-up, and the least disturbed round counts."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, metadata
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time. `work` is one round over all `items`; `ours` marks the product's own."""

    name: str
    work: Callable[[], object]
    items: int
    ours: bool = False
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a round: the least and the middle of all rounds."""

    name: str
    ours: bool
    items: int
    rounds: int
    min_s: float
    median_s: float
    facts: Mapping[str, object]

    def as_json(self) -> dict[str, object]:
        """Plain values, the rate at the least disturbed round included."""
        return {
            "name": self.name,
            "ours": self.ours,
            "items": self.items,
            "rounds": self.rounds,
            "min_ms": round(self.min_s * 1e3, 6),
            "median_ms": round(self.median_s * 1e3, 6),
            "items_per_s": round(self.items / self.min_s),
            **self.facts,
        }


@dataclass(slots=True)
class Peers:
    """Imports peers by distribution; one that is not installed is named, never an error."""

    absent: dict[str, str] = field(default_factory=dict)

    def load(self, distribution: str, module: str) -> ModuleType | None:
        """The module, or None where it is not there or does not work here."""
        try:
            return import_module(module)
        except Exception as error:  # noqa: BLE001 - old peers fail on import in their own ways
            self.absent[distribution] = f"{type(error).__name__}: {error}"
            return None


def named(distribution: str) -> str:
    """Name and installed version."""
    return f"{distribution} {metadata.version(distribution)}"


def pin() -> int:
    """Bind the process to its last core, where the machine can do that; returns the core, -1 where it cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return -1
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def race(contenders: Sequence[Contender], rounds: int) -> list[Timing]:
    """Warm everybody up once, then let them take turns; each round begins with the next one in the row."""
    for one in contenders:
        one.work()
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    for number in range(rounds):
        turn = number % len(contenders)
        for one in (*contenders[turn:], *contenders[:turn]):
            start = time.perf_counter()
            one.work()
            seconds[one.name].append(time.perf_counter() - start)
    return [
        Timing(
            one.name,
            one.ours,
            one.items,
            rounds,
            min(seconds[one.name]),
            statistics.median(seconds[one.name]),
            one.facts,
        )
        for one in contenders
    ]


def ratios(timings: Sequence[Timing], against: Sequence[str]) -> dict[str, object]:
    """How many times faster an item of ours is than one of the best of `against`, by least and by middle round."""
    ours = next(one for one in timings if one.ours)
    rivals = [one for one in timings if one.name in against]
    if not rivals:
        return {"against": None, "by_min": None, "by_median": None}
    best = min(rivals, key=lambda one: one.min_s / one.items)
    return {
        "against": best.name,
        "by_min": round(best.min_s / best.items / (ours.min_s / ours.items), 2),
        "by_median": round(best.median_s / best.items / (ours.median_s / ours.items), 2),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Timings as aligned lines for people."""
    own = {"name", "ours", "items", "rounds", "min_ms", "median_ms", "items_per_s"}
    return [
        f"  {'*' if row['ours'] else ' '} {row['name']:40}{row['min_ms']:>10.3f} ms min {row['median_ms']:>9.3f} median"
        f" {row['items_per_s']:>12,} /s" + "".join(f"  {key}={row[key]}" for key in row if key not in own)
        for row in rows
    ]
