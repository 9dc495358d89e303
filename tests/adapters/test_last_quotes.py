"""The last quotes in a real Redis, and a Redis that goes away."""

import json
import socket
import time
from contextlib import closing
from datetime import date

import pytest
import redis

from g6_core.adapters.last_quotes import CHANNEL, open_last_quotes
from g6_core.domain.errors import ConfigError
from g6_core.schema.options import OptionRow, SideCells
from g6_core.sim.clock import VirtualClock
from tests.servers import serving_redis

NOW = 1_763_436_600_000


def row(symbol: str, status: str = "live", ltp: float = 101.5) -> OptionRow:
    call = SideCells(status, symbol, ltp, 101.0, 102.0, 75, 75, 1000, 2000, 100.0)
    put = SideCells("missing", f"{symbol}-PE")
    return OptionRow(
        NOW, NOW, "NIFTY", "this_week", date(2025, 9, 2), 0, 24_500.0, 24_500.0, 4, 5_940.0, 24_512.35, "index", None,
        call, put,
    )  # fmt: skip


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.mark.slow
def test_readers_find_the_last_quote_of_each_contract_and_hear_of_each_cycle(tmp_path, clock) -> None:
    said: list[str] = []
    with serving_redis(tmp_path) as server, open_last_quotes(server.url, 500, 900, clock, said.append) as last:
        assert last is not None
        reader = redis.Redis.from_url(server.url)
        heard = reader.pubsub(ignore_subscribe_messages=True)
        heard.subscribe(CHANNEL)
        last.publish({"NIFTY": [row("OLD-CE")], "SENSEX": [row("S-CE")]}, {"cycle": 1})
        last.publish({"NIFTY": [row("NEW-CE"), row("NEW-CE", ltp=7.0)]}, {"cycle": 2})
        quotes = {key.decode(): json.loads(value) for key, value in reader.hgetall("g6:quotes:NIFTY").items()}
        assert list(quotes) == ["NEW-CE"], "contracts of an earlier money are gone, missing ones were never there"
        assert quotes["NEW-CE"]["ltp"] == 101.5, "a contract under two codes is the same"
        assert quotes["NEW-CE"]["time"].endswith("Z") and quotes["NEW-CE"]["expiry"] == "2025-09-02"
        assert reader.hlen("g6:quotes:SENSEX") == 1, "an index that has closed keeps its last"
        assert 0 < reader.ttl("g6:quotes:NIFTY") <= 900
        messages = []
        give_up_s = time.monotonic() + 5
        while len(messages) < 2 and time.monotonic() < give_up_s:
            message = heard.get_message(timeout=0.2)
            messages += [json.loads(message["data"])["cycle"]] if message else []
        assert messages == [1, 2]
        heard.close()
        reader.close()
    assert said == []


def test_a_redis_that_vanishes_costs_its_timeout_once_and_is_used_again_when_back(tmp_path, clock) -> None:
    said: list[str] = []
    with serving_redis(tmp_path) as server, open_last_quotes(server.url, 200, 900, clock, said.append) as last:
        assert last is not None
        last.publish({"NIFTY": [row("A-CE")]}, {"cycle": 1})
        server.kill()
        began_s = time.monotonic()
        for cycle in range(2, 5):
            last.publish({"NIFTY": [row("A-CE")]}, {"cycle": cycle})
        assert time.monotonic() - began_s < 5, "three timeouts at most"
        assert len(said) == 1 and "collection goes on without it" in said[0]
        server.start()
        last.publish({"NIFTY": [row("B-CE")]}, {"cycle": 5})
        assert said[1:] == [], "it is left alone for a while"
        clock.sleep_until(NOW + 30_000)
        last.publish({"NIFTY": [row("B-CE")]}, {"cycle": 6})
        assert said[1:] == ["Redis is back"]
        with closing(redis.Redis.from_url(server.url)) as reader:
            assert reader.hkeys("g6:quotes:NIFTY") == [b"B-CE"]


def test_a_server_that_hangs_is_not_waited_for(tmp_path, clock) -> None:
    said: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        with open_last_quotes(url, 150, 900, clock, said.append) as last:
            assert last is not None
            began_s = time.monotonic()
            last.publish({"NIFTY": [row("A-CE")]}, {"cycle": 1})
            assert time.monotonic() - began_s < 5, "three timeouts at most"
    assert len(said) == 1


def test_no_address_is_no_publisher_and_a_wrong_one_is_named(clock, monkeypatch) -> None:
    monkeypatch.delenv("G6_REDIS_URL", raising=False)
    with open_last_quotes(None, 200, 900, clock, print) as last:
        assert last is None
    monkeypatch.setenv("G6_REDIS_URL", "http://127.0.0.1")
    with pytest.raises(ConfigError, match="the address of Redis"), open_last_quotes(None, 200, 900, clock, print):
        pass
