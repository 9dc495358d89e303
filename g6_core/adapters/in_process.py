"""A simulated trading day in this process: the exchange behind the real client."""

from dataclasses import dataclass

from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite.transport import connect
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.source import MarketSource

BEFORE_OPEN_MS = 30 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class World:
    """A market to trade in, its exchange, and the one clock they share with everybody in the process.

    `final_ms` is when a recorded market first shows the state after the close, 0 for every other.
    """

    source: MarketSource
    clock: VirtualClock
    exchange: Exchange
    kite: KiteConnect
    spot_kind: str
    final_ms: int


def open_world(source: MarketSource, rules: MarketRules, settings: Settings, seed: int) -> World:
    """The world half an hour before the open."""
    clock = VirtualClock(source.session.open_ms - BEFORE_OPEN_MS)
    exchange = Exchange(
        source,
        rules,
        clock,
        seed=seed,
        cash_paise=settings.capital_paise,
        order_latency_ms=settings.simulation.order_latency_ms,
        latency_jitter_ms=settings.simulation.latency_jitter_ms,
    )
    kind, final_ms = getattr(source, "spot_kind", "index"), getattr(source, "final_ms", 0)
    return World(source, clock, exchange, connect(exchange), kind, final_ms)
