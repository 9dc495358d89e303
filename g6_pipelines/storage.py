"""Where Dagster keeps runs and events: SQLite in $DAGSTER_HOME, or the Postgres that G6_POSTGRES_URL names.

Without DAGSTER_HOME it is the data directory, where Dagster alone would forget everything when the command ends.

`dagster.yaml` cannot branch, so it names the class here; every process of one environment comes to the same answer.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster._core.storage.base_storage import DagsterStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from g6_core.domain.errors import ConfigError

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from dagster._core.storage.event_log import EventLogStorage
    from dagster._core.storage.runs import RunStorage
    from dagster._core.storage.schedules import ScheduleStorage

URL_VARIABLE = "G6_POSTGRES_URL"
# Dagster's own drivers for Postgres are psycopg2's; which one a bare `postgresql://` means depends on SQLAlchemy.
_SCHEME = "postgresql+psycopg2://"


class EnvironmentStorage(DagsterStorage[Any], ConfigurableClass):
    """The storage that the environment asks for."""

    def __init__(self, kept: DagsterStorage[Any], inst_data: ConfigurableClassData | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept
        self._inst_data = inst_data

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What `dagster.yaml` said."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing is said in `dagster.yaml`: it could hold a password."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Open the storage. Raises ConfigError naming the variable that is wrong or missing."""
        return cls(_storage(os.environ), inst_data)

    def register_instance(self, instance: "DagsterInstance") -> None:
        """Tell the storage whose it is."""
        super().register_instance(instance)
        self._kept.register_instance(instance)

    @property
    def event_log_storage(self) -> "EventLogStorage[Any]":
        """Events of runs and assets."""
        return self._kept.event_log_storage

    @property
    def run_storage(self) -> "RunStorage[Any]":
        """Runs and their tags."""
        return self._kept.run_storage

    @property
    def schedule_storage(self) -> "ScheduleStorage[Any]":
        """Schedules, sensors and their ticks."""
        return self._kept.schedule_storage


def postgres_url(environment: Mapping[str, str]) -> str:
    """The URL of Dagster's database with its driver, "" without one. Raises ConfigError, without the password."""
    given = environment.get(URL_VARIABLE, "").strip()
    if not given:
        return ""
    scheme, separator, rest = given.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg2"):
        raise ConfigError(f"{URL_VARIABLE}: not a URL of Postgres; write postgresql://user:password@host:5432/database")
    return _SCHEME + rest


def _storage(environment: Mapping[str, str]) -> DagsterStorage[Any]:
    if url := postgres_url(environment):
        from dagster_postgres import DagsterPostgresStorage

        return DagsterPostgresStorage(url)
    from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

    home = environment.get("DAGSTER_HOME") or str(Path(environment.get("G6_DATA_DIR") or "data") / "dagster")
    try:
        Path(home).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{home}: {error.strerror or error}; set DAGSTER_HOME to a folder you can write") from error
    return DagsterSqliteStorage.from_local(home)
