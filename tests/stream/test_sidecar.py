"""The sidecar as a process on the served exchange: cut feed, kill -9, a lost exchange, wrong inputs, a clean end."""

import json
import signal
from pathlib import Path

import pytest

from g6_core.adapters.ledger.ledger import Ledger
from g6_core.domain.events import FeedState, Frame
from g6_core.domain.orders import Side
from tests.stream.wire import DAY, moment, said, wire

pytestmark = pytest.mark.slow


def test_a_position_survives_a_kill_and_a_cut_feed_and_ends_by_rule(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, seed=3) as world:
        kite = world.prepare()
        clock = world.clock()
        first = world.sidecar()
        clock.sleep_until(moment(9, 41, 20))
        (held,) = [row for row in kite.positions()["net"] if row["quantity"]]
        subscribed = world.get("/status").json()["subscribed"]
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        paper = world.sidecar("--mode", "paper")
        text = said(paper)
        assert (paper.returncode, text.count("\n")) == (4, 1)
        assert "this day was begun with 'broker sim' orders, not 'paper sim'" in text
        assert not world.paths.paper_account(DAY).exists()
        again = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 42, 30))
        status = world.get("/status").json()
        assert [one["quantity"] for one in status["positions"]] == [held["quantity"]]
        assert (status["mode"], status["subscribed"]) == ("active", subscribed)
        assert world.get("/readyz").json() == {"ready": True, "reasons": []}

        world.fault(kind="ws_drop", for_ms=30_000)
        clock.sleep_until(moment(9, 42, 40))
        assert world.get("/readyz").status_code == 503
        assert "the feed is not connected" in world.get("/readyz").json()["reasons"]
        clock.sleep_until(moment(9, 44))
        assert not [row for row in kite.positions()["net"] if row["quantity"]]
        priced = [{int(token) for token in frame.ticks["token"]} for frame in _outage(world.events())]
        assert sum(held["instrument_token"] in tokens for tokens in priced) >= 5, "exits went on without a price"
        assert _served(kite.orders(), Side.BUY, "09:42:30", "09:43:35") == []
        status = world.get("/status").json()
        assert (status["feed"]["connects"], status["subscribed"]) == (2, subscribed)
        assert [one["instruments"] for one in world.told()["tickers"]] == [status["subscribed"]]
        assert world.get("/readyz").status_code == 200
        again.send_signal(signal.SIGTERM)
        clock.close()
        text = said(again)
        assert again.returncode == 0, text
        assert "SIGTERM: " in text and "ended flat" in text
        with Ledger.open(world.paths.ledger) as ledger:
            done = [trade for trade in ledger.day(DAY).trades if trade.exit_ms]
        assert [trade.exit_reason for trade in done] == ["trailing_stop_3pct"]
        tags = [row["tag"] for row in kite.orders()]
        assert len(tags) == len(set(tags))


def _outage(events: list[object]) -> list[Frame]:
    """Frames between the loss of the feed and its return: prices by REST."""
    states = [n for n, event in enumerate(events) if isinstance(event, FeedState)]
    lost, back = states[-2:]
    return [event for event in events[lost:back] if isinstance(event, Frame)]


def _served(orders: list[dict[str, object]], side: Side, start: str, end: str) -> list[object]:
    return [
        row for row in orders if row["transaction_type"] == side and start <= str(row["order_timestamp"])[11:19] <= end
    ]


def test_a_lost_exchange_pauses_what_it_no_longer_confirms(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, seed=8, mortal=True) as world:
        kite = world.prepare()
        clock = world.clock()
        sidecar = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 36))
        assert [row for row in kite.positions()["net"] if row["quantity"]]

        # Who may not give an order changes nothing; who may is obeyed at once.
        assert world.post("/flatten", "wrong").status_code == 401
        assert world.get("/status").json()["mode"] == "active"
        # Time stands still here, and in lockstep an order is obeyed at the next second.
        assert world.post("/pause").status_code == 202
        clock.sleep_until(moment(9, 36, 2))
        assert world.get("/status").json()["mode"] == "paused"
        assert world.post("/resume").status_code == 202
        clock.sleep_until(moment(9, 36, 4))
        assert world.get("/status").json()["mode"] == "active"
        metrics = world.get("/metrics").text
        assert 'g6_order_writes_total{action="place",outcome="acked"}' in metrics
        assert "g6_open_positions 1.0" in metrics
        assert "g6_step_seconds_bucket" in metrics

        world.kill_exchange()
        world.serve("09:35")
        clock.sleep_until(moment(9, 38, 30))
        status = world.get("/status").json()
        assert status["feed_connected"]
        assert status["mode"] == "paused"
        assert "not armed" not in status["reasons"]
        sidecar.send_signal(signal.SIGTERM)
        clock.close()
        text = said(sidecar)
        assert sidecar.returncode == 0, text
        assert "logged in to the simulated exchange again" in text
        assert "paused: broker and journal differ: position of token" in text
        assert "while holding" in text
        report = json.loads(world.paths.trade_report(DAY).read_text())
        assert any("broker and journal differ" in alert for alert in report["alerts"])
