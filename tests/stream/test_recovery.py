"""A feed that is cut or mute, an exchange that dies: the sidecar as a process goes on, and enters nothing blind."""

import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kiteconnect import KiteConnect

from g6_core.adapters.ledger.ledger import Ledger
from g6_core.domain.events import FeedState, Frame
from tests.stream.wire import DAY, Wire, moment, said, wire

pytestmark = pytest.mark.slow

# With this seed the quick strategy buys at 09:35:02, holds until 10:00, and wants more at 09:44, else at 09:45.
BUSY_SEED = 8


def held(kite: KiteConnect) -> dict[int, int]:
    """Units by token."""
    net: list[dict[str, Any]] = kite.positions()["net"]
    return {row["instrument_token"]: row["quantity"] for row in net if row["quantity"]}


def bought(kite: KiteConnect) -> list[str]:
    return [str(row["order_timestamp"])[11:] for row in kite.orders() if row["transaction_type"] == "BUY"]


def refused_at(world: Wire, hour: int, minute: int) -> set[str]:
    """The rules that blocked an entry in the seconds of the bar that ends here."""
    with Ledger.open(world.paths.ledger) as ledger:
        decisions = ledger.day(DAY).decisions
    start_ms = moment(hour, minute)
    return {
        verdict.rule
        for one in decisions
        if start_ms <= one.time_ms < start_ms + 60_000 and one.signal_id
        for verdict in one.verdicts
        if verdict.blocks
    }


def test_nothing_is_bought_while_the_feed_is_cut_or_mute_and_what_is_held_is_priced(
    tmp_path: Path, config_dir: Path
) -> None:
    with wire(tmp_path, config_dir, BUSY_SEED, mortal=True) as world:
        kite = world.prepare()
        clock = world.clock()
        sidecar = world.sidecar(G6_SIM_PATIENCE_S="1")
        world.await_sidecar()
        clock.sleep_until(moment(9, 36))
        (token,) = held(kite)
        for minute, kind in ((43, "ws_stall"), (44, "ws_drop")):
            clock.sleep_until(moment(9, minute, 45))
            before = world.get("/status").json()
            world.fault(kind=kind, for_ms=30_000)
            clock.sleep_until(moment(9, minute, 58))
            assert "the feed is not connected" in world.get("/readyz").json()["reasons"]
            clock.sleep_until(moment(9, minute + 1, 30))
            status = world.get("/status").json()
            assert world.get("/readyz").json() == {"ready": True, "reasons": []}
            assert status["subscribed"] == before["subscribed"]
            assert [one["instruments"] for one in world.told()["tickers"]] == [before["subscribed"]]
            assert status["feed"]["connects"] == before["feed"]["connects"] + 1
            priced_s = priced(world, token)
            assert len(priced_s) >= 10, kind
            assert max(after - one for one, after in pairwise(priced_s)) <= 2, kind
            assert bought(kite) == ["09:35:02"], kind

        world.fault(kind="token_expired")
        clock.sleep_until(moment(9, 46, 30))
        assert world.get("/readyz").json() == {"ready": True, "reasons": []}
        world.kill_exchange()
        clock.close()
        text = said(sidecar)
        assert sidecar.returncode == 2, text
        assert "logged in to the simulated exchange again" in text and "Traceback" not in text
        *_, farewell, why = text.splitlines()
        assert "no more time: 09:46:30 ended while holding 260 " in farewell
        assert why.endswith("and then this: it continues where it was") and "for 1 s; start it again" in why
        assert "feed_connected" in refused_at(world, 9, 44)
        assert "feed_connected" in refused_at(world, 9, 45)


def priced(world: Wire, token: int) -> list[int]:
    """Seconds of the frames with this contract between the last loss of the feed and its return: by REST."""
    events = world.events()
    lost, back = [n for n, event in enumerate(events) if isinstance(event, FeedState)][-2:]
    frames = [event for event in events[lost:back] if isinstance(event, Frame)]
    return [frame.time_ms // 1000 for frame in frames if token in {int(one) for one in frame.ticks["token"]}]


def test_a_killed_exchange_that_keeps_its_day_is_gone_on_with(tmp_path: Path, config_dir: Path) -> None:
    state = tmp_path / "exchange.jsonl"
    with wire(tmp_path, config_dir, seed=3, state=state, mortal=True) as world:
        kite = world.prepare()
        clock = world.clock()
        sidecar = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 41, 20))
        books = (kite.orders(), kite.trades(), kite.positions(), kite.margins())
        assert held(kite)
        world.kill_exchange()
        assert "continued at 09:41:20 with 2 orders" in world.serve(state=state)
        assert (kite.orders(), kite.trades(), kite.positions(), kite.margins()) == books, "with the old access token"
        clock.sleep_until(moment(9, 44))
        assert clock.now_ms() == world.told()["now_ms"] == moment(9, 44)
        assert held(kite) == {}
        assert world.get("/readyz").json() == {"ready": True, "reasons": []}
        status = world.get("/status").json()
        assert [one["instruments"] for one in world.told()["tickers"]] == [status["subscribed"]]
        sidecar.send_signal(signal.SIGTERM)
        clock.close()
        text = said(sidecar)
        assert sidecar.returncode == 0, text
        assert "ended flat" in text and "paused" not in text.partition("mode active")[2] and "Traceback" not in text
        with Ledger.open(world.paths.ledger) as ledger:
            (trade,) = ledger.day(DAY).trades
        assert trade.exit_reason == "trailing_stop_3pct"
        assert [row["order_id"] for row in kite.orders()] == [row["order_id"] for row in books[0]]
