"""Paper money as a process on the served exchange: kill -9 in a position and on the way to one, and whose day it is."""

import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from g6_core.adapters.clock import SimClock
from g6_core.adapters.journal import read_header
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.adapters.paper_account import PaperAccountFile
from g6_core.adapters.site import open_site
from g6_core.config import load_settings
from g6_core.domain.checks import failed
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.orders import OrderType, Status, Validity
from g6_core.domain.records import TradeRecord
from g6_core.sim.books import Books
from g6_core.sim.order_state import SimOrder
from g6_pipelines.stages.reconcile import reconcile_broker
from g6_pipelines.stages.reconcile_orders import reconcile_orders
from tests.stream.wire import DAY, Wire, moment, said, wire

pytestmark = pytest.mark.slow

PAPER = ("--mode", "paper")


def kill(child: Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait(10)


def account(world: Wire) -> Books | None:
    """What the paper account's file says now."""
    return PaperAccountFile(world.paths.paper_account(DAY), read_header(world.paths.journal(DAY))).load()


def orders(world: Wire) -> tuple[SimOrder, ...]:
    books = account(world)
    return books.orders if books is not None else ()


def leaving(world: Wire) -> bool:
    """Whether an exit that takes what is there is on its way."""
    known = orders(world)
    return bool(known) and known[-1].change is not None and known[-1].change.order_type is OrderType.LIMIT


def restarted(world: Wire, sidecar: Popen[str]) -> Popen[str]:
    kill(sidecar)
    again = world.sidecar(*PAPER)
    world.await_sidecar()
    return again


def seconds_until(clock: SimClock, wanted: Callable[[], bool], end_ms: int) -> None:
    """Second by second until it is so; the sidecar has done each second before the test sees it."""
    while not wanted():
        assert clock.now_ms() < end_ms, "it never came to it"
        clock.sleep_until(clock.now_ms() + SECOND_MS)


def ended(world: Wire, sidecar: Popen[str], clock: SimClock) -> tuple[str, tuple[TradeRecord, ...]]:
    """What the sidecar said until a clean end, and the closed trades of the ledger."""
    sidecar.send_signal(signal.SIGTERM)
    clock.close()
    text = said(sidecar)
    assert sidecar.returncode == 0, text
    with Ledger.open(world.paths.ledger) as ledger:
        return text, tuple(trade for trade in ledger.day(DAY).trades if trade.exit_ms)


def test_paper_money_survives_a_kill_in_a_position_and_ends_by_rule(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, seed=3) as world:
        kite = world.prepare()
        clock = world.clock()
        first = world.sidecar(*PAPER)
        world.await_sidecar()
        clock.sleep_until(moment(9, 41, 20))
        before = world.get("/status").json()
        (held,) = before["positions"]
        kept = account(world)
        kill(first)

        real = world.sidecar()
        text = said(real)
        assert (real.returncode, text.count("\n")) == (4, 1)
        assert "this day was begun with 'paper sim' orders, not 'broker sim'" in text
        assert account(world) == kept

        again = world.sidecar(*PAPER)
        world.await_sidecar()
        clock.sleep_until(moment(9, 41, 22))
        status = world.get("/status").json()
        assert status["mode"] == "active" and world.get("/readyz").json() == {"ready": True, "reasons": []}
        (adopted,) = status["positions"]
        same = ("trade_id", "tradingsymbol", "quantity", "entry_paise", "stop_paise", "cover")
        assert [adopted[name] for name in same] == [held[name] for name in same]
        assert held["cover"].startswith("SL ")
        assert (status["cash_paise"], status["orders"]) == (before["cash_paise"], before["orders"])
        seconds_until(clock, lambda: not world.get("/status").json()["positions"], moment(9, 50))
        clock.sleep_until(clock.now_ms() + 3 * SECOND_MS)
        cash_paise = world.get("/status").json()["cash_paise"]
        text, (trade,) = ended(world, again, clock)
        assert "ended flat" in text and "WITHOUT" not in text
        assert (trade.trade_id, trade.exit_reason) == (held["trade_id"], "trailing_stop_3pct")

        books = account(world)
        assert books is not None and kept is not None
        assert books.account.charges_paise == trade.charges_paise > kept.account.charges_paise > 0
        capital_paise = load_settings(world.config_dir).capital_paise
        assert books.account.cash_paise == cash_paise == capital_paise + trade.net_pnl_paise
        assert [order.order_id for order in books.orders] == ["261119000000001", "261119000000002"]
        site = open_site(world.paths.root, world.config_dir)
        with Ledger.open(world.paths.ledger) as ledger:
            assert failed(reconcile_broker(kite, ledger, site, DAY)) == (), "with the paper account"
            assert failed(reconcile_orders(kite, ledger, site.rules, DAY)), "the broker knows nothing of the day"
        assert (kite.orders(), kite.positions()["net"]) == ([], [])


def test_killed_between_an_order_and_its_fill_it_knows_what_became_of_it(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, seed=3) as world:
        world.prepare()
        clock = world.clock()
        sidecar = world.sidecar(*PAPER)
        world.await_sidecar()
        clock.sleep_until(moment(9, 40))
        seconds_until(clock, lambda: bool(orders(world)), moment(10, 0))
        (lost,) = orders(world)
        assert (lost.status, lost.validity, lost.filled_quantity) == (Status.OPEN_PENDING, Validity.IOC, 0)
        sidecar = restarted(world, sidecar)
        clock.sleep_until(clock.now_ms() + 3 * SECOND_MS)
        status = world.get("/status").json()
        assert (status["mode"], status["positions"], status["orders"]) == ("active", [], [])
        assert status["cash_paise"] == load_settings(world.config_dir).capital_paise
        (found,) = orders(world)
        assert found.order_id == lost.order_id
        assert (found.status, found.filled_quantity) == (Status.CANCELLED, 0), "nobody saw the price that it met"

        seconds_until(clock, lambda: leaving(world), moment(10, 0))
        exit_order = orders(world)[-1]
        assert exit_order.status is Status.MODIFY_PENDING
        sidecar = restarted(world, sidecar)
        clock.sleep_until(clock.now_ms() + 5 * SECOND_MS)
        assert world.get("/status").json()["positions"] == []
        text, (trade,) = ended(world, sidecar, clock)
        assert "ended flat" in text
        assert trade.exit_reason == "trailing_stop_3pct"
        done = orders(world)
        assert (done[-1].order_id, done[-1].status) == (exit_order.order_id, Status.COMPLETE)
        assert done[-1].filled_value_paise == trade.exit_paise * trade.quantity
        assert [order.order_id for order in done] == [f"26111900000000{number}" for number in (1, 2, 3)]
        assert len({order.tag for order in done}) == 3
