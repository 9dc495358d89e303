"""The way to the broker as the environment names it: the simulated exchange by default, or Kite.

G6_BROKER          sim (default) or kite
G6_SIM_URL         where `g6 sim serve` listens, default http://127.0.0.1:8765
KITE_API_KEY       only for kite; both are secrets and come from nowhere else
KITE_ACCESS_TOKEN
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from kiteconnect import KiteConnect
from kiteconnect.exceptions import KiteException, TokenException
from requests import RequestException

from g6_core.adapters.clock import RealClock, SimClock
from g6_core.adapters.kite_market import broker_error
from g6_core.domain.errors import ConfigError, UserError

SIM_URL = "http://127.0.0.1:8765"
# Key, secret and request token of the simulated exchange: it guards nothing.
SIM_LOGIN = "g6sim"


class Broker(StrEnum):
    """Who is traded with."""

    SIM = "sim"
    KITE = "kite"


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What the environment says. Secrets are not shown when printed."""

    broker: Broker = Broker.SIM
    sim_url: str = SIM_URL
    api_key: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> "BrokerSettings":
        """Read the environment (of this process by default). Raises ConfigError naming the variable."""
        known = os.environ if environment is None else environment
        name = known.get("G6_BROKER") or Broker.SIM
        if name not in set(Broker):
            raise ConfigError(f"G6_BROKER={name}: unknown; write sim or kite")
        if name == Broker.SIM:
            return cls(sim_url=_checked_url(known.get("G6_SIM_URL") or SIM_URL))
        for variable in ("KITE_API_KEY", "KITE_ACCESS_TOKEN"):
            if not known.get(variable):
                raise ConfigError(f"{variable}: not set; with G6_BROKER=kite it comes from the environment")
        return cls(Broker.KITE, api_key=known["KITE_API_KEY"], access_token=known["KITE_ACCESS_TOKEN"])

    @property
    def feed_url(self) -> str:
        """Where the ticker's WebSocket is, without its query."""
        return f"ws{self.sim_url.removeprefix('http')}/" if self.broker is Broker.SIM else "wss://ws.kite.trade"


def open_kite(settings: BrokerSettings) -> KiteConnect:
    """A client with a session that the broker has confirmed.

    Raises ConfigError when the broker refuses the secrets, UserError when no simulated exchange answers, TryLater
    when Kite does not.
    """
    if settings.broker is Broker.KITE:
        return _open_real(settings)
    kite = KiteConnect(SIM_LOGIN, root=settings.sim_url)
    # A proxy of the machine is for the world outside of it.
    kite.reqsession.trust_env = False
    try:
        kite.generate_session(SIM_LOGIN, SIM_LOGIN)
    except RequestException as error:
        raise UserError(
            f"no simulated exchange at {settings.sim_url} ({type(error).__name__}); "
            "start one with `g6 sim serve` or set G6_SIM_URL"
        ) from error
    except KiteException as error:
        raise broker_error(error, f"login at {settings.sim_url}") from error
    return kite


def open_clock(settings: BrokerSettings, name: str) -> SimClock | RealClock:
    """The clock to live by: the simulated exchange's, as participant `name`, or the machine's."""
    return SimClock(settings.sim_url, name) if settings.broker is Broker.SIM else RealClock()


def _open_real(settings: BrokerSettings) -> KiteConnect:
    kite = KiteConnect(settings.api_key, access_token=settings.access_token)
    try:
        kite.profile()
    except TokenException as error:
        raise ConfigError(
            f"KITE_ACCESS_TOKEN: refused by Kite ({error}); it ends at 06:00 every day: log in and set the new one"
        ) from error
    except (KiteException, RequestException) as error:
        raise broker_error(error, "login at Kite") from error
    return kite


def _checked_url(text: str) -> str:
    """``http://host:port``: the client drops any path, so one is an error here."""
    url = text.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path or parts.query:
        raise ConfigError(f"G6_SIM_URL={text}: not like {SIM_URL}; write scheme, host and port only")
    return url
