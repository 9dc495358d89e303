"""Minute candles through kiteconnect: what the broker still knows of a contract's past, with open interest.

The broker allows three calls a second and sixty days of minutes a call; it has nothing of expired options.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from requests import RequestException

from g6_core.adapters.kite.client import KiteConnect, exceptions
from g6_core.adapters.kite_market import broker_error
from g6_core.domain.errors import TryLater
from g6_core.domain.ist import MINUTE_MS, ist_text, to_ms

CALL_INTERVAL_MS = 334
WINDOW_DAYS_MAX = 60
MINUTE = "minute"


@dataclass(frozen=True, slots=True)
class Candle:
    """One minute from `time_ms` on; rupees and units. `oi` is that of the minute's end, None where it was not told."""

    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    oi: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The minutes that have a candle, oldest first.

    `recorded` is only known of a replayed recording: the minutes that it holds, as spans of first and last (ms).
    """

    candles: tuple[Candle, ...]
    recorded: tuple[tuple[int, int], ...] | None = None


def fetch_candles(kite: KiteConnect, token: int, from_ms: int, to_ms_: int, what: str) -> Answer:
    """Return the candles of the minutes from `from_ms` to `to_ms_`, both starts of minutes.

    `what` names the contract in errors. Raises TryLater when the same call may be repeated after a pause or when the
    answer is not what was asked for, else another BrokerError.
    """
    assert 0 <= to_ms_ - from_ms <= WINDOW_DAYS_MAX * 24 * 60 * MINUTE_MS
    window = {"from": ist_text(from_ms), "to": ist_text(to_ms_), "interval": MINUTE, "continuous": 0, "oi": 1}
    try:
        # As kiteconnect's historical_data, whose reading of dates takes most of the time of a day of candles.
        reply = kite._get("market.historical", url_args={"instrument_token": token, "interval": MINUTE}, params=window)
        found = tuple(map(_candle, reply["candles"]))
        spans = reply.get("recorded")
        recorded = None if spans is None else tuple((_time_ms(first), _time_ms(last)) for first, last in spans)
    except (exceptions.KiteException, RequestException) as error:
        raise broker_error(error, f"candles of {what}") from error
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        # kiteconnect lets odd bodies through as bare Python errors.
        raise TryLater(f"candles of {what}: odd reply ({type(error).__name__}: {error})") from error
    _require_answer(found, from_ms, to_ms_, what)
    return Answer(found, recorded)


def _candle(row: Sequence[Any]) -> Candle:
    """The stamp has its offset (+0530); open interest may be left out."""
    stamp, opened, high, low, close, volume, *rest = row
    oi = rest[0] if rest else None
    return Candle(
        _time_ms(stamp),
        float(opened),
        float(high),
        float(low),
        float(close),
        int(volume),
        None if oi is None else int(oi),
    )


def _time_ms(stamp: str) -> int:
    return to_ms(datetime.fromisoformat(stamp))


def _require_answer(found: tuple[Candle, ...], from_ms: int, to_ms_: int, what: str) -> None:
    """Whole minutes, each once and in order, none that was not asked for. Prices are kept as they are told."""
    times = [one.time_ms for one in found]
    if times != sorted(set(times)) or any(time_ms % MINUTE_MS for time_ms in times):
        raise TryLater(f"candles of {what}: minutes out of order")
    if times and not from_ms <= times[0] <= times[-1] <= to_ms_:
        raise TryLater(f"candles of {what}: minutes that were not asked for")
