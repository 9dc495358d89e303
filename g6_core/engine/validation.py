"""Validation layers behind a signal: IV rank, z-score and percentile, OI percentile, theta, ADX, trend, timing.

Each layer answers pass, fail or unknown (no history yet); the mode says whether unknown blocks.
"""

from collections.abc import Sequence

from g6_core.domain.records import Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.domain.standing import MIN_HISTORY_DAYS, standing
from g6_core.engine.params import SignalParams, UnknownPolicy, ValidationParams
from g6_core.engine.state import FrameState, UnderlyingState


def _layer(
    rule: str, value: float | None, minimum: float | None, maximum: float | None, unknown: UnknownPolicy, note: str = ""
) -> Verdict:
    limit = minimum if minimum is not None else maximum
    if value is None:
        return Verdict(rule, Outcome.UNKNOWN, unknown is UnknownPolicy.BLOCK, None, limit, note)
    passed = (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
    return Verdict(rule, Outcome.PASS if passed else Outcome.FAIL, not passed, round(value, 4), limit, note)


def _clock(of_day_ms: int) -> str:
    minutes = of_day_ms // 60_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _what_is_missing(figure: str, is_known: bool, days: int) -> str:
    return f"{days} of {MIN_HISTORY_DAYS} days of {figure} history" if is_known else f"no {figure} at the money now"


def _iv_layers(iv_pct: float | None, history: Sequence[float], mode: ValidationParams) -> list[Verdict]:
    known = iv_pct is not None and len(history) >= MIN_HISTORY_DAYS
    note = "" if known else _what_is_missing("IV", iv_pct is not None, len(history))
    found = standing(iv_pct, history)
    layers = []
    if mode.iv_rank_max is not None:
        layers.append(_layer("iv_rank", found.rank, None, mode.iv_rank_max, mode.unknown, note))
    if mode.iv_zscore_abs_max is not None:
        size = abs(found.zscore) if found.zscore is not None else None
        layers.append(_layer("iv_zscore", size, None, mode.iv_zscore_abs_max, mode.unknown, note))
    if mode.iv_percentile_min is not None:
        layers.append(_layer("iv_percentile", found.percentile, mode.iv_percentile_min, None, mode.unknown, note))
    return layers


def _oi_layer(oi: int | None, history: Sequence[int], mode: ValidationParams) -> list[Verdict]:
    if mode.oi_percentile_min is None:
        return []
    percentile = standing(oi, history).percentile
    note = "" if percentile is not None else _what_is_missing("OI", oi is not None, len(history))
    return [_layer("oi_percentile", percentile, mode.oi_percentile_min, None, mode.unknown, note)]


def _trend_agreement(frames: Sequence[FrameState], direction: Direction) -> float | None:
    """1 when +DI and -DI stand the signal's way on every frame, else 0; None while one of them is warming up."""
    if any(frame.adx_value < 0 for frame in frames):
        return None
    leads = [frame.adx[9] - frame.adx[10] for frame in frames]
    return float(all(lead > 0 if direction is Direction.BULLISH else lead < 0 for lead in leads))


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
    adx_value = memory.primary.adx_value if memory.primary.adx_value >= 0 else None
    adx_note = "" if adx_value is not None else "not enough bars yet"
    adx_min = signal.adx_min_primary + mode.adx_extra
    entry_from, cutoff = mode.entry_from_of_day_ms, mode.theta_cutoff_of_day_ms
    verdicts = [
        _layer("entry_window", float(of_day_ms), float(entry_from), None, mode.unknown, f"from {_clock(entry_from)}"),
        _layer("theta_cutoff", float(of_day_ms), None, float(cutoff), mode.unknown, f"until {_clock(cutoff)}"),
        _layer("adx_confirmed", adx_value, adx_min, None, mode.unknown, adx_note),
    ]
    if mode.require_trend_slope:
        agreement = _trend_agreement((memory.primary, memory.confirmation), direction)
        note = "" if agreement is not None else "not enough bars yet"
        verdicts.append(_layer("trend_confirmed", agreement, 1.0, None, mode.unknown, note))
    return verdicts + _iv_layers(iv_pct, iv_history, mode) + _oi_layer(oi, oi_history, mode)
