"""One connection to Kite's ticker: how it is opened, what is asked of it, what its text frames say, why it ended."""

import json
import socket as sockets
from collections.abc import Collection
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

BATCH = 100
HANDSHAKE_S = 5.0
# A full frame of 3,000 instruments has 558 kB.
MESSAGE_BYTES_MAX = 1 << 20


class Link(Protocol):
    """A connection as everybody but its reader sees it."""

    @property
    def socket(self) -> sockets.socket:
        """The socket below it."""
        ...

    def send(self, message: str) -> None:
        """Send a text message. Raises ConnectionClosed."""
        ...


def open_ticker(url: str) -> ClientConnection:
    """Return a connection after its handshake. The errors of the socket and of websockets pass through."""
    link = connect(
        url,
        # A proxy of the machine is for the world outside of it: plain ws is the exchange on loopback.
        proxy=None if url.startswith("ws:") else True,
        additional_headers={"X-Kite-Version": "3"},
        open_timeout=HANDSHAKE_S,
        close_timeout=1.0,
        ping_interval=None,
        compression=None,
        max_size=MESSAGE_BYTES_MAX,
        legacy=True,
    )
    assert isinstance(link, ClientConnection)
    return link


def requests_of(action: str, tokens: Collection[int]) -> list[dict[str, Any]]:
    """Return the requests that `subscribe` (in full mode) or `unsubscribe` these tokens, in batches."""
    ordered = sorted(tokens)
    requests: list[dict[str, Any]] = []
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        requests.append({"a": action, "v": batch})
        if action == "subscribe":
            requests.append({"a": "mode", "v": ["full", batch]})
    return requests


def why_ended(error: Exception) -> str:
    """Return what happened, without the address: that one carries the access token."""
    if isinstance(error, ConnectionClosed):
        return f"closed by the broker ({error.rcvd.code})" if error.rcvd else "connection broken"
    return type(error).__name__ if not isinstance(error, OSError) else (error.strerror or type(error).__name__)


def text_frame(message: str) -> tuple[str, Any]:
    """Return type and data of a text frame; an empty type for what is none of Kite's."""
    try:
        body = json.loads(message)
    except ValueError:
        return "", None
    return (str(body.get("type", "")), body.get("data")) if isinstance(body, dict) else ("", None)
