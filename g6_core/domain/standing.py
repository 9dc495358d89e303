"""Where a figure of today stands among those of earlier days: rank, percentile, z-score."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MIN_HISTORY_DAYS = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """`rank` is the place between the lowest (0) and the highest (1) earlier day and may lie outside; `percentile`
    the share of earlier days below; `zscore` in standard deviations. None is unknown."""

    rank: float | None = None
    percentile: float | None = None
    zscore: float | None = None


def standing(value: float | None, history: Sequence[float]) -> Standing:
    """All unknown without a value or with fewer than `MIN_HISTORY_DAYS` earlier days."""
    if value is None or len(history) < MIN_HISTORY_DAYS:
        return Standing()
    low, high, spread = min(history), max(history), statistics.pstdev(history)
    return Standing(
        rank=(value - low) / (high - low) if high > low else None,
        percentile=sum(past < value for past in history) / len(history),
        zscore=(value - statistics.fmean(history)) / spread if spread > 0 else None,
    )
