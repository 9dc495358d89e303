"""Market data through kiteconnect: instruments and quotes in our own units, failures sorted by what to do.

The one place that reads Kite's market JSON. `fetch_quotes` calls the client's request method below its public
`quote()`, whose general-purpose date parser costs ten times as much as everything else in a cycle.
"""

import time as time_module
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from requests import RequestException

from g6_core.adapters.kite.client import KiteConnect, exceptions
from g6_core.domain.calendar import IndexSpec, MarketRules
from g6_core.domain.errors import BrokerError, DataError, Refused, RefusedAsked, TryLater
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import at
from g6_core.domain.money import paise
from g6_core.ports import Clock

QUOTE_KEYS_MAX = 500
QUOTE_INTERVAL_MS = 1_000
# So long after a turn that could not be told it is asked for again.
TURN_RETRY_MS = 1_000
NO_TIME_LEFT = "no time left for the call"
LOG_IN_AT_KITE = "log in again, set the new KITE_ACCESS_TOKEN and start this again; it continues where it was"
_RETRYABLE_CODES = frozenset({429, 500, 502, 503, 504})


class Turns(Protocol):
    """When the next call of a family may go."""

    def due_ms(self) -> int:
        """Earliest time of the next call; now if it may go at once. Raises TryLater when that cannot be known now."""
        ...

    def spend(self) -> None:
        """A call is made now."""
        ...


@dataclass(frozen=True, slots=True)
class Market:
    """An open market: the client, the clock it lives by, its turns with quotes and candles where others call too.

    `spot_kind` says what its index row stands for (`SpotKind`): a recorded chain has no index, its source serves the
    parity forward in that place. `final_ms` is when a replayed record first shows the state after the close, 0 for
    every other market.
    """

    kite: KiteConnect
    clock: Clock
    turns: Turns | None = None
    history: Turns | None = None
    spot_kind: str = "index"
    final_ms: int = 0


class CallSpacing:
    """Keeps calls of one endpoint family apart inside of one process: the broker allows one quote call a second."""

    def __init__(self, clock: Clock, interval_ms: int = QUOTE_INTERVAL_MS) -> None:
        self._clock = clock
        self._interval_ms = interval_ms
        self._free_ms = 0

    def due_ms(self) -> int:
        """Earliest time of the next call; now if it may go at once."""
        return max(self._clock.now_ms(), self._free_ms)

    def spend(self) -> None:
        """A call is made now."""
        self._free_ms = self._clock.now_ms() + self._interval_ms


def wait_for_turn(clock: Clock, turns: Turns, give_up_ms: int) -> Generator[int, None, str]:
    """Wait until a call may go; yields times (ms) to be resumed at. Returns why there is no turn before `give_up_ms`.

    The answer is "" when the call may go now.
    """
    while True:
        try:
            due_ms, problem = turns.due_ms(), NO_TIME_LEFT
        except TryLater as error:
            due_ms, problem = clock.now_ms() + TURN_RETRY_MS, str(error)
        else:
            # Another process may take the turn that was waited for.
            if due_ms <= clock.now_ms() < give_up_ms:
                return ""
        if max(due_ms, clock.now_ms()) >= give_up_ms:
            return problem
        yield due_ms


class MarketQuote(NamedTuple):
    """A quote as collected: rupees and units; None where Kite gives 0 for "nothing there"."""

    exchange_ms: int
    ltp: float | None
    bid: float | None
    ask: float | None
    bid_qty: int
    ask_qty: int
    volume: int
    oi: int
    average_price: float | None


def fetch_instruments(
    kite: KiteConnect, exchange: str, pause: Callable[[float], None] = time_module.sleep
) -> list[dict[str, Any]]:
    """The dump of one exchange as kiteconnect parses it; asked for again where that can help. Raises BrokerError."""
    for wait_s in (1.0, 2.0, 0.0):
        try:
            rows: list[dict[str, Any]] = kite.instruments(exchange)
            return rows
        except (exceptions.KiteException, RequestException) as error:
            problem = broker_error(error, f"instruments of {exchange}")
            cause: Exception = error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            # A page instead of a list, or one that was cut or mangled on the way.
            problem = TryLater(f"instruments of {exchange}: odd reply ({type(error).__name__}: {error})")
            cause = error
        if not (wait_s and isinstance(problem, TryLater)):
            raise problem from cause
        pause(wait_s)
    raise AssertionError("the last attempt returns or raises")


def instruments_from_kite(
    rows: Iterable[Mapping[str, Any]], rules: MarketRules, underlyings: Sequence[str]
) -> InstrumentBook:
    """Index rows and options of the wanted underlyings; futures and everything else are left out.

    Kite's `name` is the underlying of a derivative; an index row is known by its exchange and symbol.
    Raises DataError for a row whose cells are not what Kite documents.
    """
    specs = {name: rules.index(name) for name in underlyings}
    by_index_symbol = {(spec.index_exchange, spec.index_symbol): spec for spec in specs.values()}
    found: list[Instrument] = []
    for row in rows:
        try:
            if row["segment"] == "INDICES":
                spec = by_index_symbol.get((row["exchange"], row["tradingsymbol"]))
            else:
                spec = specs.get(row["name"])
                if spec is not None and row["segment"] != spec.option_segment:
                    spec = None
            if spec is not None:
                found.append(_instrument(row, spec))
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            symbol, problem = row.get("tradingsymbol", "a row"), f"{type(error).__name__} {error}"
            raise DataError(f"instruments dump: {symbol}: {problem}; fetch the dump again") from error
    return InstrumentBook.of(found)


def _instrument(row: Mapping[str, Any], spec: IndexSpec) -> Instrument:
    expiry = row["expiry"]
    if isinstance(expiry, datetime) or not (isinstance(expiry, date) or expiry == ""):
        raise DataError(f"instruments dump: {row['tradingsymbol']} has the expiry {expiry!r}; fetch the dump again")
    return Instrument(
        token=int(row["instrument_token"]),
        exchange_token=int(row["exchange_token"]),
        tradingsymbol=row["tradingsymbol"],
        underlying=spec.underlying,
        exchange=row["exchange"],
        segment=row["segment"],
        instrument_type=row["instrument_type"],
        expiry=expiry or None,
        strike_paise=paise(row["strike"]),
        tick_paise=paise(row["tick_size"]),
        lot_size=int(row["lot_size"]),
    )


def fetch_quotes(kite: KiteConnect, keys: Sequence[str]) -> dict[str, MarketQuote]:
    """Full quotes of at most `QUOTE_KEYS_MAX` keys; a key without data is absent, as Kite leaves it out.

    Raises TryLater when the same call may be repeated after a pause, else another BrokerError.
    """
    assert len(keys) <= QUOTE_KEYS_MAX
    try:
        reply = kite._get("market.quote", params={"i": list(keys)})
        return {key: _quote(row) for key, row in reply.items() if row.get("timestamp")}
    except exceptions.TokenException as error:
        what = f"quote of {len(keys)} instruments: {type(error).__name__} {error.code}: {error}"
        if kite.session_expiry_hook is not None:
            raise TryLater(what) from error  # the client has logged in again by itself, or tries to at the next call
        raise Refused(f"{what}; {LOG_IN_AT_KITE}") from error
    except (exceptions.KiteException, RequestException) as error:
        raise broker_error(error, f"quote of {len(keys)} instruments") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # kiteconnect lets odd bodies through as bare Python errors (no Content-Type, no error_type).
        raise TryLater(f"quote of {len(keys)} instruments: odd reply ({type(error).__name__}: {error})") from error


def _quote(row: Mapping[str, Any]) -> MarketQuote:
    depth = row.get("depth") or {}
    bid = _touch(depth.get("buy"))
    ask = _touch(depth.get("sell"))
    return MarketQuote(
        exchange_ms=stamp_ms(row["timestamp"]),
        ltp=row["last_price"] or None,
        bid=bid[0],
        ask=ask[0],
        bid_qty=bid[1],
        ask_qty=ask[1],
        volume=int(row.get("volume") or 0),
        oi=int(row.get("oi") or 0),
        average_price=row.get("average_price") or None,
    )


def _touch(levels: Sequence[Mapping[str, Any]] | None) -> tuple[float | None, int]:
    if not levels or not levels[0]["price"]:
        return None, 0
    return levels[0]["price"], int(levels[0]["quantity"])


@lru_cache(maxsize=16)
def _day_start_ms(day_text: str) -> int:
    return at(date.fromisoformat(day_text), time())


# Most contracts of a chain were stamped in the same few seconds.
@lru_cache(maxsize=1024)
def stamp_ms(text: str) -> int:
    """``2025-08-29 09:24:16`` (IST) to milliseconds; ValueError for any other form."""
    day_text, _, clock = text.partition(" ")
    hours, minutes, seconds = clock.split(":")
    return _day_start_ms(day_text) + (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1000


def broker_error(error: exceptions.KiteException | RequestException, what: str) -> BrokerError:
    """A failed read, sorted: TryLater for 429, 5xx and the network, else Refused, RefusedAsked if by what was asked."""
    if isinstance(error, exceptions.KiteException):
        line = f"{what}: {type(error).__name__} {error.code}: {error}"
        if isinstance(error, exceptions.InputException):
            return RefusedAsked(line)
        return TryLater(line) if error.code in _RETRYABLE_CODES else Refused(line)
    return TryLater(f"{what}: {type(error).__name__}")
