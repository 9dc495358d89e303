"""The few protocols that shells implement and the pure parts are handed."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Clock(Protocol):
    """The only source of time. Real, or virtual and owned by the simulated exchange."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def sleep_until(self, time_ms: int) -> None:
        """Return at `time_ms` or at once if that has passed."""
        ...


class Feed(Protocol):
    """Streamed market data and pushed order rows, as far as they have arrived."""

    @property
    def connected(self) -> bool:
        """Whether the stream is up: false from the moment it is known to be lost, silent or without data."""
        ...

    def link(self) -> tuple[bool, tuple[str, ...]]:
        """Return `connected`, and why the stream was lost, once for each loss since the last call."""
        ...

    def subscribe(self, tokens: tuple[int, ...]) -> None:
        """Stream these tokens in full mode."""
        ...

    def unsubscribe(self, tokens: tuple[int, ...]) -> None:
        """Stop streaming these tokens."""
        ...

    def poll(self) -> NDArray[np.void]:
        """TICK rows that changed since the last call; may be empty."""
        ...

    def order_updates(self) -> list[dict[str, Any]]:
        """Order rows pushed since the last call, in Kite's postback shape."""
        ...
