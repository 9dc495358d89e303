"""Kite's rate limits, counted in virtual time: fixed windows that begin with the second, minute and day."""

from collections.abc import Mapping
from enum import StrEnum

from g6_core.domain.ist import MINUTE_MS, SECOND_MS


class Bucket(StrEnum):
    """Requests that share a limit."""

    QUOTE = "quote"
    HISTORICAL = "historical"
    ORDER = "order"
    OTHER = "other"


DAY_MS = 24 * 60 * MINUTE_MS
LIMITS: Mapping[Bucket, tuple[tuple[int, int], ...]] = {
    Bucket.QUOTE: ((1, SECOND_MS),),
    Bucket.HISTORICAL: ((3, SECOND_MS),),
    Bucket.ORDER: ((10, SECOND_MS),),
    Bucket.OTHER: ((10, SECOND_MS),),
}
PLACEMENT_LIMITS: tuple[tuple[int, int], ...] = ((400, MINUTE_MS), (5_000, DAY_MS))


class RateLimiter:
    """Counts accepted requests per window. A refused request is not counted; an order the checks refuse is."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], tuple[int, int]] = {}

    def admit(self, bucket: Bucket, now_ms: int, *, places_order: bool = False) -> bool:
        """Whether one more request fits; it is counted when it does."""
        windows = [(bucket.value, most, length_ms) for most, length_ms in LIMITS[bucket]]
        if places_order:
            windows += [("placement", most, length_ms) for most, length_ms in PLACEMENT_LIMITS]
        used = [self._used(name, length_ms, now_ms) for name, _, length_ms in windows]
        if any(count >= most for count, (_, most, _) in zip(used, windows, strict=True)):
            return False
        for count, (name, _, length_ms) in zip(used, windows, strict=True):
            self._counts[name, length_ms] = (now_ms // length_ms, count + 1)
        return True

    def _used(self, name: str, length_ms: int, now_ms: int) -> int:
        window, count = self._counts.get((name, length_ms), (-1, 0))
        return count if window == now_ms // length_ms else 0
