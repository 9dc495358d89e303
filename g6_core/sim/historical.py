"""Kite's historical candles of the simulated day, read off the same quotes that were served live, second by second.

A candle starts at its interval's place from the open and holds the trades of its seconds: volumes add up to the
volume of the quote, the close and the open interest are those of its last second. An interval without a trade has no
candle; an index has one whenever it is known. Nothing beyond the time of the call is ever told.

A recording is silent at times. What was traded in a silence shows at its end, and belongs to no minute: there is a
candle only where the source recorded every minute of it (`recorded_minutes`), and the answer says which those are.
Only the candle of a whole day is made in any case.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at, to_ist, to_ms
from g6_core.sim.refusals import kite_error
from g6_core.sim.source import MarketSource

DAY = "day"
DAY_MINUTES = 24 * 60
# Minutes of an interval and the longest window of one call in days.
INTERVALS: Mapping[str, tuple[int, int]] = {
    "minute": (1, 60),
    "3minute": (3, 100),
    "5minute": (5, 100),
    "10minute": (10, 100),
    "15minute": (15, 200),
    "30minute": (30, 200),
    "60minute": (60, 400),
    DAY: (DAY_MINUTES, 2_000),
}

Candle = list[str | float | int]
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What a call asks for: candles that start in `from_ms`..`to_ms`."""

    interval: str
    from_ms: int
    to_ms: int
    with_oi: bool

    @classmethod
    def of(cls, interval: str, from_text: str, to_text: str, continuous: str, oi: str) -> "Window":
        """Read the parameters of a call. Raises KiteError."""
        if interval not in INTERVALS:
            raise kite_error("bad_field", field="interval")
        if continuous not in ("", "0"):
            raise kite_error("not_offered", field="continuous", value=continuous)
        from_ms, to_ms_ = _moment("from", from_text), _moment("to", to_text)
        days_max = INTERVALS[interval][1]
        if from_ms > to_ms_:
            raise kite_error("window_order")
        if to_ms_ - from_ms > days_max * DAY_MINUTES * MINUTE_MS:
            raise kite_error("window", days=days_max)
        return cls(interval, from_ms, to_ms_, oi == "1")


def _moment(name: str, text: str) -> int:
    try:
        return to_ms(datetime.fromisoformat(text))
    except ValueError:
        raise kite_error("bad_field", field=name) from None


def candles(source: MarketSource, instrument: Instrument, window: Window, now_ms: int) -> list[Candle]:
    """Candles of one instrument up to now, oldest first: [time, open, high, low, close, volume(, open interest)]."""
    session = source.session
    end_ms = min(now_ms // SECOND_MS * SECOND_MS + SECOND_MS, session.close_ms)
    if window.interval == DAY:
        midnight_ms = at(source.trade_date, datetime.min.time())
        spans = [(midnight_ms, session.open_ms, end_ms)]
    else:
        length_ms = INTERVALS[window.interval][0] * MINUTE_MS
        spans = [
            (start_ms, start_ms, min(start_ms + length_ms, end_ms))
            for start_ms in range(session.open_ms, end_ms, length_ms)
        ]
    wanted = [one for one in spans if window.from_ms <= one[0] <= window.to_ms and one[1] < one[2]]
    recorded = None if window.interval == DAY else recorded_minutes(source, instrument.token)
    if recorded is not None:
        starts = [first for first, _ in recorded]
        wanted = [
            one
            for one in wanted
            if (place := bisect_right(starts, one[1]) - 1) >= 0 and one[2] <= recorded[place][1] + MINUTE_MS
        ]
    if not wanted:
        return []
    first_ms, last_ms = wanted[0][1] - SECOND_MS, wanted[-1][2]
    rows = source.series(instrument.token, range(first_ms, last_ms, SECOND_MS))
    places = [
        (label_ms, (start_ms - first_ms) // SECOND_MS - 1, (stop_ms - first_ms) // SECOND_MS - 1)
        for label_ms, start_ms, stop_ms in wanted
    ]
    return list(_candles_of(instrument, rows, places, with_oi=window.with_oi))


def recorded_minutes(source: MarketSource, token: int) -> Spans | None:
    """Minutes of which a replayed recording knows the instrument's trades, as spans of first and last minute (ms).

    None for a market that has no silences.
    """
    of_token = getattr(source, "recorded_minutes", None)
    return None if of_token is None else of_token(token)


def told_spans(spans: Spans, now_ms: int) -> list[list[str]]:
    """Spans of minutes up to now, as an answer writes them."""
    this_minute_ms = now_ms // MINUTE_MS * MINUTE_MS
    return [[_stamp(first), _stamp(min(last, this_minute_ms))] for first, last in spans if first <= this_minute_ms]


def _candles_of(
    instrument: Instrument, rows: NDArray[np.void], places: Iterable[tuple[int, int, int]], *, with_oi: bool
) -> Iterator[Candle]:
    """The candles of quotes, one a second. A place is a label, the quote before the candle's first, and its last."""
    volumes, prices = np.ascontiguousarray(rows["volume"]), rows["ltp_paise"]
    trades = volumes[1:] > volumes[:-1] if instrument.is_option else rows["exchange_ms"][1:] > 0
    seconds = np.flatnonzero(trades) + 1
    labels_ms, before, last = (np.array(one, np.int64) for one in zip(*places, strict=True))
    first, after = np.searchsorted(seconds, before, "right"), np.searchsorted(seconds, last, "right")
    some = after > first
    if not some.any():
        return
    # All minutes of the day at once: sixty quotes are too few for an array each. Every second stretch between the
    # bounds is a minute; the last bound needs something to stand on.
    levels, bounds = np.append(prices[seconds] / 100, 0.0), np.stack([first[some], after[some]], axis=1).ravel()
    highs, lows = np.maximum.reduceat(levels, bounds)[::2], np.minimum.reduceat(levels, bounds)[::2]
    traded = np.maximum(0, volumes[last] - volumes[before])[some]
    columns = [levels[first[some]], highs, lows, levels[after[some] - 1], traded]
    if with_oi:
        columns.append(rows["oi"][last[some]])
    for label_ms, *candle in zip(labels_ms[some].tolist(), *(one.tolist() for one in columns), strict=True):
        yield [_stamp(label_ms), *candle]


# The minutes of a day, asked for contract by contract.
@lru_cache(maxsize=1024)
def _stamp(time_ms: int) -> str:
    return to_ist(time_ms).strftime("%Y-%m-%dT%H:%M:%S%z")
