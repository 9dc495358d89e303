"""What assets are handed: configuration, data directory, and the market of a day, wherever that is."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import load_settings
from g6_core.domain.errors import G6Error
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.partitions import selected
from g6_pipelines.places import Place, find_place, open_client, open_market

if TYPE_CHECKING:
    from kiteconnect import KiteConnect

    from g6_core.adapters.kite_market import Market
    from g6_core.adapters.ledger import Ledger
    from g6_core.schema.day_pack import DayPack
    from g6_pipelines.report.facts import DayFacts

load_rules = lru_cache(maxsize=4)(load_market_rules)
load_config = lru_cache(maxsize=4)(load_settings)


class G6Resource(dg.ConfigurableResource[Any]):
    """Folders of one installation. The broker comes from the environment at run time, secrets included."""

    data_dir: str
    config_dir: str

    @property
    def site(self) -> Site:
        """The installation that lives in these folders."""
        config_dir = Path(self.config_dir)
        return Site(load_config(config_dir), load_rules(config_dir), DataPaths(Path(self.data_dir)))

    def days(self, context: dg.AssetExecutionContext) -> list[Day]:
        """Return the partitions that a run is about, day by day; see `selected`."""
        site = self.site
        return [Day(site, day, name) for day, names in selected(context).items() for name in names]

    def ledger(self) -> "Ledger":
        """The opened ledger; close it."""
        from g6_core.adapters.ledger import Ledger

        paths = self.site.paths
        paths.root.mkdir(parents=True, exist_ok=True)
        return Ledger.of(paths)

    def pack(self, day: date) -> "DayPack":
        """The day pack, if it is good. DataError otherwise."""
        from g6_core.adapters.day_pack_store import load_day_pack

        site = self.site
        return load_day_pack(site.paths.day_pack(day), day=day, config_sha256=site.settings.config_sha256)

    def facts(self, day: date) -> "DayFacts":
        """What the day has left behind so far, for pictures."""
        from g6_pipelines.report.facts import gather

        with self.ledger() as ledger:
            return gather(self.site, ledger, day, {})

    def locate(self, day: date, *, past: bool = False) -> Place:
        """The market of a day, not opened; see `find_place`."""
        return find_place(self.site, day, past=past)

    def market(self, place: Place) -> "AbstractContextManager[Market]":
        """The market of a day. It keeps a participant of simulated time waiting, so leave it soon."""
        return open_market(self.site, place)

    def client(self, place: Place) -> "KiteConnect":
        """The client alone; see `open_client`."""
        return open_client(place)


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
