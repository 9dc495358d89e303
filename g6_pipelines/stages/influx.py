"""Catches the copy of a day in InfluxDB up from its lakes: after an outage, or when it is turned on late."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from g6_core.adapters.influx import Influx, InfluxTarget
from g6_core.config import Settings
from g6_core.domain.errors import ConfigError
from g6_core.site import Day, Site
from g6_pipelines.sinks.influx_copy import InfluxCopy

# A collection that has just ended may still be at its last request.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """One index: rows of its lake that InfluxDB has now, and how many of them were sent just now.

    Save `skipped` points, none newer than `beyond_ms`, which are older than what the bucket keeps.
    """

    underlying: str
    rows: int
    sent: int
    skipped: int = 0
    beyond_ms: int = 0


def catch_up_influx(site: Site, day: date, underlyings: Sequence[str], *, again: bool = False) -> tuple[CaughtUp, ...]:
    """Send what InfluxDB lacks of a day; with `again` everything, after removing what is there.

    An index without a lake has nothing to send. Raises ConfigError when Influx is off or refuses, StoreDown when it is
    away, DataError when another process is at it or a lake cannot be read.
    """
    with _opened(site.settings) as influx:
        return tuple(_caught_up(influx, Day(site, day, name), again) for name in dict.fromkeys(underlyings))


def _opened(settings: Settings) -> Influx:
    if settings.influx is None:
        raise ConfigError(f"{settings.path}: influx.enabled: is not true; turn it on to copy anything to InfluxDB")
    return Influx(InfluxTarget.of(settings.influx))


def _caught_up(influx: Influx, day: Day, again: bool) -> CaughtUp:
    with InfluxCopy(influx, day, patience_s=PATIENCE_S) as copy:
        if again:
            copy.forget()
        sent = sum(copy.requests())
        kept = copy.position
        return CaughtUp(day.index, kept.rows, sent, kept.skipped, kept.beyond_ms)
