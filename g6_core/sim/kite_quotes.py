"""The JSON shapes of Kite's quote, ohlc and ltp replies, built column by column: a chain is asked every minute.

An entry exists only for an instrument that has data; Kite leaves the others out of its reply.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.instruments import Instrument
from g6_core.domain.market import QUOTE
from g6_core.sim.kite_shapes import Json, stamp
from g6_core.sim.matching import circuit_limits

Column = dict[str, Any]


def quote_bodies(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> dict[str, Json]:
    """GET /quote by key. An index has neither depth nor volume nor open interest, so those keys are missing."""
    return {
        instrument.kite_key: _option_quote(instrument, row) if instrument.is_option else _index_quote(row)
        for instrument, row in _known(instruments, quotes)
    }


def ohlc_bodies(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> dict[str, Json]:
    """GET /quote/ohlc by key."""
    return {
        instrument.kite_key: _last_price(row) | {"ohlc": _ohlc(row)} for instrument, row in _known(instruments, quotes)
    }


def ltp_bodies(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> dict[str, Json]:
    """GET /quote/ltp by key."""
    return {instrument.kite_key: _last_price(row) for instrument, row in _known(instruments, quotes)}


def _known(instruments: Sequence[Instrument], quotes: NDArray[np.void]) -> list[tuple[Instrument, Column]]:
    names = QUOTE.names or ()
    columns = [quotes[name].tolist() for name in names]
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return [(instrument, row) for instrument, row in zip(instruments, rows, strict=True) if row["exchange_ms"] > 0]


def _last_price(row: Column) -> Json:
    return {"instrument_token": row["token"], "last_price": row["ltp_paise"] / 100}


def _ohlc(row: Column) -> Json:
    return {
        "open": row["open_paise"] / 100,
        "high": row["high_paise"] / 100,
        "low": row["low_paise"] / 100,
        "close": row["close_paise"] / 100,
    }


def _net_change(row: Column) -> float:
    return (row["ltp_paise"] - row["close_paise"]) / 100 if row["close_paise"] > 0 else 0.0


def _index_quote(row: Column) -> Json:
    return {
        "instrument_token": row["token"],
        "timestamp": stamp(row["exchange_ms"]),
        "last_price": row["ltp_paise"] / 100,
        "net_change": _net_change(row),
        "ohlc": _ohlc(row),
    }


def _option_quote(instrument: Instrument, row: Column) -> Json:
    lower_paise, upper_paise = circuit_limits(instrument, row["close_paise"], row["open_paise"], row["ltp_paise"])
    return {
        "instrument_token": row["token"],
        "timestamp": stamp(row["exchange_ms"]),
        "last_trade_time": stamp(row["last_trade_ms"]),
        "last_price": row["ltp_paise"] / 100,
        "last_quantity": row["last_qty"],
        "buy_quantity": row["buy_qty"],
        "sell_quantity": row["sell_qty"],
        "volume": row["volume"],
        "average_price": row["average_paise"] / 100,
        "oi": row["oi"],
        "oi_day_high": row["oi_day_high"],
        "oi_day_low": row["oi_day_low"],
        "net_change": _net_change(row),
        "lower_circuit_limit": lower_paise / 100,
        "upper_circuit_limit": upper_paise / 100,
        "ohlc": _ohlc(row),
        "depth": {
            "buy": _depth(row["bid_paise"], row["bid_qty"], row["bid_orders"]),
            "sell": _depth(row["ask_paise"], row["ask_qty"], row["ask_orders"]),
        },
    }


def _depth(prices: list[int], quantities: list[int], orders: list[int]) -> list[Json]:
    return [
        {"price": price / 100, "quantity": quantity, "orders": count}
        for price, quantity, count in zip(prices, quantities, orders, strict=True)
    ]
