"""What assets are handed: the installation, the partitions of a run, and what a day has left behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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

if TYPE_CHECKING:
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


def open_ledger(site: Site) -> "Ledger":
    """Return the opened ledger; close it."""
    from g6_core.adapters.ledger import Ledger

    site.paths.root.mkdir(parents=True, exist_ok=True)
    return Ledger.of(site.paths)


def pack_of(site: Site, day: date) -> "DayPack":
    """Return the day pack, if it is good. DataError otherwise."""
    from g6_core.adapters.day_pack_store import load_day_pack

    return load_day_pack(site.paths.day_pack(day), day=day, config_sha256=site.settings.config_sha256)


def facts_of(site: Site, day: date) -> "DayFacts":
    """Return what the day has left behind so far, for pictures."""
    from g6_pipelines.report.facts import gather

    with open_ledger(site) as ledger:
        return gather(site, ledger, day, {})


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
