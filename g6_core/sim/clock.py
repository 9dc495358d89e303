"""Virtual time, owned by the simulated world."""


class VirtualClock:
    """A clock that only moves when it is told to; it never goes back."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._now_ms

    def sleep_until(self, time_ms: int) -> None:
        """Move to `time_ms`; a time that has passed is no move."""
        self._now_ms = max(self._now_ms, time_ms)
