"""The in-process feed: ticks of the simulated exchange, only those that changed, and its order pushes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.market import TICK
from g6_core.sim.exchange import Exchange


class SimFeed:
    """What a ticker connection would deliver, read straight from the exchange at the current virtual time."""

    connected = True

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._tokens = np.zeros(0, np.int64)
        self._last = np.zeros(0, TICK)

    def link(self) -> tuple[bool, tuple[str, ...]]:
        """Return that it is up: nothing lies between this feed and the exchange."""
        return self.connected, ()

    def subscribe(self, tokens: tuple[int, ...]) -> None:
        """Stream these tokens in full mode."""
        self._tokens = np.union1d(self._tokens, np.array(tokens, np.int64))

    def unsubscribe(self, tokens: tuple[int, ...]) -> None:
        """Stop streaming these tokens."""
        self._tokens = np.setdiff1d(self._tokens, np.array(tokens, np.int64))

    def poll(self) -> NDArray[np.void]:
        """TICK rows that changed since the last call; may be empty."""
        if not len(self._tokens):
            return np.zeros(0, TICK)
        ticks = self._exchange.ticks(self._tokens)
        now, before = _numbers(ticks), _numbers(self._last)
        if now.shape == before.shape and (now[:, 0] == before[:, 0]).all():
            fresh = (now != before).any(axis=1)
        else:
            fresh = ~np.isin(ticks, self._last)
        self._last = ticks
        changed: NDArray[np.void] = ticks[fresh]
        return changed

    def order_updates(self) -> list[dict[str, Any]]:
        """Order rows pushed since the last call, in Kite's postback shape."""
        return self._exchange.take_order_updates()


def _numbers(ticks: NDArray[np.void]) -> NDArray[np.int64]:
    """TICK rows as a table, the token first: records are compared field by field, which costs far more."""
    return ticks.view(np.int64).reshape(len(ticks), TICK.itemsize // 8)
