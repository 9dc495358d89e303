"""A named check with its figures: what every reconciliation answers with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of two things that must agree.

    `name` is stable (`orders_match_broker`), `detail` one sentence for people, `figures` what was counted.
    """

    name: str
    passed: bool
    detail: str
    figures: Mapping[str, float | int | str]


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks that did not pass, in their order."""
    return tuple(check for check in checks if not check.passed)
