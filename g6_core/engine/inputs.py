"""What the engine is told before the open: the day's instruments, expiries, limits and history."""

from dataclasses import dataclass
from datetime import date

from g6_core.domain.charges import ChargeRates
from g6_core.domain.instruments import Instrument, InstrumentBook


@dataclass(frozen=True, slots=True)
class UnderlyingInputs:
    """One underlying: the expiry to trade, when it ends, and what earlier days looked like.

    `close_ms` is when the contracts of that expiry close on this day.

    `iv_history_pct` is one at-the-money IV per earlier day, oldest first; `oi_history` one total
    open interest near the money per earlier day. Both may be empty: the layers then say `unknown`.
    """

    underlying: str
    index: Instrument
    expiry: date
    expiry_close_ms: int
    close_ms: int
    days_to_expiry: int
    freeze_quantity: int
    charge_rates: ChargeRates
    iv_history_pct: tuple[float, ...]
    oi_history: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DayInputs:
    """The day: its session, contracts and underlyings in a fixed order. `day_start_ms` is midnight IST.

    `provisional` says why it is only assumed that the exchange trades on it, "" for a day of a published calendar.
    """

    trade_date: date
    day_start_ms: int
    open_ms: int
    close_ms: int
    book: InstrumentBook
    underlyings: tuple[UnderlyingInputs, ...]
    provisional: str = ""

    def of_day_ms(self, time_ms: int) -> int:
        """Milliseconds after midnight IST."""
        return time_ms - self.day_start_ms
