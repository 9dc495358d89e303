"""The JSON shapes of Kite's quote, ohlc and ltp replies, built from a table of numbers: a chain is asked every minute.

An entry exists only for an instrument that has data; Kite leaves the others out of its reply.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.instruments import Instrument
from g6_core.domain.market import DEPTH_LEVELS, QUOTE
from g6_core.sim.kite_shapes import Json, stamp
from g6_core.sim.matching import circuit_limits

# Where a field of a quote, or the best level of one of its five-deep fields, stands among its numbers.
_AT = {name: int(place) // 8 for name, (_, place, *_) in (QUOTE.fields or {}).items()}
_TOKEN, _EXCHANGE_MS, _TRADE_MS, _LTP = _AT["token"], _AT["exchange_ms"], _AT["last_trade_ms"], _AT["ltp_paise"]
_LAST_QTY, _AVERAGE, _VOLUME = _AT["last_qty"], _AT["average_paise"], _AT["volume"]
_BUY_QTY, _SELL_QTY = _AT["buy_qty"], _AT["sell_qty"]
_OI, _OI_HIGH, _OI_LOW = _AT["oi"], _AT["oi_day_high"], _AT["oi_day_low"]
_OPEN, _HIGH, _LOW, _CLOSE = _AT["open_paise"], _AT["high_paise"], _AT["low_paise"], _AT["close_paise"]
_LEVEL = ("paise", "qty", "orders")
_BID, _BID_QTY, _BID_ORDERS = (slice(_AT[f"bid_{name}"], _AT[f"bid_{name}"] + DEPTH_LEVELS) for name in _LEVEL)
_ASK, _ASK_QTY, _ASK_ORDERS = (slice(_AT[f"ask_{name}"], _AT[f"ask_{name}"] + DEPTH_LEVELS) for name in _LEVEL)


def quote_bodies(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> dict[str, Json]:
    """GET /quote by key. An index has neither depth nor volume nor open interest, so those keys are missing."""
    return {
        instrument.kite_key: (
            _option_quote(instrument, numbers, rupees) if instrument.is_option else _index_quote(numbers, rupees)
        )
        for instrument, numbers, rupees in _known(instruments, quotes)
    }


def ohlc_bodies(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> dict[str, Json]:
    """GET /quote/ohlc by key."""
    return {
        instrument.kite_key: _last_price(numbers, rupees) | {"ohlc": _ohlc(rupees)}
        for instrument, numbers, rupees in _known(instruments, quotes)
    }


def ltp_bodies(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> dict[str, Json]:
    """GET /quote/ltp by key."""
    return {
        instrument.kite_key: _last_price(numbers, rupees) for instrument, numbers, rupees in _known(instruments, quotes)
    }


def _known(
    instruments: Sequence[Instrument], quotes: NDArray[np.void]
) -> Iterator[tuple[Instrument, list[int], list[float]]]:
    """Each instrument that has data, with its quote as numbers and as hundredths of them."""
    table = np.ascontiguousarray(quotes).view(np.int64).reshape(len(quotes), QUOTE.itemsize // 8)
    for instrument, numbers, rupees in zip(instruments, table.tolist(), (table / 100).tolist(), strict=True):
        if numbers[_EXCHANGE_MS] > 0:
            yield instrument, numbers, rupees


def _last_price(numbers: list[int], rupees: list[float]) -> Json:
    return {"instrument_token": numbers[_TOKEN], "last_price": rupees[_LTP]}


def _ohlc(rupees: list[float]) -> Json:
    return {"open": rupees[_OPEN], "high": rupees[_HIGH], "low": rupees[_LOW], "close": rupees[_CLOSE]}


def _net_change(numbers: list[int]) -> float:
    return (numbers[_LTP] - numbers[_CLOSE]) / 100 if numbers[_CLOSE] > 0 else 0.0


def _index_quote(numbers: list[int], rupees: list[float]) -> Json:
    return {
        "instrument_token": numbers[_TOKEN],
        "timestamp": stamp(numbers[_EXCHANGE_MS]),
        "last_price": rupees[_LTP],
        "net_change": _net_change(numbers),
        "ohlc": _ohlc(rupees),
    }


def _option_quote(instrument: Instrument, numbers: list[int], rupees: list[float]) -> Json:
    lower_paise, upper_paise = circuit_limits(instrument, numbers[_CLOSE], numbers[_OPEN], numbers[_LTP])
    return {
        "instrument_token": numbers[_TOKEN],
        "timestamp": stamp(numbers[_EXCHANGE_MS]),
        "last_trade_time": stamp(numbers[_TRADE_MS]),
        "last_price": rupees[_LTP],
        "last_quantity": numbers[_LAST_QTY],
        "buy_quantity": numbers[_BUY_QTY],
        "sell_quantity": numbers[_SELL_QTY],
        "volume": numbers[_VOLUME],
        "average_price": rupees[_AVERAGE],
        "oi": numbers[_OI],
        "oi_day_high": numbers[_OI_HIGH],
        "oi_day_low": numbers[_OI_LOW],
        "net_change": _net_change(numbers),
        "lower_circuit_limit": lower_paise / 100,
        "upper_circuit_limit": upper_paise / 100,
        "ohlc": _ohlc(rupees),
        "depth": {
            "buy": _depth(rupees[_BID], numbers[_BID_QTY], numbers[_BID_ORDERS]),
            "sell": _depth(rupees[_ASK], numbers[_ASK_QTY], numbers[_ASK_ORDERS]),
        },
    }


def _depth(prices: list[float], quantities: list[int], orders: list[int]) -> list[Json]:
    (p0, p1, p2, p3, p4), (q0, q1, q2, q3, q4), (n0, n1, n2, n3, n4) = prices, quantities, orders
    return [
        {"price": p0, "quantity": q0, "orders": n0},
        {"price": p1, "quantity": q1, "orders": n1},
        {"price": p2, "quantity": q2, "orders": n2},
        {"price": p3, "quantity": q3, "orders": n3},
        {"price": p4, "quantity": q4, "orders": n4},
    ]
