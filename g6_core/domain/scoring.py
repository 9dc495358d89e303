"""How strategies are judged after the close: plain sums, gates, and figures only where history allows them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean, stdev

from g6_core.domain.records import TradeRecord


class ScoreStatus(StrEnum):
    """What the history says. `insufficient_history` is neither good nor bad."""

    INSUFFICIENT_HISTORY = "insufficient_history"
    BELOW_GATE = "below_gate"
    PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class ScoreGates:
    """What a strategy has to show before it is judged at all, and what it then has to reach.

    `min_peers` is the number of judged strategies below which a z-score would compare with nothing.
    """

    min_trades: int = 30
    min_days: int = 10
    min_profit_factor: float = 1.1
    min_peers: int = 3


@dataclass(frozen=True, slots=True)
class StrategyScore:
    """One strategy on one underlying. None means: the history does not say.

    `max_adverse_pct` is the deepest fall of a trade's price below its entry, in per cent of the entry;
    `z_score` that of the mean net profit per trade among the judged strategies.
    """

    underlying: str
    strategy: str
    status: ScoreStatus
    reasons: tuple[str, ...]
    days: int
    signals: int
    trades: int
    wins: int
    net_pnl_paise: int
    charges_paise: int
    max_adverse_pct: float | None
    profit_factor: float | None
    win_rate_pct: float | None
    mean_net_paise: float | None
    z_score: float | None


def score_strategy(
    underlying: str,
    strategy: str,
    *,
    signals: int,
    days: int,
    trades: Sequence[TradeRecord],
    gates: ScoreGates,
) -> StrategyScore:
    """Judge the closed trades of a strategy; open ones are left out. No z-score yet: that needs the others.

    `signals` and `days` are counts over the same history as the trades. With too few trades or days the ratios
    stay None and the status says so.
    """
    closed = [trade for trade in trades if trade.exit_ms]
    nets = [trade.net_pnl_paise for trade in closed]
    missing = _missing_history(len(closed), days, gates)
    factor = None if missing else _profit_factor(nets)
    status, reasons = _status(missing, factor, gates)
    adverse = [
        (trade.entry_paise - trade.low_water_mark_paise) * 100 / trade.entry_paise
        for trade in closed
        if trade.entry_paise > 0 and trade.low_water_mark_paise > 0
    ]
    wins = sum(net > 0 for net in nets)
    return StrategyScore(
        underlying=underlying,
        strategy=strategy,
        status=status,
        reasons=reasons,
        days=days,
        signals=signals,
        trades=len(closed),
        wins=wins,
        net_pnl_paise=sum(nets),
        charges_paise=sum(trade.charges_paise for trade in closed),
        max_adverse_pct=round(max(0.0, *adverse, 0.0), 4) if adverse else None,
        profit_factor=factor,
        win_rate_pct=None if missing else round(wins * 100 / len(nets), 4),
        mean_net_paise=None if missing else round(fmean(nets), 4),
        z_score=None,
    )


def with_z_scores(scores: Sequence[StrategyScore], gates: ScoreGates) -> tuple[StrategyScore, ...]:
    """The same scores, with z-scores of the mean net profit where at least `min_peers` are judged and they differ."""
    judged = [score.mean_net_paise for score in scores if score.mean_net_paise is not None]
    if len(judged) < max(gates.min_peers, 2):
        return tuple(scores)
    mean, spread = fmean(judged), stdev(judged)
    if spread == 0 or not math.isfinite(spread):
        return tuple(scores)
    return tuple(
        score
        if score.mean_net_paise is None
        else replace(score, z_score=round((score.mean_net_paise - mean) / spread, 6))
        for score in scores
    )


def _missing_history(trades: int, days: int, gates: ScoreGates) -> tuple[str, ...]:
    reasons = []
    if trades < gates.min_trades:
        reasons.append(f"{trades} closed trades, {gates.min_trades} needed")
    if days < gates.min_days:
        reasons.append(f"{days} trading days, {gates.min_days} needed")
    return tuple(reasons)


def _profit_factor(nets: Sequence[int]) -> float | None:
    """Won over lost; None when nothing was lost, because no number is honest then."""
    lost = -sum(net for net in nets if net < 0)
    return round(sum(net for net in nets if net > 0) / lost, 4) if lost else None


def _status(missing: tuple[str, ...], factor: float | None, gates: ScoreGates) -> tuple[ScoreStatus, tuple[str, ...]]:
    if missing:
        return ScoreStatus.INSUFFICIENT_HISTORY, missing
    if factor is None:
        return ScoreStatus.PROMOTED, ("no losing trade",)
    if factor < gates.min_profit_factor:
        return ScoreStatus.BELOW_GATE, (f"profit factor {factor} below {gates.min_profit_factor}",)
    return ScoreStatus.PROMOTED, (f"profit factor {factor} of at least {gates.min_profit_factor}",)
