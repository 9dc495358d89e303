"""What a market source promises: quotes as a pure function of (seed, contract, virtual time)."""

from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import Session
from g6_core.domain.instruments import InstrumentBook


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
