"""One ticker connection without its socket: what the client subscribed to, and the frames it is owed.

Frames are Kite's (`g6_core.domain.packets`). A packet is sent when its bytes differ from the last one of that
instrument; a second without any gives the heartbeat. In lockstep a client can also wait for what it must have seen:

    {"type": "message", "data": "now 1756439056000"}   everything up to this second has been sent
    {"type": "message", "data": "ok 3"}                the third request of this connection has taken effect
"""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from g6_core.domain.market import QUOTE
from g6_core.domain.packets import encode_frame, packet_length
from g6_core.sim.server.faults import WELL, Ills
from g6_core.sim.source import MarketSource

INSTRUMENTS_MAX = 3_000
# A client that lets so many frames lie is cut off, as Kite does with slow consumers.
OUTBOX_MAX = 20_000
HEARTBEAT = b"\x00"
MODES = ("ltp", "quote", "full")
TOKEN_MAX = 0xFFFFFFFF


class Ticker:
    """State of one connection. `outbox` is what the socket has to send, in order; None ends the connection."""

    def __init__(self, source: MarketSource, *, lockstep: bool, connected_ms: int = 0) -> None:
        self.outbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self.is_cut = False
        self.connected_ms = connected_ms
        self._source = source
        self._lockstep = lockstep
        self._modes: dict[int, str] = {}
        self._sent: dict[int, bytes] = {}
        self._requests = 0
        self._ills = WELL

    @property
    def instruments(self) -> int:
        """How many are subscribed to."""
        return len(self._modes)

    def take(self, text: str, now_ms: int, ills: Ills = WELL) -> None:
        """Carry out a request of the client; errors go back as error frames and change nothing."""
        self._requests += 1
        self._ills = ills
        problem = self._carry_out(text, now_ms)
        if problem:
            self._say("error", problem)
        if self._lockstep:
            self._say("message", f"ok {self._requests}")

    def show(self, second_ms: int, ills: Ills = WELL) -> None:
        """Send what changed in a second, or the heartbeat. A stalled feed only keeps its marker."""
        self._ills = ills
        if not ills.stalled:
            self._put(self._frame(self._modes, second_ms) or HEARTBEAT)
        if self._lockstep:
            self._say("message", f"now {second_ms}")

    def push(self, updates: Iterable[dict[str, Any]]) -> None:
        """Send order updates."""
        for update in updates:
            self._say("order", update)

    def cut(self) -> None:
        """End the connection; what waits is not sent any more."""
        if not self.is_cut:
            self.is_cut = True
            while not self.outbox.empty():
                self.outbox.get_nowait()
            self.outbox.put_nowait(None)

    def _carry_out(self, text: str, now_ms: int) -> str:
        """What is wrong with a request, or ""."""
        try:
            request = json.loads(text)
            action, value = request["a"], request["v"]
        except (ValueError, TypeError, KeyError):
            return 'Requests look like {"a": "subscribe", "v": [256265]}.'
        match action, value:
            case "subscribe", list():
                return self._subscribe(_tokens(value), now_ms)
            case "unsubscribe", list():
                for token in _tokens(value):
                    self._modes.pop(token, None)
                    self._sent.pop(token, None)
                return ""
            case "mode", [str(mode), list(tokens)] if mode in MODES:
                known = [token for token in _tokens(tokens) if token in self._modes]
                self._modes.update(dict.fromkeys(known, mode))
                self._put(self._frame(known, now_ms))
                return ""
        return f"Unknown request {str(action)[:40]!r} or bad value."

    def _subscribe(self, tokens: list[int], now_ms: int) -> str:
        new = [token for token in dict.fromkeys(tokens) if token not in self._modes]
        fitting = new[: INSTRUMENTS_MAX - len(self._modes)]
        self._modes.update(dict.fromkeys(fitting, "quote"))
        self._put(self._frame(fitting, now_ms))
        refused = len(new) - len(fitting)
        return f"{refused} not subscribed: at most {INSTRUMENTS_MAX} instruments per connection." if refused else ""

    def _frame(self, tokens: Iterable[int], time_ms: int) -> bytes:
        """The packets of these tokens that differ from the last ones sent; empty when none does."""
        ills = self._ills
        wanted = np.array([token for token in tokens if token not in ills.dead], np.int64)
        if not len(wanted) or ills.stalled or ills.no_ticks:
            return b""
        quotes = self._source.quotes(wanted, time_ms)
        rows = np.ascontiguousarray(quotes[quotes["exchange_ms"] > 0], QUOTE)
        if ills.stamped_ms:
            for name in ("exchange_ms", "last_trade_ms"):
                rows[name] = np.minimum(rows[name], ills.stamped_ms)
        names = rows["token"].tolist()
        lengths = [packet_length(token, self._modes[token]) for token in names]
        whole = encode_frame(rows, np.array(lengths, np.int64))
        changed: list[bytes] = []
        at = 2
        for token, length in zip(names, lengths, strict=True):
            packet = whole[at : at + 2 + length]
            at += 2 + length
            if self._sent.get(token) != packet:
                self._sent[token] = packet
                changed.append(packet)
        return b"".join([len(changed).to_bytes(2, "big"), *changed]) if changed else b""

    def _say(self, kind: str, data: object) -> None:
        self._put(json.dumps({"type": kind, "data": data}))

    def _put(self, message: bytes | str) -> None:
        if self.outbox.qsize() >= OUTBOX_MAX:
            self.cut()
        if message and not self.is_cut:
            self.outbox.put_nowait(message)


def _tokens(values: list[Any]) -> list[int]:
    """Tokens are numbers; Kite gives nothing for one that is text."""
    return [value for value in values if type(value) is int and 0 <= value <= TOKEN_MAX]
