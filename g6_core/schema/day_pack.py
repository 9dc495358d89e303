"""The day pack: everything the trading side needs to know about a day before it arms, immutable and hashed."""

from dataclasses import dataclass
from datetime import date

from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.schema.picks import Picks

DAY_PACK_VERSION = 2
PACKED_EXPIRIES = 2
# The `source_label` of a real market.
KITE = "kite"


@dataclass(frozen=True, slots=True)
class IvPoint:
    """At-the-money implied volatility at the close of a day, percent."""

    day: date
    atm_iv_pct: float


@dataclass(frozen=True, slots=True)
class OiPoint:
    """Open interest of the near-the-money strikes at the close of a day, units."""

    day: date
    oi: int


@dataclass(frozen=True, slots=True)
class PackedExpiry:
    """An expiry whose contracts are in the pack, and when their trading ends today."""

    expiry: date
    close_ms: int


@dataclass(frozen=True, slots=True)
class IndexPack:
    """One underlying: index row, all contracts of the nearest `PACKED_EXPIRIES` expiries, history (oldest first).

    `session_*_ms` are the hours of contracts that do not expire today.
    """

    index_row: Instrument
    session_open_ms: int
    session_close_ms: int
    packed: tuple[PackedExpiry, ...]
    expiries: dict[str, date]
    freeze_quantity: int
    instruments: tuple[Instrument, ...]
    iv_history: tuple[IvPoint, ...]
    oi_history: tuple[OiPoint, ...]


@dataclass(frozen=True, slots=True)
class DayBefore:
    """The trading day before, of which something was or should have been collected, and what its evening found wrong.

    While there are problems nothing is armed, until a person has accepted that day.
    """

    day: date
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DayPack:
    """`sha256` covers the canonical JSON of all other fields. `picks` are those made for this day, if any.

    `day_before` is None when there is no such day of the same market.
    """

    version: int
    trade_date: date
    source_label: str
    seed: int
    config_sha256: str
    dump_sha256: str
    underlyings: tuple[str, ...]
    indices: dict[str, IndexPack]
    picks: Picks | None
    day_before: DayBefore | None
    sha256: str

    def book(self) -> InstrumentBook:
        """Index rows and packed contracts of all underlyings."""
        return InstrumentBook.of(
            row for name in self.underlyings for row in (self.indices[name].index_row, *self.indices[name].instruments)
        )
