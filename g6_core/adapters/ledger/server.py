"""What a ledger in PostgreSQL needs beyond plain SQL: limited patience, one writer at a time, to know it is away."""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

POSTGRES = "postgresql"
# The caller may hold a position: nothing about the ledger keeps it longer than this.
PATIENCE_S = 3
# Any number that no other user of the database takes for a lock.
_WRITERS = 0x67_36_6C_67


def engine_options(url: URL) -> dict[str, Any]:
    """Options of the engine. A connection that the server has dropped is noticed before it is used."""
    if url.get_backend_name() != POSTGRES:
        return {}
    timeout_ms = 1000 * PATIENCE_S
    limits = {
        "connect_timeout": PATIENCE_S,
        "tcp_user_timeout": timeout_ms,
        "options": f"-c lock_timeout={timeout_ms}",
    }
    # What the URL says goes first.
    limits = {name: limit for name, limit in limits.items() if name not in url.query}
    return {"pool_pre_ping": True, "connect_args": limits}


def prepare(engine: Engine) -> None:
    """Let writers wait for each other, as they do in SQLite."""
    if engine.dialect.name == POSTGRES:
        event.listen(engine, "begin", _one_writer)


def is_away(engine: Engine, error: DBAPIError) -> bool:
    """Whether the server, not what was asked of it, is the trouble."""
    if engine.dialect.name == "sqlite":
        return False
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _one_writer(connection: Connection) -> None:
    # A writer reads first; without the lock a second one could slip in between, or migrate at the same time.
    if connection.get_execution_options().get("g6_write", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
