"""The sinks that the configuration turns on. What they need is loaded only then."""

from collections.abc import Sequence
from datetime import date

from g6_core.config import Settings
from g6_core.ports import Clock
from g6_core.schema.paths import DataPaths
from g6_pipelines.sinks.following import Sink, Sinks

# A request that a collection makes must not keep the process from ending.
QUERY_TIMEOUT_S = 10.0


def open_sinks(settings: Settings, clock: Clock, paths: DataPaths, day: date, underlyings: Sequence[str]) -> Sinks:
    """The copies to keep of these lakes, none by default. Close them."""
    sinks: list[Sink] = []
    if settings.influx is not None:
        from g6_core.adapters.influx import Influx, InfluxTarget
        from g6_pipelines.sinks.influx import InfluxSink

        influx = Influx(InfluxTarget.of(settings.influx), query_timeout_s=QUERY_TIMEOUT_S)
        sinks.append(InfluxSink(influx, clock, paths, day, underlyings, source_of(paths, day)))
    return Sinks(sinks)


def source_of(paths: DataPaths, day: date) -> str:
    """What the tag `source` says of a day: kite or simulated."""
    from g6_core.adapters.world import simulated_days

    return "simulated" if day in simulated_days(paths) else "kite"
