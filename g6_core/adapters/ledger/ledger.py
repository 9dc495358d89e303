"""The ledger: every signal, decision, order, fill and trade, kept in SQL behind a few typed calls."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, bindparam, create_engine, delete, event, func, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, InterfaceError, NoSuchModuleError

from g6_core.adapters.closeable import Closeable
from g6_core.adapters.ledger import rows, server, tables
from g6_core.adapters.ledger.migrate import migrate, revision
from g6_core.adapters.ledger.rows import AuditEntry, DayLedger, Row
from g6_core.domain.errors import DataError, StoreDown
from g6_core.domain.instruments import Instrument
from g6_core.domain.records import Record, TradeRecord
from g6_core.schema.paths import DataPaths

URL_VARIABLE = "G6_LEDGER_URL"
_CHUNK = 500
_BUSY_MS = 5_000
_FIXES = {
    "not a database": "it is not a ledger; restore it from a backup or move it away",
    "malformed": "the file is damaged; restore it from a backup or move it away and rebuild it from the journal",
    "locked": "another process is writing to it; let that one finish",
    "readonly": "make the file and its folder writable",
    "unable to open": "make its folder exist and be writable",
    "full": "free some disk space",
}


def _url(path_or_url: Path | str) -> str:
    return path_or_url if isinstance(path_or_url, str) and "://" in path_or_url else f"sqlite:///{path_or_url}"


class Ledger(Closeable):
    """One open ledger. Writes are single transactions.

    All methods raise DataError when the store is unusable, and StoreDown when it is a server that is away: everything
    is in the journal, so the call may be repeated later.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def of(cls, paths: DataPaths) -> Self:
        """Open the ledger of an installation: what G6_LEDGER_URL names, else the file in its data directory."""
        return cls.open(os.environ.get(URL_VARIABLE) or paths.ledger)

    @staticmethod
    def exists(paths: DataPaths) -> bool:
        """Whether the installation has a ledger yet; one that G6_LEDGER_URL names is taken to be there."""
        return bool(os.environ.get(URL_VARIABLE)) or paths.ledger.exists()

    @classmethod
    def open(cls, path_or_url: Path | str) -> Self:
        """Open or create a ledger and bring it to this version's schema.

        A path means SQLite (write-ahead log, every commit on disk before it returns), a URL any database that
        SQLAlchemy knows. A damaged file, a database of something else and a ledger written by a newer version are
        refused with a DataError.
        """
        ledger = cls(_engine(_url(path_or_url)))
        try:
            with ledger._transaction(write=False) as connection:
                current = revision(connection)
            if current != tables.HEAD:
                ledger.migrate(tables.HEAD)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Give the connections back; SQLite folds its write-ahead log into the file."""
        self._engine.dispose()

    def migrate(self, target: str) -> bool:
        """Move the schema to a revision, up or down (`base` empties the ledger); True when anything changed."""
        with self._transaction(write=True) as connection:
            return migrate(connection, target)

    def revision(self) -> str:
        """The schema revision in the store."""
        with self._transaction(write=False) as connection:
            return revision(connection)

    def write(self, records: Sequence[Record]) -> int:
        """Keep records, all or none; the number of rows that changed (0 when everything was known already).

        Orders and trades are states: the newest wins and an older one changes nothing. Everything else is a
        fact: writing it again is fine, another fact under the same key is a DataError.
        """
        return self._store([pair for record in records for pair in rows.rows_of(record)])

    def write_instruments(self, day: date, instruments: Iterable[Instrument]) -> int:
        """Keep the instruments of a day that the other tables refer to."""
        return self._store([(tables.INSTRUMENTS, rows.instrument_row(day, row)) for row in instruments])

    def audit(self, entry: AuditEntry) -> int:
        """Keep who did what; the newest detail of the same moment, actor and action wins."""
        return self._store([(tables.AUDIT_LOG, rows.audit_row(entry))])

    def clear_day(self, day: date) -> int:
        """Forget one day, so that a simulated day can be run again; the number of rows that went."""
        with self._transaction(write=True) as connection:
            return sum(
                connection.execute(delete(table).where(table.c.day == day.isoformat())).rowcount
                for table in tables.METADATA.tables.values()
            )

    def days(self) -> tuple[date, ...]:
        """Days with at least one decision or trade, ascending."""
        found: set[str] = set()
        with self._transaction(write=False) as connection:
            for table in (tables.DECISIONS, tables.TRADES):
                found.update(connection.execute(select(table.c.day).distinct()).scalars())
        return tuple(date.fromisoformat(day) for day in sorted(found))

    def day(self, day: date) -> DayLedger:
        """Everything of one day as typed records, ordered by time and key."""
        read = {name: self.table(name, day) for name in tables.METADATA.tables}
        verdicts: dict[str, list[Row]] = {}
        for row in read["verdicts"]:
            verdicts.setdefault(row["decision_id"], []).append(row)
        return DayLedger(
            day=day,
            signals=tuple(rows.signal_of(row) for row in read["signals"]),
            decisions=tuple(
                rows.decision_of(row, tuple(rows.verdict_of(each) for each in verdicts.get(row["decision_id"], ())))
                for row in read["decisions"]
            ),
            orders=tuple(rows.order_of(row) for row in read["orders"]),
            fills=tuple(rows.fill_of(row) for row in read["fills"]),
            trades=tuple(rows.trade_of(row) for row in read["trades"]),
            risk_events=tuple(rows.risk_event_of(row) for row in read["risk_events"]),
            instruments=tuple(rows.instrument_of(row) for row in read["instruments"]),
            audit=tuple(rows.audit_of(row) for row in read["audit_log"]),
        )

    def strategy_trades(self, until: date) -> tuple[tuple[str, TradeRecord], ...]:
        """(strategy, trade) of all days up to and with `until`, by entry; the strategy is that of the signal.

        A trade whose decision or signal is not in the ledger has the strategy "" (the caller decides).
        """
        joined = tables.TRADES.outerjoin(
            tables.DECISIONS, tables.DECISIONS.c.decision_id == tables.TRADES.c.decision_id
        ).outerjoin(tables.SIGNALS, tables.SIGNALS.c.signal_id == tables.DECISIONS.c.signal_id)
        query = (
            select(tables.SIGNALS.c.strategy, *tables.TRADES.c)
            .select_from(joined)
            .where(tables.TRADES.c.day <= until.isoformat())
        )
        with self._transaction(write=False) as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        found.sort(key=lambda row: (row["entry_ms"], row["trade_id"]))
        return tuple((row.pop("strategy") or "", rows.trade_of(row)) for row in found)

    def signal_counts(self, until: date) -> dict[tuple[str, str], int]:
        """Number of signals per (underlying, strategy) over all days up to and with `until`."""
        table = tables.SIGNALS
        query = (
            select(table.c.underlying, table.c.strategy, func.count())
            .where(table.c.day <= until.isoformat())
            .group_by(table.c.underlying, table.c.strategy)
        )
        with self._transaction(write=False) as connection:
            found = sorted(tuple(row) for row in connection.execute(query))
        return {(underlying, strategy): count for underlying, strategy, count in found}

    def decision_days(self, until: date) -> dict[str, int]:
        """Number of days with a decision, per underlying, up to and with `until`."""
        table = tables.DECISIONS
        query = (
            select(table.c.underlying, func.count(table.c.day.distinct()))
            .where(table.c.day <= until.isoformat())
            .group_by(table.c.underlying)
        )
        with self._transaction(write=False) as connection:
            return dict(sorted(connection.execute(query).tuples().all()))

    def table(self, name: str, day: date | None = None) -> list[Row]:
        """Rows of a table in their fixed order, of one day or of all days."""
        table = tables.METADATA.tables[name]
        query = select(table) if day is None else select(table).where(table.c.day == day.isoformat())
        with self._transaction(write=False) as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        # Sorted here: how a database orders text is a matter of its locale.
        order = itemgetter("day", *tables.ORDER_BY[name])
        return sorted(found, key=order)

    def _store(self, pairs: Sequence[tuple[Table, Row]]) -> int:
        by_table: dict[str, list[Row]] = {}
        for table, row in pairs:
            by_table.setdefault(table.name, []).append(row)
        if not by_table:
            return 0
        with self._transaction(write=True) as connection:
            return sum(
                _merge(connection, tables.METADATA.tables[name], table_rows) for name, table_rows in by_table.items()
            )

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                prepared = connection.execution_options(g6_write=write)
                with prepared.begin():
                    yield prepared
        except IntegrityError:
            raise  # a broken promise of ours, not of the store
        except (DatabaseError, InterfaceError) as error:
            url = self._engine.url.render_as_string()
            said = " ".join(str(error.orig).split())
            if server.is_away(self._engine, error):
                raise StoreDown(f"ledger {url}: {said}; start the database, or see {URL_VARIABLE}") from error
            fix = next((fix for words, fix in _FIXES.items() if words in said), "check that the store is reachable")
            raise DataError(f"ledger {url}: {said}; {fix}") from error


def _merge(connection: Connection, table: Table, incoming: Sequence[Row]) -> int:
    """Insert what is new, update states that moved on; the number of rows that changed."""
    keys = tuple(column.name for column in table.primary_key.columns)
    known = _existing(connection, table, keys, incoming)
    inserts: dict[tuple[Any, ...], Row] = {}
    updates: dict[tuple[Any, ...], Row] = {}
    for row in incoming:
        key = tuple(row[name] for name in keys)
        old = known.get(key)
        if old is not None and (old == row or _is_older(table.name, row, old)):
            continue
        if old is not None and table.name not in ("orders", "trades", "audit_log"):
            raise DataError(
                f"ledger: {table.name} already holds another row for {'/'.join(map(str, key))};"
                " clear the day before running it again"
            )
        (inserts if old is None or key in inserts else updates)[key] = row
        known[key] = row
    if inserts:
        connection.execute(table.insert(), list(inserts.values()))
    if updates:
        changed = update(table).where(*(table.c[name] == bindparam(f"key_{name}") for name in keys))
        values = changed.values({c.name: bindparam(c.name) for c in table.c if c.name not in (*keys, "day")})
        # The day of the first sight stays: it is what the row is found and cleared by.
        connection.execute(
            values,
            [
                {f"key_{name}": row[name] for name in keys}
                | {name: value for name, value in row.items() if name not in (*keys, "day")}
                for row in updates.values()
            ],
        )
    return len(inserts) + len(updates)


def _existing(
    connection: Connection, table: Table, keys: tuple[str, ...], incoming: Sequence[Row]
) -> dict[tuple[Any, ...], Row]:
    first = table.c[keys[0]]
    wanted = sorted({row[keys[0]] for row in incoming})
    found: dict[tuple[Any, ...], Row] = {}
    for start in range(0, len(wanted), _CHUNK):
        query = select(table).where(first.in_(wanted[start : start + _CHUNK]))
        for row in connection.execute(query).mappings():
            found[tuple(row[name] for name in keys)] = dict(row)
    return found


def _is_older(table: str, row: Row, old: Row) -> bool:
    match table:
        case "orders":
            return bool(row["updated_ms"] < old["updated_ms"])
        case "trades":
            return bool(row["exit_ms"] < old["exit_ms"])
        case _:
            return False


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, **server.engine_options(parsed))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        # The URL is not repeated: it may hold a password.
        raise DataError(
            f"the ledger's database URL is not usable ({error}); give a path or install its driver"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        server.prepare(engine)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own idea of transactions would leave schema changes outside
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer that reads first must hold the write lock from the start, or a second writer could slip in between.
    wants_write = connection.get_execution_options().get("g6_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if wants_write else "BEGIN")
