"""The way to the broker as the environment names it."""

import socket
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import TokenException

from g6_core.adapters.broker import Broker, BrokerSettings, open_clock, open_kite, renew_login, sim_status
from g6_core.adapters.clock import RealClock, SimClock
from g6_core.domain.errors import ConfigError, TryLater, UserError
from tests.sim.server.kit import Address, serving_here

CANARY = "canary-7f3a"
KITE = {"G6_BROKER": "kite", "KITE_API_KEY": "key", "KITE_ACCESS_TOKEN": CANARY}


@pytest.fixture(scope="module")
def server() -> Iterator[Address]:
    """An exchange in lockstep."""
    with serving_here() as running:
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
        ({"G6_SIM_URL": "http://127.0.0.1:abc"}, "G6_SIM_URL"),
        ({"G6_SIM_URL": "http://127.0.0.1:99999"}, "G6_SIM_URL"),
        ({"G6_SIM_PATIENCE_S": "long"}, "G6_SIM_PATIENCE_S=long: write whole seconds, 1 to 86400"),
        ({"G6_SIM_PATIENCE_S": "0"}, "G6_SIM_PATIENCE_S=0"),
        ({**KITE, "KITE_API_KEY": ""}, "KITE_API_KEY: not set"),
        ({"G6_BROKER": "kite", "KITE_API_KEY": "key"}, "KITE_ACCESS_TOKEN: not set"),
    ],
)
def test_a_wrong_environment_is_named(environment: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        BrokerSettings.from_env(environment)


def test_the_simulated_exchange_is_opened_without_any_secret(server: Address) -> None:
    settings = BrokerSettings.from_env({"G6_SIM_URL": server.url})
    assert open_kite(settings).profile()["user_id"] == "G6SIM1"
    with closing(open_clock(settings, "tests")) as clock:
        assert isinstance(clock, SimClock)


def test_no_exchange_is_one_line_that_names_the_fix() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match=r"start one \(`.*g6 sim serve --port \d+`\) or set G6_SIM_URL"):
        open_kite(BrokerSettings(sim_url=f"http://127.0.0.1:{port}"))


def test_an_expired_token_of_kite_is_named_and_not_shown(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KiteConnect, "_default_root_uri", server.url)
    with pytest.raises(ConfigError, match="KITE_ACCESS_TOKEN: refused by Kite") as refused:
        open_kite(BrokerSettings.from_env(KITE))
    assert CANARY not in str(refused.value)


def test_a_broker_in_trouble_may_be_asked_again(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KiteConnect, "_default_root_uri", server.url)
    server.order({"kind": "http_5xx", "path": "/user/profile", "count": 1})
    with pytest.raises(TryLater, match="login at Kite"):
        open_kite(BrokerSettings.from_env(KITE))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"detail": "Not Found"}'),
        ("text/html", b"<html>hello</html>"),
        ("application/json", b"[]"),
    ],
)
def test_a_port_of_somebody_else_is_said_to_be_that(content_type: str, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        thread = Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings = BrokerSettings(sim_url=f"http://127.0.0.1:{other.server_address[1]}")
        try:
            for ask in (open_kite, sim_status):
                with pytest.raises(UserError, match="answers, but is no simulated exchange; start one on another port"):
                    ask(settings)
        finally:
            other.shutdown()
            thread.join()


def test_the_simulated_exchange_is_logged_in_to_again_and_kite_only_by_a_person(server: Address) -> None:
    settings = BrokerSettings.from_env({"G6_SIM_URL": server.url})
    kite = open_kite(settings)
    said: list[str] = []
    renew_login(kite, settings, said.append)
    server.order({"kind": "token_expired"})
    with pytest.raises(TokenException):
        kite.profile()
    assert kite.profile()["user_id"] == "G6SIM1"
    server.order({"kind": "token_expired"}, {"kind": "http_5xx", "path": "/session/token", "count": 1})
    with pytest.raises(TokenException):
        kite.profile()
    with pytest.raises(TokenException):
        kite.profile()
    assert kite.profile()
    again = "logged in to the simulated exchange again"
    assert said == [again, "no new login at the simulated exchange: Gateway timed out", again]

    said.clear()
    renew_login(kite, BrokerSettings.from_env(KITE), said.append)
    server.order({"kind": "token_expired"})
    for _ in range(2):
        with pytest.raises(TokenException):
            kite.profile()
    (line,) = said
    assert line.startswith("Kite refused the access token: log in again, set the new KITE_ACCESS_TOKEN and start")
    assert CANARY not in line
