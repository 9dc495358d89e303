"""Supertrend and ADX on one and five minutes: a direction only when both agree and both are strong."""

from g6_core.domain.records import Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine.params import SignalParams
from g6_core.engine.state import FrameState, UnderlyingState


def _strength(rule: str, adx_value: float, minimum: float) -> Verdict:
    if adx_value < 0:
        return Verdict(rule, Outcome.UNKNOWN, True, None, minimum, "not enough bars yet")
    passed = adx_value >= minimum
    return Verdict(rule, Outcome.PASS if passed else Outcome.FAIL, not passed, round(adx_value, 4), minimum)


def _alignment(primary: FrameState, confirmation: FrameState) -> Verdict:
    value = primary.direction + confirmation.direction
    if primary.direction == 0 or confirmation.direction == 0:
        return Verdict("supertrend_alignment", Outcome.UNKNOWN, True, value, None, "not enough bars yet")
    aligned = primary.direction == confirmation.direction
    outcome = Outcome.PASS if aligned else Outcome.FAIL
    return Verdict("supertrend_alignment", outcome, not aligned, value, None, "" if aligned else "1 m and 5 m disagree")


def evaluate(memory: UnderlyingState, params: SignalParams) -> tuple[Direction, tuple[Verdict, ...]]:
    """Direction at the close of a one-minute bar, with every verdict (no short-circuit)."""
    primary, confirmation = memory.primary, memory.confirmation
    verdicts = (
        _alignment(primary, confirmation),
        _strength("adx_primary", primary.adx_value, params.adx_min_primary),
        _strength("adx_confirmation", confirmation.adx_value, params.adx_min_confirmation),
    )
    if any(verdict.blocks for verdict in verdicts):
        return Direction.AVOID, verdicts
    return Direction.BULLISH if primary.direction > 0 else Direction.BEARISH, verdicts
