"""What a market source promises: quotes as a pure function of (seed, contract, virtual time)."""

from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import Session
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.market import QUOTE


class MarketSource(Protocol):
    """One trading day of one or more underlyings, priced only for contracts that somebody asks for."""

    @property
    def label(self) -> str:
        """Kind of source: recorded, modelled, scripted."""
        ...

    @property
    def trade_date(self) -> date:
        """The day."""
        ...

    @property
    def underlyings(self) -> tuple[str, ...]:
        """Underlyings with quotes."""
        ...

    @property
    def instruments(self) -> InstrumentBook:
        """The day's dump."""
        ...

    @property
    def session(self) -> Session:
        """Continuous trading of the options."""
        ...

    def quotes(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """QUOTE rows (`g6_core.domain.market`), one per token in the same order.

        A token without data yet (or unknown) has `exchange_ms` 0. The same arguments always give the
        same answer, whatever was asked before.
        """
        ...

    def ticks(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """TICK rows of the tokens that have data: `ticks_of` of their quotes, for less."""
        ...

    def series(self, token: int, moments_ms: range) -> NDArray[np.void]:
        """QUOTE or TICK rows of one token, one per moment: its stamp, last price, volume and open interest at each.

        The other fields are not promised.
        """
        ...


def asked_one_by_one(source: MarketSource, token: int, moments_ms: range) -> NDArray[np.void]:
    """A series of a source that has no quicker way to it."""
    tokens, rows = np.array([token], np.int64), np.zeros(len(moments_ms), QUOTE)
    # Row by row: joining arrays of records compares their types field by field, which costs more than the quotes.
    for place, moment_ms in enumerate(moments_ms):
        rows[place] = source.quotes(tokens, moment_ms)[0]
    return rows
