"""Parameters of the trading rules: plain frozen values, built and validated by `g6_core.config`.

Percentages are written as people say them (30 means 30 %). Times of day are milliseconds after
midnight IST (`*_of_day_ms`). Money is integer paise.
"""

from dataclasses import dataclass
from enum import StrEnum


class UnknownPolicy(StrEnum):
    """What a validation layer does when it has nothing to judge by (no history yet, say)."""

    ALLOW = "allow"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class SignalParams:
    """Supertrend and ADX on one minute (primary) and five minutes (confirmation)."""

    strategy: str
    supertrend_period: int
    supertrend_multiplier: float
    adx_period: int
    adx_min_primary: float
    adx_min_confirmation: float


@dataclass(frozen=True, slots=True)
class ValidationParams:
    """One validation mode. A layer whose limit is None is switched off."""

    mode: str
    unknown: UnknownPolicy
    iv_rank_max: float | None
    iv_zscore_abs_max: float | None
    iv_percentile_min: float | None
    oi_percentile_min: float | None
    entry_from_of_day_ms: int
    theta_cutoff_of_day_ms: int
    adx_extra: float
    require_trend_slope: bool


@dataclass(frozen=True, slots=True)
class DeltaFloor:
    """From this time of day on, |delta| must be at least `delta_min`."""

    from_of_day_ms: int
    delta_min: float


@dataclass(frozen=True, slots=True)
class StrikeParams:
    """Filters and scoring of candidate strikes; `iv_*` are per underlying."""

    steps_otm_max: int
    window_steps: int
    iv_floor_pct: dict[str, float]
    iv_ceiling_pct: dict[str, float]
    min_oi: int
    max_spread_pct: float
    max_spread_paise: int
    delta_min: float
    delta_max: float
    delta_floors: tuple[DeltaFloor, ...]
    keep_top: int
    min_days_to_expiry: dict[str, int]


@dataclass(frozen=True, slots=True)
class CapitalBand:
    """Applies to capital up to `up_to_paise` (None: no upper end)."""

    up_to_paise: int | None
    allocation_pct: float
    risk_pct: float


@dataclass(frozen=True, slots=True)
class SizingParams:
    """Capital bands and hard caps."""

    bands: tuple[CapitalBand, ...]
    max_lots: int
    heat_max_pct: float


@dataclass(frozen=True, slots=True)
class GuardParams:
    """What stops an entry although the signal is good."""

    max_positions_per_underlying: int
    cooldown_ms: int
    max_trades_per_day: int
    quote_age_max_ms: int
    index_age_max_ms: int


@dataclass(frozen=True, slots=True)
class ExitParams:
    """When a position is closed. Percentages of the average entry price, circuit of starting balance."""

    stop_loss_pct: float
    take_profit_pct: float
    break_even_at_pct: float
    trail_pct: float
    time_exit_of_day_ms: int
    flat_by_of_day_ms: int
    circuit_pct: float


@dataclass(frozen=True, slots=True)
class ExecutionParams:
    """How orders are priced and kept alive."""

    product: str
    entry_through_pct: float
    exit_through_pct: float
    stop_limit_width_pct: float
    reprice_ms: int
    stop_move_min_pct: float
    max_modifications: int
    absence_ms: int


@dataclass(frozen=True, slots=True)
class EngineParams:
    """Everything the engine decides by, with the hash of the configuration it was read from."""

    capital_paise: int
    signal: SignalParams
    validation: ValidationParams
    strikes: StrikeParams
    sizing: SizingParams
    guards: GuardParams
    exits: ExitParams
    execution: ExecutionParams
    config_sha256: str
