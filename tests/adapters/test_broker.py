"""The way to the broker as the environment names it."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from kiteconnect import KiteConnect

from g6_core.adapters.broker import Broker, BrokerSettings, open_clock, open_kite
from g6_core.adapters.clock import RealClock, SimClock
from g6_core.domain.errors import ConfigError, TryLater, UserError
from tests.sim.server.kit import Server, serving

CANARY = "canary-7f3a"
KITE = {"G6_BROKER": "kite", "KITE_API_KEY": "key", "KITE_ACCESS_TOKEN": CANARY}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An exchange in lockstep."""
    with serving("--lockstep") as running:
        yield running


def test_the_default_is_the_simulated_exchange_on_this_machine() -> None:
    settings = BrokerSettings.from_env({})
    assert (settings.broker, settings.sim_url) == (Broker.SIM, "http://127.0.0.1:8765")
    assert settings.feed_url == "ws://127.0.0.1:8765/"


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("G6_BROKER", raising=False)
    monkeypatch.setenv("G6_SIM_URL", "http://127.0.0.1:9000/")
    assert BrokerSettings.from_env().sim_url == "http://127.0.0.1:9000"


def test_kite_takes_its_secrets_from_the_environment_and_does_not_show_them() -> None:
    settings = BrokerSettings.from_env(KITE)
    assert (settings.broker, settings.access_token) == (Broker.KITE, CANARY)
    assert settings.feed_url == "wss://ws.kite.trade"
    assert CANARY not in repr(settings)
    assert isinstance(open_clock(settings, "any"), RealClock)


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"G6_BROKER": "zerodha"}, "G6_BROKER=zerodha"),
        ({"G6_SIM_URL": "127.0.0.1:8765"}, "G6_SIM_URL"),
        ({"G6_SIM_URL": "https://127.0.0.1:8765"}, "G6_SIM_URL"),
        ({"G6_SIM_URL": "http://127.0.0.1:8765/sim"}, "G6_SIM_URL"),
        ({**KITE, "KITE_API_KEY": ""}, "KITE_API_KEY: not set"),
        ({"G6_BROKER": "kite", "KITE_API_KEY": "key"}, "KITE_ACCESS_TOKEN: not set"),
    ],
)
def test_a_wrong_environment_is_named(environment: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        BrokerSettings.from_env(environment)


def test_the_simulated_exchange_is_opened_without_any_secret(server: Server) -> None:
    settings = BrokerSettings.from_env({"G6_SIM_URL": server.url})
    assert open_kite(settings).profile()["user_id"] == "G6SIM1"
    with closing(open_clock(settings, "tests")) as clock:
        assert isinstance(clock, SimClock)


def test_no_exchange_is_one_line_that_names_the_fix() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match="start one with `g6 sim serve` or set G6_SIM_URL"):
        open_kite(BrokerSettings(sim_url=f"http://127.0.0.1:{port}"))


def test_an_expired_token_of_kite_is_named_and_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KiteConnect, "_default_root_uri", server.url)
    with pytest.raises(ConfigError, match="KITE_ACCESS_TOKEN: refused by Kite") as refused:
        open_kite(BrokerSettings.from_env(KITE))
    assert CANARY not in str(refused.value)


def test_a_broker_in_trouble_may_be_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KiteConnect, "_default_root_uri", server.url)
    server.order({"kind": "http_5xx", "path": "/user/profile", "count": 1})
    with pytest.raises(TryLater, match="login at Kite"):
        open_kite(BrokerSettings.from_env(KITE))
