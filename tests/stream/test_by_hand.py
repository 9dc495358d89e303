"""A person sells our contract at the broker while the sidecar holds it: the position never goes below zero."""

import json
import re
import signal
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from kiteconnect import KiteConnect

from tests.stream.wire import DAY, moment, quick_config, said, wire

pytestmark = pytest.mark.slow

# With this seed the quick strategy buys 260 at 09:35:02 and holds until 10:00.
SEED, BOUGHT = 8, 260
SECOND_MS = 1_000
# Enough for the broker to let somebody sell what a resting order has for sale already, and an early end of the day.
RICH = {
    "capital_inr: 300000": "capital_inr: 30000000",
    "max_lots: 100": "max_lots: 4",
    'time_exit: "15:20"': 'time_exit: "09:40"',
    'flat_by: "15:25"': 'flat_by: "09:42"',
}


def rich_config(shipped: Path, place: Path) -> Path:
    """The strategy in a hurry, with a fortune in the account, the same quantity to buy, and the time exit at 09:40."""
    quick_config(shipped, place)
    settings = place / "g6.yaml"
    text = settings.read_text()
    for old, new in RICH.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)
    strategy = place / "strategies" / "supertrend_adx.yaml"
    strategy.write_text(re.sub(r'theta_cutoff: "\d\d:\d\d"', 'theta_cutoff: "09:39"', strategy.read_text()))
    return place


def sell(kite: KiteConnect, row: dict[str, Any], quantity: int) -> str:
    """What the sell button of the broker's app does."""
    order_id: str = kite.place_order(
        "regular", row["exchange"], row["tradingsymbol"], "SELL", quantity, row["product"], "MARKET",
        market_protection=5,
    )  # fmt: skip
    return order_id


def held(kite: KiteConnect) -> list[dict[str, Any]]:
    return [row for row in kite.positions()["net"] if row["quantity"]]


def lowest(kite: KiteConnect) -> dict[str, int]:
    """By contract, the smallest position of the day: every trade of the broker, in order."""
    signed: dict[str, list[int]] = {}
    for row in sorted(kite.trades(), key=lambda row: (row["fill_timestamp"], int(row["trade_id"]))):
        quantity = row["quantity"] if row["transaction_type"] == "BUY" else -row["quantity"]
        signed.setdefault(row["tradingsymbol"], []).append(quantity)
    return {symbol: min(accumulate(moves)) for symbol, moves in signed.items()}


def resting(kite: KiteConnect) -> list[tuple[str, int]]:
    """Our exits at the broker: status and what is still for sale."""
    return [
        (row["status"], row["pending_quantity"])
        for row in kite.orders()
        if row["transaction_type"] == "SELL" and row["tag"] and row["status"] in ("OPEN", "TRIGGER PENDING")
    ]


def test_what_a_person_sold_by_hand_is_never_sold_again(tmp_path: Path, config_dir: Path) -> None:
    sold = BOUGHT // 2
    with wire(tmp_path, config_dir, SEED, config=rich_config) as world:
        kite = world.prepare()
        clock = world.clock()
        sidecar = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 36))
        (row,) = held(kite)
        assert (row["quantity"], resting(kite)) == (BOUGHT, [("TRIGGER PENDING", BOUGHT)])

        by_hand = sell(kite, row, sold)
        clock.sleep_until(moment(9, 36, 10))
        left = BOUGHT - sold
        assert [one["quantity"] for one in held(kite)] == [left]
        assert resting(kite) == [("TRIGGER PENDING", left)], "the stop went with the shares"
        status = world.get("/status").json()
        assert status["mode"] == "paused"
        assert [one["quantity"] for one in status["positions"]] == [left]

        # Nor does it come back: after the minute in which books may differ, on a person's order, at the time exit.
        clock.sleep_until(moment(9, 38))
        assert world.post("/resume").status_code == 202
        clock.sleep_until(moment(9, 43))
        assert world.post("/flatten").status_code == 202
        clock.sleep_until(moment(9, 43, 30))
        assert held(kite) == [] and resting(kite) == []
        assert lowest(kite) == {row["tradingsymbol"]: 0}
        quantities = Counter(one["transaction_type"] for one in kite.trades() for _ in range(one["quantity"]))
        assert quantities == {"BUY": BOUGHT, "SELL": BOUGHT}
        sidecar.send_signal(signal.SIGTERM)
        clock.close()
        text = said(sidecar)
        assert sidecar.returncode == 0, text
        why = f"paused: the broker holds {left} of {row['tradingsymbol']} and the journal {BOUGHT}, so only {left} will"
        assert text.count(why) == 1
        assert f"order {by_hand} (tag none) is not ours: left alone" in text
        assert "not armed: position of token" in text, "nothing is entered until somebody has put it right"
        alerts = json.loads(world.paths.trade_report(DAY).read_text())["alerts"]
        assert any(one.startswith(why) for one in alerts)
        assert not any("not flat when everything must be" in one for one in alerts), "nothing of it is left"


def test_what_was_sold_while_the_sidecar_was_dead_is_not_sold_after_its_start(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, SEED, config=rich_config) as world:
        kite = world.prepare()
        clock = world.clock()
        first = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 36))
        (row,) = held(kite)
        first.send_signal(signal.SIGKILL)
        first.wait()
        sell(kite, row, BOUGHT)
        # The time exit is due when it comes back.
        clock.sleep_until(moment(9, 41))
        assert held(kite) == [] and resting(kite) == [("TRIGGER PENDING", BOUGHT)]

        second = world.sidecar()
        world.await_sidecar()
        clock.sleep_until(moment(9, 43))
        assert lowest(kite) == {row["tradingsymbol"]: 0}
        assert held(kite) == [] and resting(kite) == []
        second.send_signal(signal.SIGTERM)
        clock.close()
        text = said(second)
        assert second.returncode == 0, text
        assert f"paused: the broker holds 0 of {row['tradingsymbol']} and the journal {BOUGHT}" in text
