"""Instruments of one trading day, as the broker's dump lists them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum


class OptionType(StrEnum):
    """The two sides of a chain."""

    CE = "CE"
    PE = "PE"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of the instruments dump. Prices in paise, `lot_size` in units of the underlying.

    `instrument_type` is CE, PE, FUT or EQ; an index row has segment INDICES and type EQ.
    Tokens are reused over time: an instrument is only meaningful together with its trade date.
    """

    token: int
    exchange_token: int
    tradingsymbol: str
    underlying: str
    exchange: str
    segment: str
    instrument_type: str
    expiry: date | None
    strike_paise: int
    tick_paise: int
    lot_size: int

    @property
    def kite_key(self) -> str:
        """``NFO:NIFTY2590224500CE``, the key of a quote call."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def is_option(self) -> bool:
        """True for CE and PE."""
        return self.instrument_type in ("CE", "PE")


@dataclass(frozen=True, slots=True)
class InstrumentBook:
    """The dump of a day with the look-ups that everybody needs."""

    rows: tuple[Instrument, ...]
    _by_token: dict[int, Instrument] = field(repr=False)
    _by_key: dict[str, Instrument] = field(repr=False)
    _options: dict[tuple[str, date, int, str], Instrument] = field(repr=False)
    _strikes: dict[tuple[str, date], tuple[int, ...]] = field(repr=False)
    _index: dict[str, Instrument] = field(repr=False)

    @classmethod
    def of(cls, rows: Iterable[Instrument]) -> "InstrumentBook":
        """Index the rows of a dump; the order of rows is kept."""
        kept = tuple(rows)
        options = {
            (row.underlying, row.expiry, row.strike_paise, row.instrument_type): row
            for row in kept
            if row.is_option and row.expiry is not None
        }
        strikes: dict[tuple[str, date], set[int]] = {}
        for underlying, expiry, strike, _ in options:
            strikes.setdefault((underlying, expiry), set()).add(strike)
        return cls(
            rows=kept,
            _by_token={row.token: row for row in kept},
            _by_key={row.kite_key: row for row in kept},
            _options=options,
            _strikes={key: tuple(sorted(values)) for key, values in strikes.items()},
            _index={row.underlying: row for row in kept if row.segment == "INDICES"},
        )

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def by_token(self, token: int) -> Instrument | None:
        """The instrument with this token today, if any."""
        return self._by_token.get(token)

    def by_key(self, key: str) -> Instrument | None:
        """The instrument with this `EXCHANGE:SYMBOL` key, if any."""
        return self._by_key.get(key)

    def index(self, underlying: str) -> Instrument | None:
        """The index row of an underlying."""
        return self._index.get(underlying)

    def option(self, underlying: str, expiry: date, strike_paise: int, side: str) -> Instrument | None:
        """The contract, or None when it is not listed today."""
        return self._options.get((underlying, expiry, strike_paise, side))

    def expiries(self, underlying: str) -> tuple[date, ...]:
        """All listed option expiries, nearest first."""
        return tuple(sorted({expiry for name, expiry in self._strikes if name == underlying}))

    def strikes(self, underlying: str, expiry: date) -> tuple[int, ...]:
        """Listed strikes of an expiry in paise, ascending; empty when there is no such chain."""
        return self._strikes.get((underlying, expiry), ())
