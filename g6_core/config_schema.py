"""Shape and bounds of `config/g6.yaml` and of a strategy file."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from g6_core.config_types import Flag, Fraction, Int, Number, Strictly, Text, TimeOfDayMs, refuse

ExpiryCode = Literal["this_week", "next_week", "this_month", "next_month"]
Percent = Annotated[Number, Field(gt=0, le=100)]
Underlying = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,19}$")]
Mode = Literal["conservative", "balanced", "aggressive"]


class OffsetRange(Strictly):
    """Strikes to collect, counted in steps from the at-the-money strike."""

    min: Annotated[Int, Field(ge=-50, le=0)]
    max: Annotated[Int, Field(ge=0, le=50)]


class IndexSettings(Strictly):
    """What is collected and traded of one index. `offsets` are steps from the at-the-money strike, ascending."""

    expiry_codes: Annotated[tuple[ExpiryCode, ...], Field(min_length=1)]
    offset_range: OffsetRange = Field(alias="offsets")
    iv_floor_pct: Annotated[Number, Field(ge=0, le=200)]
    iv_ceiling_pct: Annotated[Number, Field(gt=0, le=500)]
    min_days_to_expiry: Annotated[Int, Field(ge=0, le=60)]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Every offset of the range, ascending."""
        return tuple(range(self.offset_range.min, self.offset_range.max + 1))

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if len(set(self.expiry_codes)) < len(self.expiry_codes):
            refuse("names a code twice", "list each code once", "expiry_codes")
        if self.iv_floor_pct >= self.iv_ceiling_pct:
            refuse(
                f"{self.iv_floor_pct} is not below iv_ceiling_pct {self.iv_ceiling_pct}", "correct one", "iv_floor_pct"
            )
        return self


class CollectionSettings(Strictly):
    """How often the option chain is collected, and of how many contracts an index the broker's candles bear witness."""

    interval_s: Annotated[Int, Field(ge=15, le=300)]
    witnesses: Annotated[Int, Field(ge=0, le=200)] = 10

    @model_validator(mode="after")
    def _whole_minutes(self) -> Self:
        if 60 % self.interval_s and self.interval_s % 60:
            refuse(
                f"{self.interval_s} neither divides a minute nor is whole minutes", "use 15, 20, 30 or 60", "interval_s"
            )
        return self


class CompletenessSettings(Strictly):
    """When the broker's silence is not believed: its candles of a contract and day hold less than was traded.

    `shortfall_pct`: so much less of the closing volume is borne.
    """

    shortfall_pct: Annotated[Number, Field(ge=0, le=100)] = 2.0


class InfluxSettings(Strictly):
    """Where collected rows are copied to. `bucket` is ``database`` or ``database/retention-policy``.

    `org` matters to InfluxDB 2.x only. The token comes from the environment, G6_INFLUX_TOKEN.
    """

    enabled: Flag
    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\-\[\]:_]+$")]
    org: Annotated[str, Field(pattern=r"^[^\s/]{1,64}$")]
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-.]{1,64}(/[A-Za-z0-9_\-.]{1,64})?$")]


class ArchiveSettings(Strictly):
    """Where finished days are archived: an S3-compatible service, or a folder (``file:///folder``).

    A folder has `bucket` and `prefix` below it. The keys come from the environment, AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY. `csv`: the CSV files too, which are only a view of the lake.
    """

    enabled: Flag
    url: Annotated[str, Field(pattern=r"^(https?://[A-Za-z0-9.\-\[\]:_]+|file:///[^?#]*)$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9\-]{1,32}$")]
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$")]
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*)?$")]
    csv: Flag


Days = Annotated[Int, Field(ge=1, le=3650)]


class RetentionSettings(Strictly):
    """After how many days what is removed; null: never. Nothing of a day that the archive lacks, where there is one.

    `stream_days`: the lake's streams, whose rows stay in the compacted form. `csv_days`: CSV files, a view of the lake.
    `logs_days`: logs of Dagster's runs. `runs_days`: Dagster's runs that failed or were canceled.
    """

    stream_days: Days | None
    csv_days: Days | None
    logs_days: Days | None
    runs_days: Days | None


class RedisSettings(Strictly):
    """Where the last quotes are published for readers; no `url`: nowhere. A failing server costs `timeout_ms` once."""

    url: Annotated[str, Field(pattern=r"^(redis|rediss|unix)://[^@\s]+$")] | None
    timeout_ms: Annotated[Int, Field(ge=10, le=2_000)]
    expire_s: Annotated[Int, Field(ge=60, le=86_400)]


class SimulationSettings(Strictly):
    """Delays of the simulated exchange: an order arrives after the latency, give or take up to the jitter."""

    order_latency_ms: Annotated[Int, Field(ge=0, le=10_000)]
    latency_jitter_ms: Annotated[Int, Field(ge=0, le=10_000)]

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.latency_jitter_ms > self.order_latency_ms:
            refuse(
                f"{self.latency_jitter_ms} is above order_latency_ms {self.order_latency_ms}",
                "lower it",
                "latency_jitter_ms",
            )
        return self


class TradingSettings(Strictly):
    """Which strategy trades, and how strictly its signals are validated."""

    strategy: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    validation_mode: Mode


class DeltaFloorSettings(Strictly):
    """From this time of day on, |delta| must be at least `delta_min`."""

    from_time: TimeOfDayMs = Field(alias="from")
    delta_min: Fraction


class StrikeSettings(Strictly):
    """Filters of candidate strikes."""

    steps_otm_max: Annotated[Int, Field(ge=0, le=20)]
    window_steps: Annotated[Int, Field(ge=1, le=50)]
    min_oi: Annotated[Int, Field(ge=0, le=1_000_000_000)]
    max_spread_pct: Percent
    max_spread_inr: Annotated[Number, Field(gt=0, le=1000)]
    delta_min: Fraction
    delta_max: Fraction
    delta_floors: tuple[DeltaFloorSettings, ...]
    keep_top: Annotated[Int, Field(ge=1, le=20)]

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.steps_otm_max > self.window_steps:
            refuse(
                f"{self.steps_otm_max} is above window_steps {self.window_steps}", "widen the window", "steps_otm_max"
            )
        if self.delta_min >= self.delta_max:
            refuse(f"{self.delta_min} is not below delta_max {self.delta_max}", "correct one of them", "delta_min")
        _ascends((floor.from_time for floor in self.delta_floors), "delta_floors", "order them by time of day")
        for floor in self.delta_floors:
            if not self.delta_min <= floor.delta_min <= self.delta_max:
                refuse(f"{floor.delta_min} is outside delta_min to delta_max", "move it inside", "delta_floors")
        return self


class BandSettings(Strictly):
    """A capital band: applies up to `up_to_inr`; null on the last one means no upper end."""

    up_to_inr: Annotated[Int, Field(gt=0, le=10_000_000_000)] | None
    allocation_pct: Percent
    risk_pct: Percent


class RiskSettings(Strictly):
    """Sizing and guards."""

    capital_bands: Annotated[tuple[BandSettings, ...], Field(min_length=1)]
    max_lots: Annotated[Int, Field(ge=1, le=1000)]
    heat_max_pct: Percent
    max_positions_per_underlying: Annotated[Int, Field(ge=1, le=20)]
    cooldown_s: Annotated[Int, Field(ge=0, le=21_600)]
    max_trades_per_day: Annotated[Int, Field(ge=1, le=1000)]
    quote_age_max_ms: Annotated[Int, Field(ge=100, le=600_000)]
    index_age_max_ms: Annotated[Int, Field(ge=100, le=600_000)]

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        ends = [band.up_to_inr for band in self.capital_bands]
        if ends[-1] is not None or None in ends[:-1]:
            refuse(
                "needs exactly one open end, on the last band",
                "set up_to_inr to null there and only there",
                "capital_bands",
            )
        _ascends((end for end in ends if end is not None), "capital_bands", "order the bands by up_to_inr")
        for band in self.capital_bands:
            if band.risk_pct > band.allocation_pct:
                refuse(
                    f"risk_pct {band.risk_pct} is above allocation_pct {band.allocation_pct}",
                    "lower the risk",
                    "capital_bands",
                )
        return self


class ExitSettings(Strictly):
    """When a position is closed. Percentages of the average entry price; the circuit of the starting balance."""

    stop_loss_pct: Annotated[Number, Field(ge=1, lt=100)]
    take_profit_pct: Annotated[Number, Field(ge=1, le=1000)]
    break_even_at_pct: Annotated[Number, Field(ge=0.5, le=1000)]
    trail_pct: Annotated[Number, Field(ge=0.5, lt=100)]
    time_exit: TimeOfDayMs
    flat_by: TimeOfDayMs
    circuit_pct: Annotated[Number, Field(ge=0.5, le=100)]

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.break_even_at_pct >= self.take_profit_pct:
            refuse(
                f"{self.break_even_at_pct} is not below take_profit_pct {self.take_profit_pct}",
                "lower it",
                "break_even_at_pct",
            )
        if self.time_exit >= self.flat_by:
            refuse("is not before flat_by", "leave some minutes between them", "time_exit")
        return self


class ExecutionSettings(Strictly):
    """How orders are priced and kept alive."""

    product: Literal["MIS", "NRML"]
    entry_through_pct: Annotated[Number, Field(ge=0, le=20)]
    exit_through_pct: Annotated[Number, Field(ge=0, le=20)]
    stop_limit_width_pct: Annotated[Number, Field(ge=0.5, le=20)]
    reprice_ms: Annotated[Int, Field(ge=500, le=60_000)]
    stop_move_min_pct: Annotated[Number, Field(ge=0, le=50)]
    max_modifications: Annotated[Int, Field(ge=1, le=25)]
    absence_ms: Annotated[Int, Field(ge=95_000, le=600_000)]


class SettingsFile(Strictly):
    """g6.yaml"""

    capital_inr: Annotated[Int, Field(ge=1000, le=10_000_000_000)]
    indices: Annotated[dict[Underlying, IndexSettings], Field(min_length=1)]
    collection: CollectionSettings
    completeness: CompletenessSettings = CompletenessSettings()
    simulation: SimulationSettings
    trading: TradingSettings
    strikes: StrikeSettings
    risk: RiskSettings
    exits: ExitSettings
    execution: ExecutionSettings
    influx: InfluxSettings | None = None
    archive: ArchiveSettings | None = None
    retention: RetentionSettings = RetentionSettings(stream_days=None, csv_days=None, logs_days=None, runs_days=None)
    redis: RedisSettings = RedisSettings(url=None, timeout_ms=250, expire_s=900)


class SignalSettings(Strictly):
    """Supertrend and ADX on the primary frame (1 minute) and the confirmation frame (5 minutes)."""

    supertrend_period: Annotated[Int, Field(ge=2, le=200)]
    supertrend_multiplier: Annotated[Number, Field(ge=0.1, le=20)]
    adx_period: Annotated[Int, Field(ge=2, le=200)]
    adx_min_primary: Annotated[Number, Field(ge=0, le=100)]
    adx_min_confirmation: Annotated[Number, Field(ge=0, le=100)]


class ValidationSettings(Strictly):
    """One validation mode. A limit of null switches its layer off; ranks and percentiles are fractions."""

    unknown: Literal["allow", "block"]
    iv_rank_max: Fraction | None
    iv_zscore_abs_max: Annotated[Number, Field(gt=0, le=10)] | None
    iv_percentile_min: Fraction | None
    oi_percentile_min: Fraction | None
    entry_from: TimeOfDayMs
    theta_cutoff: TimeOfDayMs
    adx_extra: Annotated[Number, Field(ge=0, le=50)]
    require_trend_slope: Flag

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.entry_from >= self.theta_cutoff:
            refuse("is not before theta_cutoff", "leave time to enter between them", "entry_from")
        return self


class StrategyFile(Strictly):
    """strategies/<name>.yaml"""

    description: Text
    signal: SignalSettings
    validation_modes: dict[Mode, ValidationSettings]

    @model_validator(mode="after")
    def _all_modes(self) -> Self:
        for mode in ("conservative", "balanced", "aggressive"):
            if mode not in self.validation_modes:
                refuse("missing", "add it", f"validation_modes.{mode}")
        return self


def _ascends(values: Iterable[int], key: str, fix: str) -> None:
    listed = list(values)
    if listed != sorted(set(listed)):
        refuse("does not ascend", fix, key)
