"""Kite's binary feed: a frame of tick packets to QUOTE rows and back, in compiled code.

A frame is a big-endian count (u16), then for each packet its length (u16) and payload. The length tells the
kind: 8 last price, 28 index quote, 32 index full, 44 quote, 184 full. Prices are paise on NFO, BFO and the
indices, times whole seconds of the epoch. Source: Kite Connect v3 documentation, "WebSocket streaming"; checked
against `KiteTicker`.
"""

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from g6_core.domain.kernel import kernel
from g6_core.domain.market import QUOTE

LTP, INDEX_QUOTE, INDEX_FULL, TRADED_QUOTE, FULL = 8, 28, 32, 44, 184
INDEX_SEGMENT = 9
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_OUT = types.uint8[::1]
_ROWS = types.Array(from_dtype(QUOTE), 1, "C")

Bytes = NDArray[np.uint8]


@kernel(types.int64(_BYTES, types.int64))
def _u32(data: Bytes, at: int) -> int:
    return (int(data[at]) << 24) | (int(data[at + 1]) << 16) | (int(data[at + 2]) << 8) | int(data[at + 3])


@kernel(types.int64(_BYTES, types.int64))
def _u16(data: Bytes, at: int) -> int:
    return (int(data[at]) << 8) | int(data[at + 1])


@kernel(types.void(_BYTES, types.int64, types.int64, types.int64, _ROWS, types.int64))
def _read_packet(data: Bytes, at: int, length: int, received_ms: int, rows: NDArray[np.void], place: int) -> None:
    row = rows[place]
    row["token"] = _u32(data, at)
    row["ltp_paise"] = _u32(data, at + 4)
    row["exchange_ms"] = received_ms
    if length in (INDEX_QUOTE, INDEX_FULL):
        row["high_paise"] = _u32(data, at + 8)
        row["low_paise"] = _u32(data, at + 12)
        row["open_paise"] = _u32(data, at + 16)
        row["close_paise"] = _u32(data, at + 20)
        if length == INDEX_FULL:
            row["exchange_ms"] = _u32(data, at + 28) * 1000
    if length < TRADED_QUOTE:
        return
    row["last_qty"] = _u32(data, at + 8)
    row["average_paise"] = _u32(data, at + 12)
    row["volume"] = _u32(data, at + 16)
    row["buy_qty"] = _u32(data, at + 20)
    row["sell_qty"] = _u32(data, at + 24)
    row["open_paise"] = _u32(data, at + 28)
    row["high_paise"] = _u32(data, at + 32)
    row["low_paise"] = _u32(data, at + 36)
    row["close_paise"] = _u32(data, at + 40)
    if length < FULL:
        return
    row["last_trade_ms"] = _u32(data, at + 44) * 1000
    row["oi"] = _u32(data, at + 48)
    row["oi_day_high"] = _u32(data, at + 52)
    row["oi_day_low"] = _u32(data, at + 56)
    row["exchange_ms"] = _u32(data, at + 60) * 1000
    for level in range(5):
        bid = at + 64 + 12 * level
        ask = bid + 60
        row["bid_qty"][level] = _u32(data, bid)
        row["bid_paise"][level] = _u32(data, bid + 4)
        row["bid_orders"][level] = _u16(data, bid + 8)
        row["ask_qty"][level] = _u32(data, ask)
        row["ask_paise"][level] = _u32(data, ask + 4)
        row["ask_orders"][level] = _u16(data, ask + 8)


@kernel(types.int64(_BYTES, types.int64, _ROWS))
def _read_frame(data: Bytes, received_ms: int, rows: NDArray[np.void]) -> int:
    promised = _u16(data, 0)
    at = 2
    place = 0
    for _ in range(promised):
        if at + 2 > len(data):
            break
        length = _u16(data, at)
        at += 2
        if at + length > len(data):
            break
        known = length in (LTP, INDEX_QUOTE, INDEX_FULL, TRADED_QUOTE, FULL)
        if known and place < len(rows):
            _read_packet(data, at, length, received_ms, rows, place)
            place += 1
        at += length
    return place


def decode_frame(payload: bytes, received_ms: int) -> NDArray[np.void]:
    """QUOTE rows of a binary frame, in its order; a heartbeat, unknown lengths and a torn rest give no row.

    Packets without a stamp (last price, quote) carry `received_ms`. Never raises, whatever the bytes.
    """
    data = np.frombuffer(payload, np.uint8)
    if len(data) < 4:
        return np.zeros(0, QUOTE)
    rows = np.zeros(min(int(data[0]) << 8 | int(data[1]), len(data) // (LTP + 2)), QUOTE)
    count = int(_read_frame(data, received_ms, rows))
    return rows[:count]


@kernel(types.void(_OUT, types.int64, types.int64))
def _put_u32(out: Bytes, at: int, value: int) -> None:
    bounded = min(max(value, 0), 0xFFFFFFFF)
    out[at] = (bounded >> 24) & 0xFF
    out[at + 1] = (bounded >> 16) & 0xFF
    out[at + 2] = (bounded >> 8) & 0xFF
    out[at + 3] = bounded & 0xFF


@kernel(types.void(_OUT, types.int64, types.int64))
def _put_u16(out: Bytes, at: int, value: int) -> None:
    bounded = min(max(value, 0), 0xFFFF)
    out[at] = (bounded >> 8) & 0xFF
    out[at + 1] = bounded & 0xFF


@kernel(types.void(_ROWS, types.int64, types.int64, _OUT, types.int64))
def _write_packet(rows: NDArray[np.void], place: int, length: int, out: Bytes, at: int) -> None:
    row = rows[place]
    _put_u32(out, at, row["token"])
    _put_u32(out, at + 4, row["ltp_paise"])
    if length in (INDEX_QUOTE, INDEX_FULL):
        _put_u32(out, at + 8, row["high_paise"])
        _put_u32(out, at + 12, row["low_paise"])
        _put_u32(out, at + 16, row["open_paise"])
        _put_u32(out, at + 20, row["close_paise"])
        _put_u32(out, at + 24, row["ltp_paise"] - row["close_paise"])
        if length == INDEX_FULL:
            _put_u32(out, at + 28, row["exchange_ms"] // 1000)
    if length < TRADED_QUOTE:
        return
    _put_u32(out, at + 8, row["last_qty"])
    _put_u32(out, at + 12, row["average_paise"])
    _put_u32(out, at + 16, row["volume"])
    _put_u32(out, at + 20, row["buy_qty"])
    _put_u32(out, at + 24, row["sell_qty"])
    _put_u32(out, at + 28, row["open_paise"])
    _put_u32(out, at + 32, row["high_paise"])
    _put_u32(out, at + 36, row["low_paise"])
    _put_u32(out, at + 40, row["close_paise"])
    if length < FULL:
        return
    _put_u32(out, at + 44, row["last_trade_ms"] // 1000)
    _put_u32(out, at + 48, row["oi"])
    _put_u32(out, at + 52, row["oi_day_high"])
    _put_u32(out, at + 56, row["oi_day_low"])
    _put_u32(out, at + 60, row["exchange_ms"] // 1000)
    for level in range(5):
        bid = at + 64 + 12 * level
        ask = bid + 60
        _put_u32(out, bid, row["bid_qty"][level])
        _put_u32(out, bid + 4, row["bid_paise"][level])
        _put_u16(out, bid + 8, row["bid_orders"][level])
        _put_u32(out, ask, row["ask_qty"][level])
        _put_u32(out, ask + 4, row["ask_paise"][level])
        _put_u16(out, ask + 8, row["ask_orders"][level])


@kernel(types.void(_ROWS, types.int64[::1], _OUT))
def _write_frame(rows: NDArray[np.void], lengths: NDArray[np.int64], out: Bytes) -> None:
    _put_u16(out, 0, len(rows))
    at = 2
    for place in range(len(rows)):
        _put_u16(out, at, lengths[place])
        _write_packet(rows, place, lengths[place], out, at + 2)
        at += 2 + lengths[place]


def packet_length(token: int, mode: str) -> int:
    """Length of the packet that Kite sends for a token in a mode (`ltp`, `quote` or `full`)."""
    if mode == "ltp":
        return LTP
    if token & 0xFF == INDEX_SEGMENT:
        return INDEX_FULL if mode == "full" else INDEX_QUOTE
    return FULL if mode == "full" else TRADED_QUOTE


def encode_frame(rows: NDArray[np.void], lengths: NDArray[np.int64]) -> bytes:
    """A binary frame of QUOTE rows (at most 65,535); `lengths` has each packet's length, see `packet_length`."""
    out = np.zeros(2 + 2 * len(rows) + int(lengths.sum()), np.uint8)
    _write_frame(rows, np.ascontiguousarray(lengths, np.int64), out)
    return out.tobytes()
