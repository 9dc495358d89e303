"""What is kept about how a cycle was collected; what was collected is in the lake."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CycleFact:
    """One cycle. `calls`, `keys_missing` and `reasons` are of all indices collected together: they share calls.

    `time_ms` is when the cycle was due, `started_ms` and `ended_ms` when fetching began and ended.
    """

    time_ms: int
    started_ms: int
    ended_ms: int
    calls: int
    keys_missing: int
    reasons: tuple[str, ...]
