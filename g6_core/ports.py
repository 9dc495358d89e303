"""The few protocols that shells implement and the pure parts are handed."""

from typing import Protocol


class Clock(Protocol):
    """The only source of time. Real, or virtual and owned by the simulated exchange."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def sleep_until(self, time_ms: int) -> None:
        """Return at `time_ms` or at once if that has passed."""
        ...
