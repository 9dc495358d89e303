"""Verdicts and approval: no order that adds risk exists without an `Approved`."""

from dataclasses import dataclass
from enum import StrEnum

from g6_core.domain.orders import OrderRequest


class Outcome(StrEnum):
    """Answer of a rule. `unknown` is never treated as no, nor as yes: each rule's mode says what it does."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer with the figures it looked at. `blocks` says whether it stopped the entry."""

    rule: str
    outcome: Outcome
    blocks: bool
    value: float | None = None
    limit: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """An entry that every guard let pass, with the verdicts that did."""

    request: OrderRequest
    verdicts: tuple[Verdict, ...]
    config_sha256: str

    def __post_init__(self) -> None:
        assert not any(verdict.blocks for verdict in self.verdicts), "an order with a blocking verdict is not approved"
