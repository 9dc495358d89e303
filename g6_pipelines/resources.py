"""What assets are handed: configuration, data directory, and the market of a day, wherever that is."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import Settings, check_against_rules, load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError, DataError, G6Error, UserError
from g6_core.domain.ist import ist_date
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    from kiteconnect import KiteConnect

    from g6_core.adapters.broker import BrokerSettings
    from g6_core.adapters.ledger import Ledger
    from g6_core.ports import Clock
    from g6_core.schema.day_pack import DayPack
    from g6_pipelines.report.facts import DayFacts

COLLECTOR = "collector"
PROBE_TIMEOUT_S = 2.0
DEFAULT_SEED = 7
log = logging.getLogger("g6.pipelines")

load_rules = lru_cache(maxsize=4)(load_market_rules)
load_config = lru_cache(maxsize=4)(load_settings)


class Where(StrEnum):
    """Where a day's market is: at Kite, at a running simulated exchange, or modelled in this process."""

    KITE = "kite"
    SERVER = "server"
    IN_PROCESS = "in_process"


@dataclass(frozen=True, slots=True)
class Place:
    """The market of one day. `label` and `seed` say what its quotes are, `spot_kind` what its index row is."""

    where: Where
    day: date
    label: str
    seed: int
    spot_kind: str

    @property
    def has_books(self) -> bool:
        """Whether the broker still keeps the orders and positions of that day."""
        return self.where is not Where.IN_PROCESS


@dataclass(frozen=True, slots=True)
class Market:
    """An open market: the client, and the clock it lives by."""

    kite: "KiteConnect"
    clock: "Clock"


class G6Resource(dg.ConfigurableResource[Any]):
    """Folders of one installation. The broker comes from the environment at run time, secrets included."""

    data_dir: str
    config_dir: str

    @property
    def paths(self) -> DataPaths:
        """Where everything lives."""
        return DataPaths(Path(self.data_dir))

    @property
    def settings(self) -> Settings:
        """The settings of the configuration directory."""
        return load_config(Path(self.config_dir))

    @property
    def rules(self) -> MarketRules:
        """The dated market rules."""
        return load_rules(Path(self.config_dir))

    def ledger(self) -> "Ledger":
        """The opened ledger; close it."""
        from g6_core.adapters.ledger import Ledger

        self.paths.root.mkdir(parents=True, exist_ok=True)
        return Ledger.open(self.paths.ledger)

    def pack(self, day: date) -> "DayPack":
        """The day pack, if it is good. DataError otherwise."""
        from g6_core.adapters.day_pack_store import load_day_pack

        return load_day_pack(self.paths.day_pack(day), day=day, config_sha256=self.settings.config_sha256)

    def facts(self, day: date) -> "DayFacts":
        """What the day has left behind so far, for pictures."""
        from g6_pipelines.report.facts import gather

        with self.ledger() as ledger:
            return gather(self.paths, ledger, self.settings, self.rules, day, {})

    def locate(self, day: date, *, past: bool = False) -> Place:
        """Find the market of a day, without opening it.

        Kite has today only, unless all that is wanted is its `past`: candles of contracts that are still listed. A
        simulated exchange that answers is used for its own day; every other day is modelled in this process. Raises
        UserError when the exchange that G6_SIM_URL names does not answer.
        """
        from g6_core.adapters.broker import Broker, BrokerSettings
        from g6_core.adapters.clock import RealClock

        check_against_rules(self.settings, self.rules, day, self.settings.indices)
        broker = BrokerSettings.from_env()
        if broker.broker is Broker.KITE:
            today = ist_date(RealClock().now_ms())
            if day > today or (day < today and not past):
                raise DataError(
                    f"Kite gives instruments, quotes and books of today ({today}) only, not of {day}; "
                    "choose today's partition, materialise chain_repair for the candles of a past day, or set "
                    "G6_BROKER=sim and another G6_DATA_DIR to model that day"
                )
            return Place(Where.KITE, day, "kite", 0, "index")
        status = _status_of(broker)
        if status is not None and status["date"] == str(day):
            return Place(Where.SERVER, day, status["source"], status["seed"], status["spot_kind"])
        return Place(Where.IN_PROCESS, day, "modelled", self._seed_of(day), "index")

    @contextmanager
    def market(self, place: Place) -> Iterator[Market]:
        """The market of a day. It keeps a participant of simulated time waiting, so leave it soon."""
        from g6_core.adapters.broker import BrokerSettings, open_clock

        if place.where is Where.IN_PROCESS:
            from g6_core.adapters.world import open_world
            from g6_core.sim.modelled import ModelledSource

            source = ModelledSource(tuple(self.settings.indices), place.day, self.rules, place.seed)
            world = open_world(source, self.rules, self.settings, place.seed)
            yield Market(world.kite, world.clock)
            return
        broker = BrokerSettings.from_env()
        with closing(open_clock(broker, COLLECTOR)) as clock:
            yield Market(self.client(place), clock)

    def client(self, place: Place) -> "KiteConnect":
        """The client alone, without taking part in simulated time. The day's market must not be in this process."""
        from g6_core.adapters.broker import Broker, BrokerSettings, open_kite, renew_login

        assert place.has_books, "a day modelled in this process has no books to read"
        broker = BrokerSettings.from_env()
        kite = open_kite(broker)
        if broker.broker is Broker.SIM:
            renew_login(kite, broker, log.warning)
        return kite

    def _seed_of(self, day: date) -> int:
        """G6_SIM_SEED, else the seed that the day was modelled with before, else the default."""
        from g6_core.adapters.world import MODELLED, simulated_days

        given = os.environ.get("G6_SIM_SEED")
        if given:
            if not given.isdecimal():
                raise ConfigError(f"G6_SIM_SEED={given}: not a whole number; write one like {DEFAULT_SEED}")
            return int(given)
        known = simulated_days(self.paths).get(day)
        return known.seed if known is not None and known.source == MODELLED else DEFAULT_SEED


@contextmanager
def one_line() -> Iterator[None]:
    """Errors that somebody can mend fail a step with their one line instead of a bug's traceback.

    Dagster prints the stack of every cause; G6_DEBUG=1 shows them, as on the command line.
    """
    try:
        yield
    except G6Error as error:
        # Without its causes: the UI would show a stack trace for each of them under the line.
        cause = error if os.environ.get("G6_DEBUG") == "1" else None
        raise dg.Failure(str(error), allow_retries=False) from cause


def _status_of(broker: "BrokerSettings") -> dict[str, Any] | None:
    """What the simulated exchange says about itself; None when none runs and none was asked for."""
    from g6_core.adapters.broker import sim_status

    try:
        return sim_status(broker, PROBE_TIMEOUT_S)
    except UserError as error:
        if not os.environ.get("G6_SIM_URL"):
            return None
        raise UserError(f"{error}, or unset G6_SIM_URL to model the day without one") from error
