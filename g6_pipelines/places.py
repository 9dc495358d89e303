"""Where the market of a day is: at Kite, at a running simulated exchange, or modelled in this process."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from g6_core.config import check_against_rules
from g6_core.domain.errors import ConfigError, DataError, UserError
from g6_core.domain.ist import ist_date
from g6_core.schema.day_pack import KITE
from g6_core.schema.paths import DataPaths
from g6_core.site import Site

if TYPE_CHECKING:
    from g6_core.adapters.broker import BrokerSettings
    from g6_core.adapters.kite.client import KiteConnect
    from g6_core.adapters.kite_market import Market

COLLECTOR = "collector"
PROBE_TIMEOUT_S = 2.0
DEFAULT_SEED = 7
log = logging.getLogger("g6.pipelines")


class Where(StrEnum):
    """Where a day's market is: at Kite, at a running simulated exchange, or modelled in this process."""

    KITE = "kite"
    SERVER = "server"
    IN_PROCESS = "in_process"


@dataclass(frozen=True, slots=True)
class Place:
    """The market of one day. `label` and `seed` say what its quotes are, `spot_kind` what its index row is.

    `final_ms` is when a replayed record first shows the state after the close, 0 for every other market.
    """

    where: Where
    day: date
    label: str
    seed: int
    spot_kind: str
    final_ms: int = 0

    @property
    def has_books(self) -> bool:
        """Whether the broker still keeps the orders and positions of that day."""
        return self.where is not Where.IN_PROCESS


@dataclass(frozen=True, slots=True)
class Now:
    """The day and time (ms) of the market that the environment names; a simulated exchange has one day only.

    `final_ms` as in `Place`; `indices` are those that the market has, None when it has all.
    """

    day: date
    time_ms: int
    has_tomorrow: bool
    final_ms: int = 0
    indices: tuple[str, ...] | None = None


def find_place(site: Site, day: date, *, past: bool = False) -> Place:
    """Find the market of a day, without opening it.

    Kite has today only, unless all that is wanted is its `past`: candles of contracts that are still listed. A
    simulated exchange that answers is used for its own day; every other day is modelled in this process. Raises
    UserError when the exchange that G6_SIM_URL names does not answer.
    """
    from g6_core.adapters.broker import Broker, BrokerSettings
    from g6_core.adapters.clock import RealClock

    check_against_rules(site.settings, site.rules, day, site.indices)
    broker = BrokerSettings.from_env()
    if broker.broker is Broker.KITE:
        today = ist_date(RealClock().now_ms())
        if day > today or (day < today and not past):
            raise DataError(
                f"Kite gives instruments, quotes and books of today ({today}) only, not of {day}; "
                "choose today's partition, materialise chain_repair for the candles of a past day, or set "
                "G6_BROKER=sim and another G6_DATA_DIR to model that day"
            )
        return Place(Where.KITE, day, KITE, 0, "index")
    status = _status_of(broker)
    if status is not None and status["date"] == str(day):
        return Place(Where.SERVER, day, status["source"], status["seed"], status["spot_kind"], status["final_ms"])
    return Place(Where.IN_PROCESS, day, "modelled", _seed_of(site.paths, day), "index")


def market_now() -> Now | None:
    """What time it is at Kite or at the simulated exchange; None when no exchange runs and none was asked for.

    Raises UserError when the exchange that G6_SIM_URL names does not answer.
    """
    from g6_core.adapters.broker import Broker, BrokerSettings
    from g6_core.adapters.clock import RealClock

    broker = BrokerSettings.from_env()
    if broker.broker is Broker.KITE:
        now_ms = RealClock().now_ms()
        return Now(ist_date(now_ms), now_ms, True)
    status = _status_of(broker)
    if status is None:
        return None
    day, served = date.fromisoformat(status["date"]), tuple(status["indices"])
    return Now(day, int(status["now_ms"]), False, int(status["final_ms"]), served)


@contextmanager
def open_market(site: Site, place: Place) -> Iterator["Market"]:
    """The market of a day. It keeps a participant of simulated time waiting, so leave it soon."""
    from g6_core.adapters.broker import BrokerSettings, open_line
    from g6_core.adapters.kite_market import Market

    if place.where is Where.IN_PROCESS:
        from g6_core.adapters.in_process import open_world
        from g6_core.sim.modelled import ModelledSource

        source = ModelledSource(site.indices, place.day, site.rules, place.seed)
        world = open_world(source, site.rules, site.settings, place.seed)
        yield Market(world.kite, world.clock)
        return
    broker = BrokerSettings.from_env()
    line = open_line(broker, COLLECTOR)
    with closing(line.clock):
        kite = _renewed(line.kite, broker)
        yield Market(kite, line.clock, line.quotes, line.history, place.spot_kind, place.final_ms)


def open_client(place: Place) -> "KiteConnect":
    """The client alone, without taking part in simulated time. The day's market must not be in this process."""
    from g6_core.adapters.broker import BrokerSettings, open_kite

    assert place.has_books, "a day modelled in this process has no books to read"
    broker = BrokerSettings.from_env()
    return _renewed(open_kite(broker), broker)


def _renewed(kite: "KiteConnect", broker: "BrokerSettings") -> "KiteConnect":
    """The client, which logs in again where nobody has to be asked."""
    from g6_core.adapters.broker import Broker, renew_login

    if broker.broker is Broker.SIM:
        renew_login(kite, broker, log.warning)
    return kite


def _seed_of(paths: DataPaths, day: date) -> int:
    """G6_SIM_SEED, else the seed that the day was modelled with before, else the default."""
    from g6_core.adapters.world import MODELLED, simulated_days

    given = os.environ.get("G6_SIM_SEED")
    if given:
        if not given.isdecimal():
            raise ConfigError(f"G6_SIM_SEED={given}: not a whole number; write one like {DEFAULT_SEED}")
        return int(given)
    known = simulated_days(paths).get(day)
    return known.seed if known is not None and known.source == MODELLED else DEFAULT_SEED


def _status_of(broker: "BrokerSettings") -> dict[str, Any] | None:
    """What the simulated exchange says about itself; None when none runs and none was asked for."""
    from g6_core.adapters.broker import sim_status

    try:
        return sim_status(broker, PROBE_TIMEOUT_S)
    except UserError as error:
        if not os.environ.get("G6_SIM_URL"):
            return None
        raise UserError(f"{error}, or unset G6_SIM_URL to model the day without one") from error
