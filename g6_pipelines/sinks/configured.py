"""The sinks that the configuration turns on. What they need is loaded only then."""

from collections.abc import Sequence
from datetime import date

from g6_core.ports import Clock
from g6_core.site import Day, Site
from g6_pipelines.sinks.following import Sink, Sinks

# A request that a collection makes must not keep the process from ending.
QUERY_TIMEOUT_S = 10.0


def open_sinks(site: Site, clock: Clock, day: date, underlyings: Sequence[str]) -> Sinks:
    """The copies to keep of these lakes, none by default. Close them."""
    sinks: list[Sink] = []
    if site.settings.influx is not None:
        from g6_core.adapters.influx import Influx, InfluxTarget
        from g6_pipelines.sinks.influx import InfluxSink

        influx = Influx(InfluxTarget.of(site.settings.influx), query_timeout_s=QUERY_TIMEOUT_S)
        sinks.append(InfluxSink(influx, clock, [Day(site, day, name) for name in dict.fromkeys(underlyings)]))
    return Sinks(sinks)
