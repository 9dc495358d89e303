"""What nearly everything is about: one installation, and a trading day of one index in it. Plain values."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from g6_core.config import Settings
from g6_core.config_schema import IndexSettings
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.ist import SECOND_MS
from g6_core.schema.paths import DataPaths


@dataclass(frozen=True, slots=True)
class Site:
    """One installation: its settings, the dated market rules, and the paths of its data directory."""

    settings: Settings
    rules: MarketRules
    paths: DataPaths

    @property
    def indices(self) -> tuple[str, ...]:
        """The configured indices, in their order."""
        return tuple(self.settings.indices)

    @property
    def interval_ms(self) -> int:
        """How far the cycles of the collection are apart."""
        return self.settings.collection.interval_s * SECOND_MS


@dataclass(frozen=True, slots=True)
class Day:
    """A trading day of one index. Raises CalendarError where it is asked for hours that no rule covers."""

    site: Site = field(hash=False)
    date: dt.date
    index: str

    def __str__(self) -> str:
        """``NIFTY 2026-11-20``."""
        return f"{self.index} {self.date}"

    @property
    def settings(self) -> IndexSettings:
        """What is collected of the index. ConfigError when it is not configured."""
        return self.site.settings.index(self.index)

    @property
    def session(self) -> Session:
        """Hours of the index's options."""
        return self.site.rules.index_session(self.index, self.date)

    @property
    def cycles(self) -> range:
        """When the cycles of the session are due (ms)."""
        return range(self.session.open_ms, self.session.close_ms, self.site.interval_ms)

    @property
    def step_paise(self) -> int:
        """Distance between the strikes near the money."""
        return self.site.rules.strike_step_paise(self.index, self.date)

    def close_ms(self, expiry: dt.date) -> int:
        """When the options with this expiry stop trading on the day."""
        return self.site.rules.index_session(self.index, self.date, expiry).close_ms

    @property
    def lake(self) -> Path:
        """The collected rows: see `DataPaths.lake`."""
        return self.site.paths.lake(self.date, self.index)

    @property
    def answers(self) -> Path:
        """The broker's candles: see `DataPaths.answers`."""
        return self.site.paths.answers(self.date, self.index)

    @property
    def repaired(self) -> Path:
        """The minutes that are not live: see `DataPaths.repaired`."""
        return self.site.paths.repaired(self.date, self.index)

    @property
    def closing(self) -> Path:
        """The closing state: see `DataPaths.closing`."""
        return self.site.paths.closing(self.date, self.index)

    @property
    def expired(self) -> Path:
        """The folder of what expires on the day: see `DataPaths.expired`."""
        return self.site.paths.expired(self.index, self.date)
