"""Brings a ledger to this version's schema, and refuses one that a newer version wrote."""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text

from g6_core.adapters.ledger.tables import HEAD, METADATA
from g6_core.domain.errors import DataError

MIGRATIONS = Path(__file__).parent / "migrations"
BASE = "base"
# As Alembic makes it.
_VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def revision(connection: Connection) -> str:
    """The schema revision of a ledger; `base` when it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return BASE
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return BASE if found is None else str(found)


def _make(connection: Connection) -> None:
    """Make the tables of an empty ledger as they are now: what all migrations together come to."""
    METADATA.create_all(connection, checkfirst=False)
    _VERSIONS.create(connection, checkfirst=True)
    connection.execute(_VERSIONS.insert().values(version_num=HEAD))


def migrate(connection: Connection, target: str = HEAD) -> bool:
    """Upgrade or downgrade to `target` inside the connection's transaction; True when anything changed.

    Raises DataError when the ledger's revision is unknown here, which means that a newer version wrote it.
    """
    current = revision(connection)
    if current == target:
        return False
    if (current, target) == (BASE, HEAD):
        _make(connection)
        return True
    # Only an upgrade needs Alembic, whose import costs more than writing a day.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if current != BASE and current not in known:
        url = connection.engine.url.render_as_string()
        if not current.isdecimal():
            raise DataError(f"ledger {url}: holds the tables of another program; give the ledger a database of its own")
        raise DataError(
            f"ledger {url}: schema {current} is newer than this version's {HEAD};"
            " upgrade G6 or use another data directory"
        )
    steps_up = target != BASE and (current == BASE or known.index(target) < known.index(current))
    (command.upgrade if steps_up else command.downgrade)(config, target)
    return True
