"""The way to the broker as the environment names it: the simulated exchange by default, or Kite.

G6_BROKER          sim (default) or kite
G6_SIM_URL         where `g6 sim serve` listens, default http://127.0.0.1:8765
G6_SIM_PATIENCE_S  how long that exchange may be away while somebody works with it, default 60
KITE_API_KEY       only for kite; both are secrets and come from nowhere else
KITE_ACCESS_TOKEN
G6_LIMITS_DIR      where the processes that share an API key keep their calls apart
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import RequestException

from g6_core.adapters.clock import OnlookerClock, RealClock, SimClock
from g6_core.adapters.hints import command, serve_command
from g6_core.adapters.kite.client import KiteConnect, exceptions
from g6_core.adapters.kite_market import LOG_IN_AT_KITE, broker_error
from g6_core.adapters.limits import (
    PATIENCE_MS,
    Family,
    FamilyTurns,
    FlowingClock,
    LimitedAdapter,
    Limiter,
    limits_path,
)
from g6_core.domain.errors import ConfigError, UserError

SIM_URL = "http://127.0.0.1:8765"
# Key, secret and request token of the simulated exchange: it guards nothing.
SIM_LOGIN = "g6sim"
PATIENCE_S, PATIENCE_S_MAX = 60, 86_400
STATUS_TIMEOUT_S = 5.0
# What kiteconnect makes of an answer that is not Kite's.
ODD_ANSWER = (AttributeError, KeyError, TypeError, ValueError)
# Clocks of two processes may differ by the way of one message.
MARGIN_MS = 25


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
    patience_s: int = PATIENCE_S

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> "BrokerSettings":
        """Read the environment (of this process by default). Raises ConfigError naming the variable."""
        known = os.environ if environment is None else environment
        name = known.get("G6_BROKER") or Broker.SIM
        if name not in set(Broker):
            raise ConfigError(f"G6_BROKER={name}: unknown; write sim or kite")
        if name == Broker.SIM:
            url = _checked_url(known.get("G6_SIM_URL") or SIM_URL)
            return cls(sim_url=url, patience_s=_patience(known.get("G6_SIM_PATIENCE_S") or str(PATIENCE_S)))
        for variable in ("KITE_API_KEY", "KITE_ACCESS_TOKEN"):
            if not known.get(variable):
                raise ConfigError(f"{variable}: not set; with G6_BROKER=kite it comes from the environment")
        return cls(Broker.KITE, api_key=known["KITE_API_KEY"], access_token=known["KITE_ACCESS_TOKEN"])

    @property
    def feed_url(self) -> str:
        """Where the ticker's WebSocket is, without its query."""
        return f"ws{self.sim_url.removeprefix('http')}/" if self.broker is Broker.SIM else "wss://ws.kite.trade"


@dataclass(frozen=True, slots=True)
class Line:
    """An open line to the broker: its client, the clock it lives by, and the turns of its quotes and candles."""

    kite: KiteConnect
    clock: SimClock | RealClock
    quotes: FamilyTurns
    history: FamilyTurns


def open_line(settings: BrokerSettings, name: str, *, quote_patience_ms: int = PATIENCE_MS) -> Line:
    """The broker as participant `name` of its time. Close the clock. Errors as `open_kite`.

    A quote waits `quote_patience_ms` for its turn at the most.
    """
    clock = open_clock(settings, name)
    try:
        limiter = _limiter(settings, clock)
        kite = _logged_in(settings, clock, limiter, quote_patience_ms)
        return Line(kite, clock, FamilyTurns(limiter, Family.QUOTE), FamilyTurns(limiter, Family.HISTORICAL))
    except BaseException:
        clock.close()
        raise


def open_kite(settings: BrokerSettings) -> KiteConnect:
    """A client with a session that the broker has confirmed, without a part in simulated time.

    Raises ConfigError when the broker refuses the secrets, UserError when no simulated exchange answers, TryLater
    when Kite does not.
    """
    if settings.broker is Broker.KITE:
        clock: FlowingClock = RealClock()
        return _logged_in(settings, clock, _limiter(settings, clock))
    status = sim_status(settings)
    mode, _, speed = str(status["mode"]).partition(" ")
    if mode == "speed":
        clock = OnlookerClock(int(status["now_ms"]), float(speed))
        return _logged_in(settings, clock, _limiter(settings, clock))
    # In lockstep only participants can wait for time. While none is there, the exchange counts in real time.
    clock = RealClock()
    return _logged_in(settings, clock, _limiter(settings, clock, " onlookers"))


def _limiter(settings: BrokerSettings, clock: FlowingClock, who: str = "") -> Limiter:
    key, root = (settings.api_key, "kite") if settings.broker is Broker.KITE else (SIM_LOGIN, settings.sim_url)
    return Limiter(clock, limits_path(key, root + who), round(MARGIN_MS * clock.speed))


def _logged_in(
    settings: BrokerSettings, clock: FlowingClock, limiter: Limiter, quote_patience_ms: int = PATIENCE_MS
) -> KiteConnect:
    """The one place where a client is made."""
    real = settings.broker is Broker.KITE
    kite = (
        KiteConnect(settings.api_key, access_token=settings.access_token)
        if real
        else KiteConnect(SIM_LOGIN, root=settings.sim_url)
    )
    for scheme in ("http://", "https://"):
        kite.reqsession.mount(scheme, LimitedAdapter(limiter, clock, quote_patience_ms))
    if real:
        _confirm(kite)
    else:
        _log_in(kite, settings)
    return kite


def _log_in(kite: KiteConnect, settings: BrokerSettings) -> None:
    """A session of the simulated exchange."""
    # A proxy of the machine is for the world outside of it.
    kite.reqsession.trust_env = False
    try:
        kite.generate_session(SIM_LOGIN, SIM_LOGIN)
    except RequestException as error:
        raise _nobody_there(settings, error) from error
    except (exceptions.DataException, *ODD_ANSWER) as error:
        raise _somebody_else(settings) from error
    except exceptions.KiteException as error:
        raise broker_error(error, f"login at {settings.sim_url}") from error


def renew_login(kite: KiteConnect, settings: BrokerSettings, say: Callable[[str], None]) -> Callable[[], None]:
    """Have the client do something about a refused token, and give that something to who hears of a refusal elsewhere.

    The simulated exchange gives a new login, after its own restart for instance. Kite gives one only to a person:
    that is said once.
    """
    told: list[bool] = []

    def log_in() -> None:
        kite.session_expiry_hook = None  # a refused login must not lead to the next one
        try:
            kite.generate_session(SIM_LOGIN, SIM_LOGIN)
            say("logged in to the simulated exchange again")
        except (exceptions.KiteException, RequestException, *ODD_ANSWER) as error:
            say(f"no new login at the simulated exchange: {error}")
        kite.set_session_expiry_hook(log_in)

    def tell() -> None:
        if not told:
            told.append(True)
            say(f"Kite refused the access token: {LOG_IN_AT_KITE}")

    renew = log_in if settings.broker is Broker.SIM else tell
    kite.set_session_expiry_hook(renew)
    return renew


def sim_status(settings: BrokerSettings, timeout_s: float = STATUS_TIMEOUT_S) -> dict[str, Any]:
    """What the simulated exchange says about itself. UserError when none answers."""
    with requests.Session() as session:
        # A proxy of the machine is for the world outside of it.
        session.trust_env = False
        try:
            answer = session.get(f"{settings.sim_url}/sim/status", timeout=timeout_s)
            answer.raise_for_status()
        except RequestException as error:
            raise _nobody_there(settings, error) from error
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or "mode" not in found:
        raise _somebody_else(settings)
    return found


def _nobody_there(settings: BrokerSettings, error: RequestException) -> UserError:
    return UserError(
        f"no simulated exchange at {settings.sim_url} ({type(error).__name__}); "
        f"start one (`{serve_command(settings.sim_url)}`) or set G6_SIM_URL"
    )


def _somebody_else(settings: BrokerSettings) -> UserError:
    return UserError(
        f"{settings.sim_url} answers, but is no simulated exchange; start one on another port "
        f"(`{command('sim', 'serve', '--port', 0)}` takes a free one) and set G6_SIM_URL to it"
    )


def open_clock(settings: BrokerSettings, name: str) -> SimClock | RealClock:
    """The clock to live by: the simulated exchange's, as participant `name`, or the machine's."""
    return (
        SimClock(settings.sim_url, name, patience_s=settings.patience_s)
        if settings.broker is Broker.SIM
        else RealClock()
    )


def _confirm(kite: KiteConnect) -> None:
    """Ask Kite whether the token is good."""
    try:
        kite.profile()
    except exceptions.TokenException as error:
        raise ConfigError(
            f"KITE_ACCESS_TOKEN: refused by Kite ({error}); it ends at 06:00 every day: log in and set the new one"
        ) from error
    except (exceptions.KiteException, RequestException) as error:
        raise broker_error(error, "login at Kite") from error


def _patience(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= PATIENCE_S_MAX:
        raise ConfigError(f"G6_SIM_PATIENCE_S={text}: write whole seconds, 1 to {PATIENCE_S_MAX}")
    return int(text)


def _checked_url(text: str) -> str:
    """``http://host:port``: the client drops any path, so one is an error here."""
    url = text.rstrip("/")
    parts = urlsplit(url)
    try:
        whole = parts.scheme == "http" and parts.hostname and parts.port and not parts.path and not parts.query
    except ValueError:
        whole = False
    if not whole:
        raise ConfigError(f"G6_SIM_URL={text}: not like {SIM_URL}; write scheme, host and port only")
    return url
