"""The served exchange and all who watch it: the one place where served time moves."""

import asyncio

from g6_core.domain.ist import SECOND_MS
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.server.faults import FaultBook, FaultKind
from g6_core.sim.server.ticker import Ticker


class World:
    """One exchange, its clock, its faults and the connected tickers. Touched from the event loop only."""

    def __init__(self, exchange: Exchange, clock: VirtualClock) -> None:
        self.exchange = exchange
        self.faults = FaultBook()
        self.tickers: list[Ticker] = []
        self._clock = clock
        self._shown_ms = clock.now_ms() // SECOND_MS * SECOND_MS

    def now_ms(self) -> int:
        """Virtual time."""
        return self._clock.now_ms()

    def move(self, to_ms: int) -> None:
        """Move the clock without showing anything yet: a request came between two seconds."""
        self._clock.sleep_until(to_ms)

    async def pass_to(self, to_ms: int) -> None:
        """Let time pass; every whole second on the way is shown to the tickers, after its order updates.

        Gives the event loop a turn every second, so that sockets are written while a long time passes.
        """
        while self._shown_ms + SECOND_MS <= to_ms:
            if not self.tickers:
                self._shown_ms = to_ms // SECOND_MS * SECOND_MS
                break
            self._shown_ms += SECOND_MS
            self._clock.sleep_until(self._shown_ms)
            self._show(self._shown_ms)
            await asyncio.sleep(0)
        self._clock.sleep_until(to_ms)
        self.exchange.advance(self.now_ms())
        self.apply_faults()

    def _show(self, second_ms: int) -> None:
        self.apply_faults()
        self.push_updates()
        for ticker in self.tickers:
            ticker.show(second_ms, self.faults.ills(second_ms, ticker.connected_ms))

    def push_updates(self) -> None:
        """Send the order updates that have come up since the last time; without a ticker they are lost, as on Kite."""
        updates = self.exchange.take_order_updates()
        for ticker in self.tickers:
            if not self.faults.ills(self.now_ms(), ticker.connected_ms).stalled:
                ticker.push(updates)

    def apply_faults(self) -> None:
        """Let faults that happen by themselves happen."""
        now_ms = self.now_ms()
        if self.faults.begun(FaultKind.TOKEN_EXPIRED, now_ms):
            self.exchange.expire_session()
        if self.tickers and self.faults.is_on(FaultKind.WS_DROP, now_ms):
            self.faults.hit(frozenset({FaultKind.WS_DROP}), now_ms)
            for ticker in self.tickers:
                ticker.cut()
            self.tickers.clear()
