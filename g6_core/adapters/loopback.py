"""A WebSocket client without threads, for servers on this machine.

The blocking client of `websockets` reads in a thread of its own: two hand-overs a message, which in lockstep is most
of the time of a virtual second. The protocol is still the library's; only the socket is read here.
"""

import socket
import time
from collections import deque
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

RECEIVE_BYTES = 65_536


class LoopbackSocket:
    """A connection whose messages each fit a frame.

    For one thread, but `close` and the end of its `socket` may come from another.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """Connect to ``ws://host:port/..``. Raises OSError (TimeoutError too), InvalidHandshake."""
        address = urlsplit(url)
        self._messages: deque[str | bytes] = deque()
        self._protocol = ClientProtocol(parse_uri(url))
        self.socket = socket.create_connection((address.hostname or "", address.port or 80), timeout_s)
        until_s = time.monotonic() + timeout_s
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
                self._read(until_s)
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
        except BaseException:
            self.socket.close()
            raise

    def send(self, text: str) -> None:
        """Send a message. Raises ConnectionClosed."""
        if self._protocol.state is not State.OPEN:
            raise self._ended()
        try:
            self._protocol.send_text(text.encode())
            self._flush()
        except OSError as error:
            raise self._ended() from error

    def receive(self, timeout_s: float) -> str | bytes:
        """The next message. Raises TimeoutError, ConnectionClosed, UnicodeDecodeError."""
        until_s = time.monotonic() + timeout_s
        while not self._messages:
            if self._protocol.state is State.CLOSED:
                raise self._ended()
            self._read(until_s)
        return self._messages.popleft()

    def close(self) -> None:
        """Say good-bye and end the connection; a peer that has gone does not hear it."""
        with suppress(OSError):
            if self._protocol.state is State.OPEN:
                self._protocol.send_close()
                self._flush()
        self.socket.close()

    def _ended(self) -> ConnectionClosed:
        self.socket.close()
        self._protocol.receive_eof()
        return self._protocol.close_exc

    def _read(self, until_s: float) -> None:
        """Take what one read of the socket brings. Raises TimeoutError."""
        self.socket.settimeout(max(until_s - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                data = bytes(event.data)
                self._messages.append(data.decode() if event.opcode is Opcode.TEXT else data)
        # Answers to pings and to a close; a peer that has gone does not need them.
        with suppress(OSError):
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.socket.sendall(data)
