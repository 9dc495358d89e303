"""The ledger keeps what it is given, once, in order, and says clearly when it cannot."""

import math
import random
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from g6_core.adapters.ledger import AuditEntry, Ledger, export
from g6_core.adapters.ledger.tables import HEAD, METADATA, ORDER_BY
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import Instrument
from g6_core.domain.orders import Fill, Side
from g6_core.domain.records import (
    DecisionRecord,
    Direction,
    FillRecord,
    OrderRecord,
    Purpose,
    Record,
    RiskEventRecord,
    SignalRecord,
    TradeRecord,
)
from g6_core.domain.risk import Outcome, Verdict

DAY = date(2025, 8, 29)
NEXT_DAY = date(2025, 9, 1)
OPEN_MS = 1_756_439_100_000  # 09:15 IST on DAY
DAYS_MS = 86_400_000
SYMBOL, TOKEN = "NIFTY2590224500CE", 12_345_602

SIGNAL = SignalRecord("NIFTY-0829-S1", "NIFTY", OPEN_MS, Direction.BULLISH, "supertrend_adx", {"adx_1m": 21.5}, "cfg")
DECISION = DecisionRecord(
    decision_id="NIFTY-0829-D1",
    signal_id=SIGNAL.signal_id,
    underlying="NIFTY",
    time_ms=OPEN_MS,
    direction=Direction.BULLISH,
    approved=True,
    verdicts=(
        Verdict("quote_age", Outcome.PASS, False, 120.0, 3000.0),
        Verdict("iv_rank", Outcome.UNKNOWN, False, None, 80.0, "no history"),
    ),
    tradingsymbol=SYMBOL,
    quantity=75,
    limit_paise=10_050,
    tag="N0829E1",
    features={"st_5m": 1.0, "adx_1m": 21.5},
    config_sha256="cfg",
)
ORDER = OrderRecord(
    tag="N0829E1",
    parent_tag="",
    trade_id="T1",
    decision_id=DECISION.decision_id,
    purpose=Purpose.ENTRY,
    order_id="1914227164488687616",
    tradingsymbol=SYMBOL,
    token=TOKEN,
    side="BUY",
    order_type="LIMIT",
    quantity=75,
    filled_quantity=0,
    price_paise=10_050,
    trigger_paise=0,
    average_paise=0,
    status="OPEN",
    message="",
    sent_ms=OPEN_MS + 100,
    updated_ms=OPEN_MS + 200,
)
FILL = FillRecord("N0829E1", Fill("40001", ORDER.order_id, TOKEN, Side.BUY, 75, 10_045, OPEN_MS + 300))
TRADE = TradeRecord(
    trade_id="T1",
    decision_id=DECISION.decision_id,
    underlying="NIFTY",
    tradingsymbol=SYMBOL,
    token=TOKEN,
    quantity=75,
    entry_ms=OPEN_MS + 300,
    entry_paise=10_045,
    exit_ms=0,
    exit_paise=0,
    exit_reason="",
    gross_pnl_paise=0,
    charges_paise=0,
    net_pnl_paise=0,
    high_water_mark_paise=10_045,
    low_water_mark_paise=10_045,
)
CLOSED = replace(TRADE, exit_ms=OPEN_MS + 60_000, exit_paise=11_000, exit_reason="time_exit_1520", net_pnl_paise=5)
RISK_EVENT = RiskEventRecord("R1", OPEN_MS, "mode", "NIFTY", 1.0, 2.0, "PAUSED to ACTIVE")
RECORDS: tuple[Record, ...] = (SIGNAL, DECISION, ORDER, FILL, TRADE, RISK_EVENT)
INSTRUMENT = Instrument(TOKEN, 48225, SYMBOL, "NIFTY", "NFO", "NFO-OPT", "CE", date(2025, 9, 2), 2_450_000, 5, 75)


# A path is SQLite, a URL is Postgres.
Store = Path | str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, path: Path) -> Store:
    """An empty ledger's place in each database that it is made for."""
    return path if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()


def later(record: DecisionRecord, number: int) -> DecisionRecord:
    return replace(record, decision_id=f"D{number:04}", time_ms=OPEN_MS + number * 60_000, approved=False)


def test_everything_written_is_read_back_as_it_was(store: Store) -> None:
    entry = AuditEntry(DAY, OPEN_MS, "reconcile", "checked", "all passed")
    with Ledger.open(store) as ledger:
        ledger.write(RECORDS)
        ledger.write_instruments(DAY, [INSTRUMENT])
        ledger.audit(entry)
    with Ledger.open(store) as ledger:
        day = ledger.day(DAY)
    assert (day.signals, day.decisions, day.orders) == ((SIGNAL,), (DECISION,), (ORDER,))
    assert (day.fills, day.trades, day.risk_events) == ((FILL,), (TRADE,), (RISK_EVENT,))
    assert (day.instruments, day.audit) == ((INSTRUMENT,), (entry,))


def test_writing_the_same_records_again_changes_nothing(store: Store) -> None:
    with Ledger.open(store) as ledger:
        assert ledger.write(RECORDS) == len(RECORDS) + len(DECISION.verdicts)
        before = ledger.day(DAY)
        assert ledger.write(RECORDS) == 0
        assert ledger.day(DAY) == before


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (ORDER, replace(ORDER, status="COMPLETE", updated_ms=ORDER.updated_ms + 1), "second"),
        (ORDER, replace(ORDER, status="COMPLETE"), "second"),
        (ORDER, replace(ORDER, status="OPEN PENDING", updated_ms=ORDER.updated_ms - 1), "first"),
        (TRADE, CLOSED, "second"),
        (CLOSED, TRADE, "first"),
        (TRADE, replace(TRADE, high_water_mark_paise=12_000), "second"),
    ],
)
def test_the_newest_state_of_an_order_and_a_trade_wins(store: Store, first: Record, second: Record, kept: str) -> None:
    with Ledger.open(store) as ledger:
        ledger.write([first])
        ledger.write([second])
        day = ledger.day(DAY)
        ledger.clear_day(DAY)
        ledger.write([first, second])  # the same within one batch
        assert ledger.day(DAY) == day
    assert (day.orders or day.trades) == ((first if kept == "first" else second),)


@pytest.mark.parametrize(
    "other",
    [
        replace(SIGNAL, strategy="orb"),
        replace(DECISION, quantity=150),
        replace(DECISION, verdicts=(replace(DECISION.verdicts[0], value=1.0),)),
        replace(FILL, fill=replace(FILL.fill, price_paise=1)),
        replace(RISK_EVENT, detail="another"),
    ],
)
def test_another_fact_under_a_known_key_is_refused_and_nothing_of_its_batch_kept(store: Store, other: Record) -> None:
    with Ledger.open(store) as ledger:
        ledger.write(RECORDS)
        before = ledger.day(DAY)
        with pytest.raises(DataError, match=r"already holds another row .* clear the day"):
            ledger.write([replace(SIGNAL, signal_id="new"), other])
        assert ledger.day(DAY) == before


def test_what_is_not_a_number_comes_back_as_unknown(store: Store) -> None:
    odd = replace(
        DECISION,
        verdicts=(Verdict("delta", Outcome.UNKNOWN, True, math.nan, math.inf),),
        features={"iv": math.nan, "st_5m": -1.0},
    )
    with Ledger.open(store) as ledger:
        ledger.write([odd])
        assert ledger.write([odd]) == 0
        read = ledger.day(DAY).decisions[0]
    assert read.verdicts == (Verdict("delta", Outcome.UNKNOWN, True, None, None),)
    assert math.isnan(read.features["iv"]) and read.features["st_5m"] == -1.0


def test_clearing_a_day_leaves_the_others(store: Store) -> None:
    tomorrow = replace(SIGNAL, signal_id="NIFTY-0901-S1", time_ms=OPEN_MS + 3 * DAYS_MS)
    with Ledger.open(store) as ledger:
        ledger.write([*RECORDS, tomorrow, replace(later(DECISION, 1), time_ms=tomorrow.time_ms)])
        assert ledger.days() == (DAY, NEXT_DAY)
        assert ledger.clear_day(DAY) == len(RECORDS) + len(DECISION.verdicts)
        assert ledger.days() == (NEXT_DAY,)
        assert ledger.day(DAY).decisions == ()
        assert ledger.day(NEXT_DAY).signals == (tomorrow,)


def test_trades_are_joined_with_the_strategy_of_their_signal(store: Store) -> None:
    orphan = replace(TRADE, trade_id="T2", decision_id="unknown", entry_ms=TRADE.entry_ms + 1)
    with Ledger.open(store) as ledger:
        ledger.write([*RECORDS, orphan])
        assert ledger.strategy_trades(DAY) == (("supertrend_adx", TRADE), ("", orphan))
        assert ledger.strategy_trades(date(2025, 8, 28)) == ()


def test_signals_and_days_are_counted_up_to_a_day(store: Store) -> None:
    tomorrow_ms = OPEN_MS + 3 * DAYS_MS
    with Ledger.open(store) as ledger:
        ledger.write([SIGNAL, DECISION, later(DECISION, 1)])
        ledger.write([replace(SIGNAL, signal_id="S2", time_ms=tomorrow_ms)])
        ledger.write([replace(DECISION, decision_id="D2", time_ms=tomorrow_ms)])
        assert ledger.signal_counts(DAY) == {("NIFTY", "supertrend_adx"): 1}
        assert ledger.signal_counts(NEXT_DAY) == {("NIFTY", "supertrend_adx"): 2}
        assert (ledger.decision_days(DAY), ledger.decision_days(NEXT_DAY)) == ({"NIFTY": 1}, {"NIFTY": 2})


def test_exports_of_two_ledgers_written_in_another_order_are_equal_byte_for_byte(tmp_path: Path) -> None:
    records = [*RECORDS, CLOSED, *(later(DECISION, number) for number in range(1, 40))]
    exports = []
    for name in ("one", "two"):
        with Ledger.open(tmp_path / f"{name}.sqlite") as ledger:
            for record in records:
                ledger.write([record])
            files = export(ledger, tmp_path / name, DAY)
        exports.append({file.name: file.read_bytes() for file in files})
        random.Random(7).shuffle(records)
    assert exports[0] == exports[1]
    assert set(exports[0]) == {f"{table}.csv" for table in METADATA.tables}
    assert exports[0]["verdicts.csv"].count(b"\n") == 1 + 40 * len(DECISION.verdicts)


def test_an_export_shows_times_as_utc_text_and_unknown_as_empty(store: Store, tmp_path: Path) -> None:
    with Ledger.open(store) as ledger:
        ledger.write(RECORDS)
        export(ledger, tmp_path / "out")
    assert "2025-08-29T03:45:00.300Z,10045,0,,0," in (tmp_path / "out" / "trades.csv").read_text()
    assert "iv_rank,unknown,False,,80.0,no history" in (tmp_path / "out" / "verdicts.csv").read_text()


def test_an_export_into_an_unwritable_place_is_one_clear_line(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Ledger.open(store) as ledger, pytest.raises(DataError, match="choose a writable folder"):
        export(ledger, tmp_path / "file")


def test_sqlite_is_in_write_ahead_mode_and_waits_for_the_disk(path: Path) -> None:
    with Ledger.open(path) as ledger, ledger._transaction(write=False) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_the_migrations_build_exactly_the_tables_of_the_code(store: Store) -> None:
    engine = create_engine(store if isinstance(store, str) else f"sqlite:///{store}")
    made = {}
    for steps in ((), ("base", "0001", HEAD)):  # a new ledger is made at once, an older one step by step
        with Ledger.open(store) as ledger:
            for step in steps:
                assert ledger.migrate(step)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            found = inspect(connection)
            made[steps] = {
                name: (
                    sorted((one["name"], str(one["type"]), one["nullable"]) for one in found.get_columns(name)),
                    found.get_pk_constraint(name)["constrained_columns"],
                    sorted((one["name"], tuple(one["column_names"])) for one in found.get_indexes(name)),
                )
                for name in found.get_table_names()
            }
            assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [(HEAD,)]
    assert made[()] == made["base", "0001", HEAD]
    assert {*METADATA.tables, "alembic_version"} == set(made[()])
    engine.dispose()
    assert set(ORDER_BY) == set(METADATA.tables)


def test_a_populated_ledger_goes_down_and_up_and_keeps_what_the_lower_schema_has(store: Store) -> None:
    with Ledger.open(store) as ledger:
        ledger.write(RECORDS)
        ledger.write_instruments(DAY, [INSTRUMENT])
        before = ledger.day(DAY)
        assert ledger.migrate("0001")
        assert ledger.revision() == "0001"
    with Ledger.open(store) as ledger:  # opening is upgrading
        assert ledger.revision() == HEAD
        assert ledger.day(DAY) == replace(before, instruments=())
        assert ledger.migrate("base")
        assert ledger.revision() == "base"
        assert ledger.migrate(HEAD)
        assert not ledger.migrate(HEAD)
        assert ledger.days() == ()


def test_a_ledger_of_a_newer_version_is_refused_untouched(store: Store) -> None:
    with Ledger.open(store) as ledger:
        ledger.write(RECORDS)
    engine = create_engine(store if isinstance(store, str) else f"sqlite:///{store}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DataError, match=r"schema 9999 is newer than this version's 0003; upgrade G6"):
        Ledger.open(store)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM signals").scalar() == 1
    engine.dispose()


def test_a_file_that_is_not_a_ledger_is_refused(path: Path) -> None:
    path.write_bytes(b"these are not the pages you are looking for" * 100)
    with pytest.raises(DataError, match="file is not a database; it is not a ledger"):
        Ledger.open(path)


def test_a_damaged_ledger_is_refused_and_not_repaired_in_silence(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.write([later(DECISION, number) for number in range(300)])
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged; restore it from a backup"), Ledger.open(path) as ledger:
        ledger.day(DAY)


def test_a_folder_that_does_not_exist_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make its folder exist and be writable"):
        Ledger.open(tmp_path / "nowhere" / "ledger.sqlite")


@pytest.mark.parametrize("url", ["nodb://user:hunter2@host/x", "://", "postgresql+nodriver://u:hunter2@h/x"])
def test_an_unusable_url_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(DataError, match="database URL is not usable") as caught:
        Ledger.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_second_writer_waits_its_turn_and_nothing_is_lost(store: Store) -> None:
    with Ledger.open(store) as one, Ledger.open(store) as two:
        for number in range(20):
            (one if number % 2 else two).write([later(DECISION, number)])
        assert len(one.day(DAY).decisions) == 20
