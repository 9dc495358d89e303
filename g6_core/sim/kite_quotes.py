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
_LEVELS = range(DEPTH_LEVELS)
_BID, _BID_QTY, _BID_ORDERS = (_AT[f"bid_{name}"] for name in ("paise", "qty", "orders"))
_ASK, _ASK_QTY, _ASK_ORDERS = (_AT[f"ask_{name}"] for name in ("paise", "qty", "orders"))
# Which numbers are money, and where each stands among those.
_MONEY = (
    _LTP,
    _AVERAGE,
    _OPEN,
    _HIGH,
    _LOW,
    _CLOSE,
    *(_BID + level for level in _LEVELS),
    *(_ASK + level for level in _LEVELS),
)
_R_LTP, _R_AVERAGE, _R_OPEN, _R_HIGH, _R_LOW, _R_CLOSE, _R_BID = range(7)
_R_ASK = _R_BID + DEPTH_LEVELS


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
    """Each instrument that has data, with its quote as numbers and what of it is money in rupees."""
    table = np.ascontiguousarray(quotes).view(np.int64).reshape(len(quotes), QUOTE.itemsize // 8)
    money = (table[:, _MONEY] / 100).tolist()
    for instrument, numbers, rupees in zip(instruments, table.tolist(), money, strict=True):
        if numbers[_EXCHANGE_MS] > 0:
            yield instrument, numbers, rupees


def _last_price(numbers: list[int], rupees: list[float]) -> Json:
    return {"instrument_token": numbers[_TOKEN], "last_price": rupees[_R_LTP]}


def _ohlc(rupees: list[float]) -> Json:
    return {"open": rupees[_R_OPEN], "high": rupees[_R_HIGH], "low": rupees[_R_LOW], "close": rupees[_R_CLOSE]}


def _net_change(numbers: list[int]) -> float:
    return (numbers[_LTP] - numbers[_CLOSE]) / 100 if numbers[_CLOSE] > 0 else 0.0


def _index_quote(numbers: list[int], rupees: list[float]) -> Json:
    return {
        "instrument_token": numbers[_TOKEN],
        "timestamp": stamp(numbers[_EXCHANGE_MS]),
        "last_price": rupees[_R_LTP],
        "net_change": _net_change(numbers),
        "ohlc": _ohlc(rupees),
    }


def _option_quote(instrument: Instrument, numbers: list[int], rupees: list[float]) -> Json:
    lower_paise, upper_paise = circuit_limits(instrument, numbers[_CLOSE], numbers[_OPEN], numbers[_LTP])
    return {
        "instrument_token": numbers[_TOKEN],
        "timestamp": stamp(numbers[_EXCHANGE_MS]),
        "last_trade_time": stamp(numbers[_TRADE_MS]),
        "last_price": rupees[_R_LTP],
        "last_quantity": numbers[_LAST_QTY],
        "buy_quantity": numbers[_BUY_QTY],
        "sell_quantity": numbers[_SELL_QTY],
        "volume": numbers[_VOLUME],
        "average_price": rupees[_R_AVERAGE],
        "oi": numbers[_OI],
        "oi_day_high": numbers[_OI_HIGH],
        "oi_day_low": numbers[_OI_LOW],
        "net_change": _net_change(numbers),
        "lower_circuit_limit": lower_paise / 100,
        "upper_circuit_limit": upper_paise / 100,
        "ohlc": _ohlc(rupees),
        "depth": {
            "buy": _depth(rupees, _R_BID, numbers, _BID_QTY, _BID_ORDERS),
            "sell": _depth(rupees, _R_ASK, numbers, _ASK_QTY, _ASK_ORDERS),
        },
    }


def _depth(rupees: list[float], price: int, numbers: list[int], quantity: int, orders: int) -> list[Json]:
    """Five levels from these places on."""
    return [
        {"price": rupees[price], "quantity": numbers[quantity], "orders": numbers[orders]},
        {"price": rupees[price + 1], "quantity": numbers[quantity + 1], "orders": numbers[orders + 1]},
        {"price": rupees[price + 2], "quantity": numbers[quantity + 2], "orders": numbers[orders + 2]},
        {"price": rupees[price + 3], "quantity": numbers[quantity + 3], "orders": numbers[orders + 3]},
        {"price": rupees[price + 4], "quantity": numbers[quantity + 4], "orders": numbers[orders + 4]},
    ]
