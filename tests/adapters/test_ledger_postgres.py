"""The ledger in a real PostgreSQL: equal to SQLite's, one writer at a time, and clear about a server that is away."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from g6_core.adapters.ledger import AuditEntry, Ledger, export
from g6_core.domain.errors import DataError, StoreDown
from g6_core.schema.paths import DataPaths
from tests.adapters.test_ledger import CLOSED, DAY, DECISION, INSTRUMENT, OPEN_MS, RECORDS, SIGNAL, later
from tests.postgres import PASSWORD, Postgres, serving_postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A server that the test may kill."""
    with serving_postgres() as server:
        yield server


def exported(ledger: Ledger, out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in export(ledger, out)}


def test_an_export_is_that_of_sqlite_byte_for_byte(postgres: Postgres, tmp_path: Path) -> None:
    # Upper case, lower case and signs: every locale has its own idea of their order.
    names = ["a", "B", "b-1", "b1", "A_2", "ä", "Z", "-", "_"]
    odd = [replace(later(DECISION, 7), decision_id=name, time_ms=OPEN_MS) for name in names]
    found = []
    for number, store in enumerate((tmp_path / "ledger.sqlite", postgres.new_database())):
        with Ledger.open(store) as ledger:
            ledger.write([*RECORDS, CLOSED, *odd])
            ledger.write([replace(SIGNAL, signal_id=name, strategy=name) for name in names])
            ledger.write_instruments(DAY, [INSTRUMENT])
            ledger.audit(AuditEntry(DAY, OPEN_MS, "reconcile", "checked", "ünïcode, 'quotes' and \"more\""))
            found.append((exported(ledger, tmp_path / str(number)), ledger.signal_counts(DAY), ledger.day(DAY)))
    assert found[0] == found[1]
    assert list(found[0][1]) == list(found[1][1])


def test_writers_at_the_same_moment_wait_for_each_other(postgres: Postgres) -> None:
    url, count = postgres.new_database(), 6
    start = threading.Barrier(count)
    rows = [later(DECISION, number) for number in range(40)]

    def write(_: int) -> int:
        start.wait()
        # The first opening makes the tables: that is a race as well.
        with Ledger.open(url) as ledger:
            return sum(ledger.write([row]) for row in rows)

    with ThreadPoolExecutor(count) as pool:
        written = list(pool.map(write, range(count)))
    with Ledger.open(url) as ledger:
        assert len(ledger.day(DAY).decisions) == len(rows)
    assert sum(written) == len(rows) * (1 + len(DECISION.verdicts)), "each row by one of them"


def test_the_ledger_of_an_installation_is_what_the_environment_names(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, url = DataPaths(tmp_path), postgres.new_database()
    monkeypatch.setenv("G6_LEDGER_URL", url)
    with Ledger.of(paths) as ledger:
        ledger.write(RECORDS)
    assert not paths.ledger.exists()
    with Ledger.open(url) as ledger:
        assert ledger.days() == (DAY,)
    monkeypatch.setenv("G6_LEDGER_URL", "")
    with Ledger.of(paths) as ledger:
        assert ledger.days() == ()
    assert paths.ledger.exists()


def test_a_database_of_another_program_is_refused_untouched(postgres: Postgres) -> None:
    url = postgres.new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('7e2f3204cf8e')")
    with pytest.raises(DataError, match="another program; give the ledger a database of its own"):
        Ledger.open(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT to_regclass('signals')").scalar() is None
    engine.dispose()


def test_a_server_that_is_killed_is_away_in_one_line_and_the_open_ledger_goes_on_after_it(mortal: Postgres) -> None:
    with Ledger.open(mortal.new_database()) as ledger:
        ledger.write(RECORDS)
        mortal.kill()
        for _ in range(2):
            with pytest.raises(StoreDown, match="start the database") as caught:
                ledger.write([later(DECISION, 1)])
        assert "\n" not in str(caught.value) and PASSWORD not in str(caught.value)
        mortal.start()
        assert ledger.write([later(DECISION, 1)]) == 1 + len(DECISION.verdicts)
        assert ledger.write(RECORDS) == 0, "what was committed has outlived the kill"


def test_a_wrong_password_is_one_line_that_does_not_repeat_it(postgres: Postgres) -> None:
    with pytest.raises(StoreDown, match="authentication failed") as caught:
        Ledger.open(postgres.new_database().replace(PASSWORD, "hunter2"))
    assert "\n" not in str(caught.value) and "hunter2" not in str(caught.value)
