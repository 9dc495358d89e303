"""The documents of the evening: strategy scores, next-day picks, and the history of at-the-money volatility."""

from dataclasses import dataclass
from datetime import date

from g6_core.domain.scoring import ScoreGates, StrategyScore

SCORES_VERSION = 1
PICKS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Scores:
    """Every (underlying, strategy) judged after the close of `trade_date`."""

    version: int
    trade_date: date
    config_sha256: str
    gates: ScoreGates
    scores: tuple[StrategyScore, ...]


@dataclass(frozen=True, slots=True)
class Pick:
    """One contract worth watching. `price_paise` is the middle of its last touch, `score` runs from 0 to 210."""

    rank: int
    tradingsymbol: str
    token: int
    side: str
    strike_paise: int
    expiry: date
    lot_size: int
    steps_otm: int
    price_paise: float
    spread_pct: float
    oi: int
    iv_pct: float
    delta: float
    score: float
    with_trend: bool | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexPicks:
    """Picks of one underlying, or none and why. `as_of_ms` 0 and None mean: nothing was known."""

    underlying: str
    reason: str
    trend: str
    as_of_ms: int
    coverage_pct: float
    expiry: date | None
    atm_iv_pct: float | None
    forward_paise: float | None
    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Picks:
    """Picks for trading on `trade_date`, made after the close of `made_on`."""

    version: int
    trade_date: date
    made_on: date
    config_sha256: str
    indices: dict[str, IndexPicks]
