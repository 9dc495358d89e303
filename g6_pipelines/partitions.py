"""Partitions by trading day (India) and index: holidays and weekends are none, special sessions are.

`G6_FIRST_DAY`, `G6_LAST_DAY` and `G6_INDICES` (NIFTY,SENSEX) narrow them to what an installation collects by choice, so
that nothing else is shown as missing. The last day is needed only where no further one will come, as after a demo.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from pathlib import Path

import dagster as dg

from g6_core.adapters.clock import RealClock
from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError
from g6_core.domain.ist import IST, at, ist_date, to_ist

DATE, INDEX = "date", "index"
FIRST_DAY = date(2025, 1, 1)
TIMEZONE = str(IST)
CONFIG_DIR = Path(os.environ.get("G6_CONFIG_DIR") or "config")


def closed_days(rules: MarketRules, first: date, last: date) -> Iterator[date]:
    """Days without a session from `first` to `last`, weekends and fixed holidays beyond the known ones."""
    day = first
    while day <= last:
        if not rules.is_trading_day(day):
            yield day
        day += timedelta(days=1)


def trading_days(
    rules: MarketRules, today: date, first: date = FIRST_DAY, last: date | None = None
) -> dg.DailyPartitionsDefinition:
    """A partition a trading day, today's from midnight on; provisional days too, until the end of next year."""
    last = last or date(today.year + 1, 12, 31)
    return dg.DailyPartitionsDefinition(
        start_date=str(first),
        end_date=str(last + timedelta(days=1)),
        timezone=TIMEZONE,
        # Without it today's partition would not exist before midnight.
        end_offset=1,
        # Days, not a cron of weekends: a special session on a Saturday has to stay.
        exclusions=[to_ist(at(day, time())) for day in closed_days(rules, first, last)],
    )


def chosen_day(environment: Mapping[str, str], name: str) -> date | None:
    """Return the day that a variable names, None without it. Raises ConfigError when it is none."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name}={text}: not a day; write one like 2026-11-19") from None


def chosen_indices(environment: Mapping[str, str], configured: Sequence[str]) -> tuple[str, ...]:
    """Return the indices that G6_INDICES names, in the order of the configuration; all of them without it. Raises
    ConfigError when one is not configured."""
    named = {name.strip() for name in environment.get("G6_INDICES", "").split(",")} - {""}
    if unknown := sorted(named - set(configured)):
        raise ConfigError(f"G6_INDICES: {', '.join(unknown)} not configured; choose from {', '.join(configured)}")
    return tuple(name for name in configured if not named or name in named)


RULES = load_market_rules(CONFIG_DIR)
SETTINGS = load_settings(CONFIG_DIR)
INDICES = chosen_indices(os.environ, tuple(SETTINGS.indices))
DAY_INDEX = dg.MultiPartitionsDefinition(
    {
        DATE: trading_days(
            RULES,
            ist_date(RealClock().now_ms()),
            chosen_day(os.environ, "G6_FIRST_DAY") or FIRST_DAY,
            chosen_day(os.environ, "G6_LAST_DAY"),
        ),
        INDEX: dg.StaticPartitionsDefinition(list(INDICES)),
    }
)


def partition_key(day: date, index: str) -> dg.MultiPartitionKey:
    """``2026-11-20|NIFTY``."""
    return dg.MultiPartitionKey({DATE: str(day), INDEX: index})


def selected(context: dg.AssetExecutionContext) -> dict[date, tuple[str, ...]]:
    """The indices of each day that a run is about: one partition, or a range of days and indices.

    Fails a run about nothing: Dagster takes a range whose end lies before its start for an empty one.
    """
    found = by_day(context.partition_keys)
    if not found:
        raise dg.Failure(
            "the range holds no partition; write it as first day|first index...last day|last index, the indices in the "
            f"order {', '.join(INDICES)}",
            allow_retries=False,
        )
    return found


def by_day(keys: Iterable[str]) -> dict[date, tuple[str, ...]]:
    """The indices of each day in partition keys, in their order."""
    found: dict[date, tuple[str, ...]] = {}
    for text in keys:
        parts = DAY_INDEX.get_partition_key_from_str(text).keys_by_dimension
        day = date.fromisoformat(parts[DATE])
        found[day] = (*found.get(day, ()), parts[INDEX])
    return found
