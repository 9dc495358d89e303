"""Dated market rules: trading days, sessions, expiries, lots, ticks, freeze limits, protections.

The values live in `config/market/*.yaml` (loaded by `g6_core.adapters.market_rules`); nothing here
is a constant of the market. A question about a date that no rule covers is a `CalendarError`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """Continuous trading of a day: first and last moment, milliseconds since the epoch."""

    open_ms: int
    close_ms: int

    @property
    def minutes(self) -> int:
        """Whole minutes of the session (375 for 09:15-15:30)."""
        return (self.close_ms - self.open_ms) // 60_000
