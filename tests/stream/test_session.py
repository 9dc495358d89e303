"""A session that dies and starts again: positions are adopted, nothing is sent twice, every broker trade is kept."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from requests.exceptions import ConnectionError as LostConnection

from g6_core.adapters import journal as journal_file
from g6_core.adapters.day_pack_store import load_day_pack, save_day_pack, sealed
from g6_core.adapters.journal import read_journal
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.events import OrderWrite, PlaceEntry, WriteResult
from g6_core.domain.money import paise
from g6_core.domain.records import ExitReason, FillRecord, Purpose, Record, TradeRecord
from g6_core.engine.state import EngineState
from g6_core.research.inputs import day_inputs
from g6_core.research.replay import Replayed, replay
from g6_core.schema.journal import Kind
from g6_stream.gateway import KiteGateway
from tests.stream.world import DAY, Photograph, World

FLAT_WITHIN_MS = 200_000
RISE_MS = 20_000


def _replayed(world: World) -> Replayed:
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    state = EngineState.fresh(world.params, day_inputs(pack, world.rules, world.params))
    return replay(state, read_journal(world.paths.journal(DAY)))


def _rise(world: World, row: dict[str, Any]) -> None:
    """From now on the held contract rises in a line, past the target."""
    entry, start_ms = paise(row["average_price"]), world.clock.now_ms() + 4_000

    def path(time_ms: int) -> tuple[int, int]:
        share = min(max(time_ms - start_ms, 0) / RISE_MS, 1.0)
        bid = int(entry * (1 + 0.7 * share)) // 5 * 5
        return bid, bid + 10

    world.steer(row, path)


def _finish(world: World) -> None:
    """Run until flat and what follows from it is written."""
    world.advance(world.clock.now_ms() + FLAT_WITHIN_MS, lambda: _is_over(world))
    world.advance(world.clock.now_ms() + 5_000)
    world.crash()


def _is_over(world: World) -> bool:
    return bool(world.exchange.executions()) and not world.positions()


def _broker_fills(world: World) -> set[tuple[str, str, str, int, int]]:
    return {
        (row["trade_id"], row["order_id"], row["transaction_type"], row["quantity"], paise(row["average_price"]))
        for row in world.kite.trades()
    }


def _ledger_fills(world: World) -> set[tuple[str, str, str, int, int]]:
    return {
        (one.fill.trade_id, one.fill.order_id, str(one.fill.side), one.fill.quantity, one.fill.price_paise)
        for one in world.ledger.day(DAY).fills
    }


def _check_whole(world: World) -> TradeRecord:
    """What must hold at the end whatever happened in between; the one trade."""
    ledger = world.ledger.day(DAY)
    tags = [row["tag"] for row in world.kite.orders()]
    assert len(tags) == len(set(tags)), "a tag was sent twice"
    assert not world.positions()
    assert all(row["status"] in ("COMPLETE", "CANCELLED", "REJECTED") for row in world.kite.orders())
    assert _ledger_fills(world) == _broker_fills(world)
    trades = [trade for trade in ledger.trades if trade.exit_ms]
    assert len(trades) == 1
    bought = [order for order in ledger.orders if order.purpose is Purpose.ENTRY and order.filled_quantity]
    assert len(bought) == 1, "the signal was traded twice"
    assert _replayed(world).agrees
    return trades[0]


@dataclass
class Life:
    """An uninterrupted session with photographs of every second after the signal and around every order write."""

    world: World
    seconds: list[Photograph] = field(default_factory=list)
    unsent: list[tuple[OrderWrite, Photograph]] = field(default_factory=list)
    sent: list[tuple[OrderWrite, Photograph]] = field(default_factory=list)
    synced: list[int] = field(default_factory=list)
    trades: tuple[TradeRecord, ...] = ()
    fills: tuple[FillRecord, ...] = ()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> Iterator[Life]:
    world = World(tmp_path_factory.mktemp("life"), rules, settings)
    found = Life(world)
    send = KiteGateway.write
    sync = journal_file._sync

    def write(self: KiteGateway, command: OrderWrite) -> WriteResult:
        found.unsent.append((command, world.photograph()))
        result = send(self, command)
        found.sent.append((command, world.photograph()))
        return result

    def synced(file: Any) -> None:
        sync(file)
        found.synced.append(world.paths.journal(DAY).stat().st_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KiteGateway, "write", write)
        patch.setattr(journal_file, "_sync", synced)
        _rise(world, world.enter())
        while not _is_over(world):
            found.seconds.append(world.photograph())
            world.advance(world.clock.now_ms() + 1_000)
        _finish(world)
    _check_whole(world)
    ledger = world.ledger.day(DAY)
    found.trades, found.fills = ledger.trades, ledger.fills
    yield found
    world.ledger.close()


def test_a_restart_while_a_position_is_held_changes_no_trade_and_no_fill(life: Life, tmp_path: Path) -> None:
    assert life.trades[0].exit_reason == ExitReason.TAKE_PROFIT
    for number in (0, 2, len(life.seconds) - 2, len(life.seconds) - 1):
        world = life.seconds[number].restart(tmp_path / str(number))
        _finish(world)
        _check_whole(world)
        ledger = world.ledger.day(DAY)
        world.ledger.close()
        assert ledger.trades == life.trades, f"restarted {number} s after the entry"
        assert ledger.fills == life.fills, f"restarted {number} s after the entry"


def _some(writes: list[tuple[OrderWrite, Photograph]]) -> list[tuple[OrderWrite, Photograph]]:
    """The first two and the last: enough to see every kind."""
    return [*writes[:2], writes[-1]]


def test_a_restart_right_after_any_order_write_finds_the_order_by_its_tag(life: Life, tmp_path: Path) -> None:
    assert {type(command).__name__ for command, _ in life.sent} == {"PlaceEntry", "PlaceExit", "Modify"}
    for number, (command, photograph) in enumerate(_some(life.sent)):
        world = photograph.restart(tmp_path / str(number))
        _finish(world)
        trade = _check_whole(world)
        world.ledger.close()
        assert trade.exit_reason == ExitReason.TAKE_PROFIT, command
        assert len(world.kite.orders()) == 2, f"one entry and one exit order: {command}"


def test_a_restart_right_before_a_change_or_exit_is_sent_still_ends_flat(life: Life, tmp_path: Path) -> None:
    for number, (command, photograph) in enumerate(_some(life.unsent[1:])):
        world = photograph.restart(tmp_path / str(number))
        _finish(world)
        trade = _check_whole(world)
        world.ledger.close()
        assert trade.exit_reason == ExitReason.TAKE_PROFIT, command
        assert trade.entry_ms == life.trades[0].entry_ms


def test_an_entry_that_never_left_is_unknown_then_absent_and_never_sent_again(life: Life, tmp_path: Path) -> None:
    command, photograph = life.unsent[0]
    assert isinstance(command, PlaceEntry)
    tag, start_ms = command.approved.request.tag, photograph.exchange.clock.now_ms()
    world = photograph.restart(tmp_path)
    world.advance(start_ms + life.world.params.execution.absence_ms - 1_000)
    assert world.kite.orders() == []
    world.advance(start_ms + 4 * 60_000, lambda: bool(world.positions()))
    world.crash()
    world.run = world.start()
    next(world.run)
    world.crash()
    ledger = world.ledger.day(DAY)
    world.ledger.close()
    assert {order.tag: order.status for order in ledger.orders}[tag] == "ABSENT"
    judged = [one for one in ledger.decisions if start_ms < one.time_ms <= start_ms + 120_000]
    assert len(judged) == 2
    for one in judged:
        assert any(verdict.rule == "no_unknown_order" and verdict.blocks for verdict in one.verdicts)
    later = [row["tag"] for row in world.kite.orders()]
    assert later
    assert tag not in later


def test_a_journal_cut_anywhere_after_the_last_sync_is_continued_safely(life: Life, tmp_path: Path) -> None:
    dice = random.Random(29_08_2025)
    for number in range(4):
        photograph = life.seconds[dice.randrange(len(life.seconds))]
        safe = max(size for size in life.synced if size <= len(photograph.journal))
        cut = dice.randint(safe, len(photograph.journal))
        world = replace(photograph, journal=photograph.journal[:cut]).restart(tmp_path / str(number))
        _finish(world)
        trade = _check_whole(world)
        world.ledger.close()
        assert trade.exit_reason == ExitReason.TAKE_PROFIT, (safe, cut)
        assert _ledger_fills(world) == {_row(one) for one in life.fills}, (safe, cut)


def test_a_second_restart_is_as_good_as_the_first(life: Life, tmp_path: Path) -> None:
    _, photograph = life.sent[0]
    world = photograph.restart(tmp_path)
    for _ in range(3):
        world.advance(world.clock.now_ms() + 2_000)
        world.crash()
        world.run = world.start()
    _finish(world)
    _check_whole(world)
    world.ledger.close()


def test_a_restart_is_paused_until_the_broker_agrees(life: Life, tmp_path: Path) -> None:
    photograph = life.seconds[1]
    world = photograph.restart(tmp_path)
    other = next(row for row in world.source.instruments if row.is_option and row.token != world.source.token)
    world.kite.place_order(
        "regular", other.exchange, other.tradingsymbol, "BUY", other.lot_size, "MIS", "MARKET", market_protection=5
    )
    start_ms = world.clock.now_ms()
    world.clock.sleep_until(start_ms + 1_000)
    world.advance(start_ms + 100_000, lambda: world.source.token not in _held(world))
    assert set(_held(world)) == {other.token}
    world.advance(world.clock.now_ms() + 5_000)
    world.crash()
    modes = [one.detail for one in world.ledger.day(DAY).risk_events if one.kind == "mode"]
    trade = world.ledger.day(DAY).trades[0]
    world.ledger.close()
    assert trade.exit_reason == ExitReason.TAKE_PROFIT, "what is ours is looked after"
    assert modes[-1] == "active -> paused: the process started again"
    (critical,) = [one.text for one in world.alerts if one.level == "critical"]
    assert critical == f"not armed: position of token {other.token}: broker has {other.lot_size}, journal 0"


def _held(world: World) -> list[int]:
    return [row["instrument_token"] for row in world.positions()]


def _row(record: FillRecord) -> tuple[str, str, str, int, int]:
    fill = record.fill
    return (fill.trade_id, fill.order_id, str(fill.side), fill.quantity, fill.price_paise)


@pytest.fixture
def fresh(tmp_path: Path, rules: MarketRules, settings: Settings) -> Iterator[World]:
    world = World(tmp_path, rules, settings)
    yield world
    world.crash()
    world.ledger.close()


def test_a_book_that_cannot_be_read_at_the_open_delays_arming(fresh: World) -> None:
    read = fresh.kite.positions
    open_ms = fresh.source.session.open_ms

    def positions() -> Any:
        if fresh.clock.now_ms() < open_ms + 30_000:
            raise LostConnection("no way to the broker")
        return read()

    fresh.kite.positions = positions
    fresh.advance(open_ms + 301_000)  # by then risk events are in the ledger
    modes = [(one.time_ms, one.detail) for one in fresh.ledger.day(DAY).risk_events if one.kind == "mode"]
    assert modes == [(open_ms + 30_000, "paused -> active: broker and journal agree, day pack and configuration match")]
    assert "not armed yet: the broker's books could not be read: no way to the broker" in [
        one.text for one in fresh.alerts
    ]


def test_books_that_disagree_for_half_a_minute_only_delay_arming(fresh: World) -> None:
    read = fresh.kite.positions
    open_ms = fresh.source.session.open_ms
    ghost = {"instrument_token": 1, "quantity": 75, "product": "MIS"}
    fresh.kite.positions = lambda: {"net": [ghost]} if fresh.clock.now_ms() < open_ms + 30_000 else read()
    fresh.advance(open_ms + 301_000)  # by then risk events are in the ledger
    assert [one.text for one in fresh.alerts] == ["not armed: position of token 1: broker has 75, journal 0"]
    modes = [one.time_ms for one in fresh.ledger.day(DAY).risk_events if one.kind == "mode"]
    assert modes == [open_ms + 30_000]


def test_a_trade_book_that_lags_behind_the_exit_is_read_until_it_tells(fresh: World) -> None:
    _rise(fresh, fresh.enter())
    assert fresh.advance(fresh.clock.now_ms() + 60_000, lambda: not fresh.positions())
    flat_ms, read = fresh.clock.now_ms(), fresh.kite._get

    def lagging(route: str, *args: Any, **known: Any) -> Any:
        return [] if route == "trades" and fresh.clock.now_ms() < flat_ms + 20_000 else read(route, *args, **known)

    fresh.kite._get = lagging
    fresh.advance(flat_ms + 15_000)
    assert [trade.exit_ms for trade in fresh.ledger.day(DAY).trades] == [0]
    fresh.advance(flat_ms + 25_000)
    assert 0 < _check_whole(fresh).exit_ms <= flat_ms, "when it was sold, not when the book told"


def test_what_happened_in_a_second_survives_the_death_of_the_process_after_it(fresh: World) -> None:
    for seconds in range(1, 10):
        fresh.advance(fresh.source.session.open_ms + seconds * 1_000)
        seen = [record for record in read_journal(fresh.paths.journal(DAY)) if record.kind is Kind.SECOND]
        assert seen[-1].time_ms == fresh.clock.now_ms() - 1_000


def test_a_pushed_row_that_makes_no_sense_is_told_and_the_session_goes_on(fresh: World) -> None:
    fresh.advance(fresh.source.session.open_ms + 2_000)
    fresh.feed.order_updates = lambda: [{"order_id": "1", "status": "OPEN"}]  # type: ignore[method-assign]
    fresh.advance(fresh.clock.now_ms() + 1_000)
    assert [one.text for one in fresh.alerts] == ["pushed order row not understood: KeyError('instrument_token')"]


def _other_day(world: World) -> None:
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    save_day_pack(world.paths.day_pack(DAY), sealed(replace(pack, trade_date=date(2025, 8, 28))))


def _other_config(world: World) -> None:
    world.params = replace(world.params, config_sha256="0" * 64)


def _changed(world: World) -> None:
    path = world.paths.day_pack(DAY)
    path.write_bytes(path.read_bytes().replace(b'"freeze_quantity":1800', b'"freeze_quantity":9999'))


def _new_pack(world: World) -> None:
    world.advance(world.source.session.open_ms + 2_000)
    world.crash()
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    save_day_pack(world.paths.day_pack(DAY), sealed(replace(pack, seed=pack.seed + 1)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda world: world.paths.day_pack(DAY).unlink(), "no day pack"),
        (_other_day, "the day pack is for 2025-08-28, not for 2025-08-29"),
        (_other_config, "made under another configuration"),
        (_changed, "does not match its sha256"),
        (_new_pack, "belongs to another day, configuration or day pack"),
    ],
    ids=["missing", "other day", "other config", "changed", "another than the journal's"],
)
def test_a_wrong_day_pack_is_refused_in_one_line(fresh: World, spoil: Callable[[World], None], words: str) -> None:
    spoil(fresh)
    fresh.run = fresh.start()
    with pytest.raises(DataError, match=words) as refused:
        next(fresh.run)
    assert "\n" not in str(refused.value)


def test_the_ledger_is_never_ahead_of_the_journal_on_the_disk(
    tmp_path: Path, rules: MarketRules, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, rules, settings)
    write = Ledger.write
    unknown: list[Record] = []

    def checked(self: Ledger, records: Sequence[Record]) -> int:
        known = _replayed(world).records
        unknown.extend(record for record in records if record not in known)
        return write(self, records)

    monkeypatch.setattr(Ledger, "write", checked)
    world.enter()
    world.advance(world.clock.now_ms() + 5_000)
    world.crash()
    world.ledger.close()
    assert unknown == []
