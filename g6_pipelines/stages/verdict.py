"""The verdict on a day: what its evening found wrong, or did not look at, so that the next one is not armed blindly.

Open minutes are no part of it: they make history poorer, not wrong. `g6 data coverage` and the check of `chain_repair`
say whether a day is complete.
"""

from collections.abc import Iterator
from datetime import date

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.lake import lake_exists
from g6_core.adapters.world import simulated_days
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.errors import CalendarError, DataError
from g6_core.schema.day_pack import DayBefore
from g6_core.schema.paths import DataPaths
from g6_pipelines.stages.reconcile import ORDERS, chain_part, kept_checks

SAID_MAX = 200
# Who collected something so many trading days ago meant to collect yesterday as well.
MEANT_DAYS = 5


def day_before(
    paths: DataPaths, settings: Settings, rules: MarketRules, day: date, *, simulated: bool
) -> DayBefore | None:
    """The trading day before `day` as far as something of it lies there, or, of a real market, should; else None.

    Days of a real and of a simulated market say nothing about each other. DataError when a document is damaged.
    """
    try:
        before = rules.previous_trading_day(day)
    except CalendarError:
        return None
    if (before in simulated_days(paths)) is not simulated:
        return None
    if not _left_something(paths, settings, before) and (simulated or not _was_meant(paths, settings, rules, before)):
        return None
    return DayBefore(before, tuple(problems(paths, settings, before, must_be_compared=not simulated)))


def _left_something(paths: DataPaths, settings: Settings, day: date) -> bool:
    return paths.journal(day).exists() or any(lake_exists(paths.lake(day, name)) for name in settings.indices)


def _was_meant(paths: DataPaths, settings: Settings, rules: MarketRules, day: date) -> bool:
    """Whether something of a real market was collected or traded on one of the last trading days before `day`."""
    simulated = simulated_days(paths)
    for _ in range(MEANT_DAYS):
        try:
            day = rules.previous_trading_day(day)
        except CalendarError:
            return False
        if day not in simulated and _left_something(paths, settings, day):
            return True
    return False


def problems(paths: DataPaths, settings: Settings, day: date, *, must_be_compared: bool) -> Iterator[str]:
    """A line for each part of a day whose comparison failed; and, where it must be, for each that was not made.

    Whoever plays with simulated days may leave one unfinished; of a real one unknown is not good, and a configured
    index of which nothing was collected is named.
    """
    collected = [name for name in settings.indices if lake_exists(paths.lake(day, name))]
    parts = [part for name in collected for part in (name, chain_part(name))]
    parts += [ORDERS] if paths.journal(day).exists() else []
    for part in parts:
        checks = kept_checks(paths, day, part)
        if checks is None:
            if must_be_compared:
                yield f"{part} was not compared, run the evening job of {day}"
            continue
        bad = failed(checks)
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            yield f"{part}: {bad[0].name}: {bad[0].detail}"[:SAID_MAX] + more
    for name in settings.indices if must_be_compared else ():
        if name not in collected:
            yield f"{name}: nothing was collected; find out why, or take the index out of {settings.path.name}"


def packed_problems(paths: DataPaths, settings: Settings, day: date) -> tuple[str, ...]:
    """What the pack of `day` holds against the day before: that may have been mended since, the pack stays as it is."""
    try:
        pack = load_day_pack(paths.day_pack(day), day=day, config_sha256=settings.config_sha256)
    except DataError:
        return ()
    return pack.day_before.problems if pack.day_before is not None else ()
