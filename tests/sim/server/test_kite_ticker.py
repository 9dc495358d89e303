"""The unmodified `KiteTicker` against the served exchange."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.sim.server.kit import INDEX_TOKEN, Desk, ticks, until

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("kite_ticker.py")
Heard = list[dict[str, Any]]


@contextmanager
def ticker(desk: Desk, *modes: str) -> Iterator[Heard]:
    """What a KiteTicker's callbacks were told, growing while it runs."""
    before = len(desk.server.status()["tickers"])
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), desk.server.url.replace("http", "ws"), desk.kite.access_token, *modes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # The SDK's times are naive in the machine's zone: make that India.
        env={**os.environ, "TZ": "Asia/Kolkata"},
    )
    heard: Heard = []
    assert process.stdout is not None and process.stdin is not None
    lines = process.stdout
    reader = Thread(target=lambda: heard.extend(json.loads(line) for line in lines))
    reader.start()
    try:
        until(lambda: any(one["kind"] == "connect" for one in heard), "the ticker is connected")
        yield heard
    finally:
        process.stdin.close()
        process.wait(10)
        reader.join()
        lines.close()
    until(lambda: len(desk.server.status()["tickers"]) == before, "the exchange has seen it go")


def latest(heard: Heard) -> dict[int, dict[str, Any]]:
    """The last tick of each token."""
    ticks_of = [tick for one in list(heard) if one["kind"] == "ticks" for tick in one["ticks"]]
    return {tick["instrument_token"]: tick for tick in ticks_of}


def test_all_kinds_of_packets_say_what_the_quotes_say(desk: Desk) -> None:
    rows = [row for row in desk.kite.instruments("NFO") if row["expiry"] == desk.contract["expiry"]]
    place = rows.index(desk.contract)
    by_ltp, by_quote = rows[place + 2], rows[place - 2]
    tokens = [row["instrument_token"] for row in (by_ltp, by_quote)]
    modes = {tokens[0]: "ltp", tokens[1]: "quote", desk.token: "full", INDEX_TOKEN: "full"}
    asked = (f"ltp={tokens[0]}", f"quote={tokens[1]}", f"full={desk.token},{INDEX_TOKEN}")
    with ticker(desk, *asked) as heard:
        until(lambda: {k: v["mode"] for k, v in latest(heard).items()} == modes, "all modes are in force")
        desk.wait()
        quotes = desk.kite.quote(desk.key, f"NFO:{by_ltp['tradingsymbol']}", f"NFO:{by_quote['tradingsymbol']}")
        quote, now_text = quotes[desk.key], str(quotes[desk.key]["timestamp"])
        until(lambda: latest(heard)[desk.token]["exchange_timestamp"] == now_text, "the tick of this second is there")
    full, index = latest(heard)[desk.token], latest(heard)[INDEX_TOKEN]
    assert full["volume_traded"] == quote["volume"]
    for name in ("last_price", "oi", "depth", "ohlc"):
        assert full[name] == quote[name], name
    assert full["last_trade_time"] == str(quote["last_trade_time"])
    assert index["exchange_timestamp"] == now_text and index["tradable"] is False
    assert latest(heard)[tokens[0]]["last_price"] == quotes[f"NFO:{by_ltp['tradingsymbol']}"]["last_price"]
    assert latest(heard)[tokens[1]]["ohlc"] == quotes[f"NFO:{by_quote['tradingsymbol']}"]["ohlc"]


def test_an_index_in_quote_mode_and_heartbeats_and_order_updates(desk: Desk) -> None:
    ask = desk.quote()["depth"]["sell"][0]["price"]
    with ticker(desk, f"quote={INDEX_TOKEN}") as heard:
        until(lambda: INDEX_TOKEN in latest(heard), "the index is quoted")
        assert latest(heard)[INDEX_TOKEN]["mode"] == "quote"
        order_id = desk.place(desk.lot, ticks(ask * 1.05))
        desk.wait()

        def pushed() -> list[dict[str, Any]]:
            return [one["data"] for one in heard if one["kind"] == "order" and one["data"]["order_id"] == order_id]

        until(lambda: any(row["status"] == "COMPLETE" for row in pushed()), "the fill was pushed")
        update = pushed()[-1]
        assert (update["order_id"], update["status"], update["filled_quantity"]) == (order_id, "COMPLETE", desk.lot)
    with ticker(desk, "full=1") as heard:
        desk.wait()
        until(lambda: any(one["kind"] == "heartbeat" for one in heard), "a heartbeat came")
    assert not latest(heard)


def test_after_a_cut_it_comes_back_with_every_subscription(desk: Desk) -> None:
    with ticker(desk, f"full={desk.token},{INDEX_TOKEN}") as heard:
        until(lambda: len(latest(heard)) == 2, "both are quoted")
        desk.server.order({"kind": "ws_drop", "for_ms": 30_000})
        until(lambda: any(one["kind"] == "reconnect" for one in heard), "it noticed")
        assert desk.server.status()["tickers"] == []
        desk.wait(31_000)
        until(lambda: [one["instruments"] for one in desk.server.status()["tickers"]] == [2], "it is back")
