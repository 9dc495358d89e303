"""Paper money on the live market: the simulated broker, matching against the touch that the real feed shows.

Checks, statuses, latency and charges are those of the simulated exchange (`g6_core.sim`). Only the first level of the
book is known, so nothing fills beyond its quantity in one second. The account is kept on disk and outlives its process.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g6_core.adapters.paper_account import PaperAccountFile
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.market import QUOTE, ticks_of
from g6_core.ports import Clock, Feed
from g6_core.sim.exchange import Exchange
from g6_core.sim.kite_shapes import Json
from g6_core.sim.source import MarketSource, asked_one_by_one


class BoardSource:
    """A market source made of the newest ticks. It has no past: every question is answered with what is known now."""

    label = "live board"

    def __init__(
        self, trade_date: date, underlyings: Sequence[str], instruments: InstrumentBook, session: Session
    ) -> None:
        self.trade_date = trade_date
        self.underlyings = tuple(underlyings)
        self.instruments = instruments
        self.session = session
        self._rows: dict[int, NDArray[np.void]] = {}

    def apply(self, ticks: NDArray[np.void]) -> None:
        """Take TICK rows, newest last."""
        for tick in ticks:
            row = np.zeros(1, QUOTE)
            for name in ("token", "exchange_ms", "ltp_paise", "volume", "oi"):
                row[name] = tick[name]
            for name in ("bid_paise", "ask_paise", "bid_qty", "ask_qty"):
                row[name][:, 0] = tick[name]
            row["last_trade_ms"] = tick["exchange_ms"]
            self._rows[int(tick["token"])] = row

    def quotes(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """QUOTE rows, one per token in the same order; `exchange_ms` 0 where nothing has come yet."""
        rows = np.zeros(len(tokens), QUOTE)
        rows["token"] = tokens
        for place, token in enumerate(tokens):
            known = self._rows.get(int(token))
            if known is not None:
                rows[place] = known[0]
        return rows

    def ticks(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """TICK rows of those of `tokens` that have come."""
        return ticks_of(self.quotes(tokens, time_ms))

    def series(self, token: int, moments_ms: range) -> NDArray[np.void]:
        """QUOTE rows of one token, one per moment: the newest, which is all there is."""
        return asked_one_by_one(self, token, moments_ms)


class PaperBroker(Exchange):
    """A simulated broker whose account is on disk before anybody hears of a change, and goes on with what is there.

    What was on its way or resting when the process died is judged by prices that this process has seen: an
    immediate-or-cancel order ends unfilled, everything else waits for the first tick. Every method raises DataError
    while a change cannot be written: a caller that was told of it could know more than the next process.
    """

    def __init__(
        self, kept: PaperAccountFile, source: MarketSource, rules: MarketRules, clock: Clock, **terms: int
    ) -> None:
        super().__init__(source, rules, clock, **terms)
        self._file = kept
        self._kept_changes = 0
        books = kept.load()
        if books is not None:
            self.restore(books)
        # The time since then passes before the first tick: nobody saw its prices.
        self._now()

    def _now(self) -> int:
        now_ms = super()._now()
        self._keep()
        return now_ms

    def _keep(self) -> None:
        if self._log.changes != self._kept_changes:
            changes = self._log.changes
            self._file.save(self.books())
            self._kept_changes = changes

    @property
    def tags(self) -> Mapping[str, str]:
        """Tag by order id, of every order in the account."""
        return {order.order_id: order.tag for order in self._log.orders.values()}

    def place(self, params: Mapping[str, str], variety: str = "regular") -> str:
        """As `Exchange.place`."""
        order_id = super().place(params, variety)
        self._keep()
        return order_id

    def place_sliced(self, params: Mapping[str, str], variety: str = "regular") -> Json:
        """As `Exchange.place_sliced`."""
        answer = super().place_sliced(params, variety)
        self._keep()
        return answer

    def modify(self, order_id: str, params: Mapping[str, str]) -> str:
        """As `Exchange.modify`."""
        super().modify(order_id, params)
        self._keep()
        return order_id

    def cancel(self, order_id: str) -> str:
        """As `Exchange.cancel`."""
        super().cancel(order_id)
        self._keep()
        return order_id


class PaperFeed:
    """The real feed's ticks, and the order rows of the paper broker in place of the account's."""

    def __init__(self, feed: Feed, source: BoardSource, exchange: Exchange) -> None:
        self._feed = feed
        self._source = source
        self._exchange = exchange

    @property
    def connected(self) -> bool:
        """Whether the real stream is up."""
        return self._feed.connected

    def link(self) -> tuple[bool, tuple[str, ...]]:
        """Return whether the real stream is up, and why it was lost since the last call."""
        return self._feed.link()

    def subscribe(self, tokens: tuple[int, ...]) -> None:
        """Stream these tokens in full mode."""
        self._feed.subscribe(tokens)

    def unsubscribe(self, tokens: tuple[int, ...]) -> None:
        """Stop streaming these tokens."""
        self._feed.unsubscribe(tokens)

    def poll(self) -> NDArray[np.void]:
        """TICK rows that arrived since the last call; the paper broker sees them first."""
        ticks = self._feed.poll()
        self._source.apply(ticks)
        return ticks

    def order_updates(self) -> list[dict[str, Any]]:
        """Order rows of the paper broker. The real account's are its own business."""
        self._feed.order_updates()
        return self._exchange.take_order_updates()
