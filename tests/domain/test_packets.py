"""The feed codec equals KiteTicker's own parse on every packet kind, and survives anything."""

import base64
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteTicker
from numpy.typing import NDArray

from g6_core.domain.market import QUOTE
from g6_core.domain.packets import decode_frame, encode_frame, packet_length

RECEIVED_MS = 1_756_439_400_000
OPTION, INDEX = 10_383_106, 256_265
SCALARS = [name for name in QUOTE.names or () if QUOTE[name].shape == ()]
LEVELS = [name for name in QUOTE.names or () if QUOTE[name].shape != ()]


def _random_rows(seed: int, tokens: list[int]) -> NDArray[np.void]:
    dice = np.random.default_rng(seed)
    rows = np.zeros(len(tokens), QUOTE)
    for name in SCALARS:
        rows[name] = dice.integers(1, 2**31, len(tokens))
        if name.endswith("_ms"):
            rows[name] = dice.integers(1, 2**31, len(tokens)) * 1000
    for name in LEVELS:
        rows[name] = dice.integers(0, 2**16 if name.endswith("orders") else 2**31, (len(tokens), 5))
    rows["token"] = tokens
    return rows


def _kite_parse(frame: bytes) -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = KiteTicker("key", "token")._parse_binary(frame)
    return parsed


@pytest.mark.parametrize("mode", ["ltp", "quote", "full"])
@pytest.mark.parametrize("token", [OPTION, INDEX], ids=["option", "index"])
def test_a_packet_reads_as_kiteticker_reads_it(token: int, mode: str) -> None:
    sent = _random_rows(7, [token])
    frame = encode_frame(sent, np.array([packet_length(token, mode)]))
    (theirs,) = _kite_parse(frame)
    (ours,) = decode_frame(frame, RECEIVED_MS)
    assert ours["token"] == theirs["instrument_token"]
    assert ours["ltp_paise"] == round(theirs["last_price"] * 100)
    for name in ("open", "high", "low", "close"):
        expected = theirs["ohlc"][name] if "ohlc" in theirs else 0
        assert ours[f"{name}_paise"] == round(expected * 100)
    for mine, their in (("volume", "volume_traded"), ("buy_qty", "total_buy_quantity"), ("oi", "oi")):
        assert ours[mine] == theirs.get(their, 0)
    stamp = theirs.get("exchange_timestamp")
    assert ours["exchange_ms"] == (round(stamp.timestamp()) * 1000 if stamp else RECEIVED_MS)
    if "depth" in theirs:
        for side, prefix in (("buy", "bid"), ("sell", "ask")):
            levels = theirs["depth"][side]
            assert [round(level["price"] * 100) for level in levels] == list(ours[f"{prefix}_paise"])
            assert [level["quantity"] for level in levels] == list(ours[f"{prefix}_qty"])
            assert [level["orders"] for level in levels] == list(ours[f"{prefix}_orders"])


def test_full_packets_come_back_as_they_were_sent() -> None:
    sent = _random_rows(3, [OPTION + 256 * k for k in range(200)])
    lengths = np.full(200, packet_length(OPTION, "full"))
    assert decode_frame(encode_frame(sent, lengths), RECEIVED_MS).tobytes() == sent.tobytes()


@pytest.mark.parametrize("name", ["ticker_full.packet", "ticker_quote.packet"])
def test_the_official_samples_read_alike(name: str, shared_data: Path) -> None:
    packet = base64.b64decode((shared_data / "kiteconnect-mocks" / name).read_bytes())
    frame = struct.pack(">HH", 1, len(packet)) + packet
    (theirs,) = _kite_parse(frame)
    (ours,) = decode_frame(frame, RECEIVED_MS)
    assert ours["token"] == theirs["instrument_token"]
    assert ours["ltp_paise"] == round(theirs["last_price"] * 100)
    assert ours["volume"] == theirs["volume_traded"]


@given(st.binary(max_size=600))
def test_no_bytes_whatever_raise_or_invent_more_rows_than_fit(payload: bytes) -> None:
    rows = decode_frame(payload, RECEIVED_MS)
    assert len(rows) <= len(payload) // 10


@given(st.data())
def test_a_frame_cut_short_gives_its_whole_packets(data: st.DataObject) -> None:
    sent = _random_rows(5, [OPTION, INDEX, OPTION + 256])
    lengths = np.array([packet_length(int(token), "full") for token in sent["token"]])
    frame = encode_frame(sent, lengths)
    cut = data.draw(st.integers(0, len(frame)))
    whole = int(np.searchsorted(2 + np.cumsum(lengths + 2), cut, side="right"))
    assert len(decode_frame(frame[:cut], RECEIVED_MS)) == (whole if cut >= 4 else 0)
