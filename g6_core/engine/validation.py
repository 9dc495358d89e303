"""Validation layers behind a signal: IV rank, z-score and percentile, OI percentile, theta, ADX, trend, timing.

Each layer answers pass, fail or unknown (no history yet); the mode says whether unknown blocks.
"""

import statistics
from collections.abc import Sequence

from g6_core.domain.records import Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine.params import SignalParams, UnknownPolicy, ValidationParams
from g6_core.engine.state import FrameState, UnderlyingState

MIN_HISTORY_DAYS = 10


def _layer(
    rule: str, value: float | None, minimum: float | None, maximum: float | None, unknown: UnknownPolicy, note: str = ""
) -> Verdict:
    limit = minimum if minimum is not None else maximum
    if value is None:
        return Verdict(rule, Outcome.UNKNOWN, unknown is UnknownPolicy.BLOCK, None, limit, note)
    passed = (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
    return Verdict(rule, Outcome.PASS if passed else Outcome.FAIL, not passed, round(value, 4), limit, note)


def _iv_layers(iv_pct: float | None, history: Sequence[float], mode: ValidationParams) -> list[Verdict]:
    known = iv_pct if len(history) >= MIN_HISTORY_DAYS else None
    note = "" if known is not None else f"{len(history)} of {MIN_HISTORY_DAYS} days of IV history"
    low, high = (min(history), max(history)) if history else (0.0, 0.0)
    spread = statistics.pstdev(history) if len(history) > 1 else 0.0
    rank = (known - low) / (high - low) if known is not None and high > low else None
    zscore = (known - statistics.fmean(history)) / spread if known is not None and spread > 0 else None
    percentile = sum(past < known for past in history) / len(history) if known is not None else None
    layers = []
    if mode.iv_rank_max is not None:
        layers.append(_layer("iv_rank", rank, None, mode.iv_rank_max, mode.unknown, note))
    if mode.iv_zscore_abs_max is not None:
        size = abs(zscore) if zscore is not None else None
        layers.append(_layer("iv_zscore", size, None, mode.iv_zscore_abs_max, mode.unknown, note))
    if mode.iv_percentile_min is not None:
        layers.append(_layer("iv_percentile", percentile, mode.iv_percentile_min, None, mode.unknown, note))
    return layers


def _oi_layer(oi: int | None, history: Sequence[int], mode: ValidationParams) -> list[Verdict]:
    if mode.oi_percentile_min is None:
        return []
    known = oi is not None and len(history) >= MIN_HISTORY_DAYS
    percentile = sum(past < oi for past in history) / len(history) if known and oi is not None else None
    note = "" if known else f"{len(history)} of {MIN_HISTORY_DAYS} days of OI history"
    return [_layer("oi_percentile", percentile, mode.oi_percentile_min, None, mode.unknown, note)]


def _trend_agrees(frame: FrameState, direction: Direction) -> bool:
    plus, minus = frame.adx[9], frame.adx[10]
    return bool(plus > minus if direction is Direction.BULLISH else minus > plus)


def validate(
    memory: UnderlyingState,
    direction: Direction,
    of_day_ms: int,
    iv_pct: float | None,
    iv_history: Sequence[float],
    oi: int | None,
    oi_history: Sequence[int],
    signal: SignalParams,
    mode: ValidationParams,
) -> list[Verdict]:
    """Every layer of the mode, none skipped; times are milliseconds after midnight IST."""
    verdicts = [
        _layer("entry_window", float(of_day_ms), float(mode.entry_from_of_day_ms), None, mode.unknown),
        _layer("theta_cutoff", float(of_day_ms), None, float(mode.theta_cutoff_of_day_ms), mode.unknown),
        _layer("adx_confirmed", memory.primary.adx_value, signal.adx_min_primary + mode.adx_extra, None, mode.unknown),
    ]
    if mode.require_trend_slope:
        agrees = _trend_agrees(memory.primary, direction) and _trend_agrees(memory.confirmation, direction)
        verdicts.append(_layer("trend_confirmed", float(agrees), 1.0, None, mode.unknown))
    return verdicts + _iv_layers(iv_pct, iv_history, mode) + _oi_layer(oi, oi_history, mode)
