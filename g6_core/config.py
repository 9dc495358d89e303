"""Settings: `config/g6.yaml` and the strategy it names, validated, frozen and hashed."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from hashlib import sha256
from pathlib import Path
from typing import Any

from g6_core import config_schema as schema
from g6_core.config_yaml import read_yaml, validate
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError
from g6_core.domain.ist import at, ist_clock
from g6_core.domain.money import paise
from g6_core.domain.suggest import did_you_mean
from g6_core.engine.params import (
    CapitalBand,
    DeltaFloor,
    EngineParams,
    ExecutionParams,
    ExitParams,
    GuardParams,
    SignalParams,
    SizingParams,
    StrikeParams,
    UnknownPolicy,
    ValidationParams,
)

_SECRET = re.compile(r"key|secret|token|password", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """Effective settings. `config_sha256` is the hash of what they say, not of how or where they are written.

    It leaves out where copies of the data go, how long they stay, and when a day counts as complete: nothing is decided
    by that, so a day may change it.
    """

    file: schema.SettingsFile
    strategy: schema.StrategyFile
    config_sha256: str
    path: Path

    @property
    def capital_paise(self) -> int:
        """Starting capital."""
        return self.file.capital_inr * 100

    @property
    def indices(self) -> Mapping[str, schema.IndexSettings]:
        """What is collected and traded, by underlying."""
        return self.file.indices

    def index(self, underlying: str) -> schema.IndexSettings:
        """Settings of one index; ConfigError when the file has none for it."""
        if underlying not in self.indices:
            raise ConfigError(
                f"{self.path}: indices.{underlying}: missing; add it, or {did_you_mean(underlying, list(self.indices))}"
            )
        return self.indices[underlying]

    @property
    def collection(self) -> schema.CollectionSettings:
        """How often the chain is collected."""
        return self.file.collection

    @property
    def completeness(self) -> schema.CompletenessSettings:
        """When the broker's silence is believed."""
        return self.file.completeness

    @property
    def influx(self) -> schema.InfluxSettings | None:
        """Where collected rows are copied to; None when they are not."""
        found = self.file.influx
        return found if found is not None and found.enabled else None

    @property
    def archive(self) -> schema.ArchiveSettings | None:
        """Where finished days are archived; None when they are not."""
        found = self.file.archive
        return found if found is not None and found.enabled else None

    @property
    def retention(self) -> schema.RetentionSettings:
        """After how many days what is removed."""
        return self.file.retention

    @property
    def redis(self) -> schema.RedisSettings:
        """Where the last quotes are published."""
        return self.file.redis

    @property
    def simulation(self) -> schema.SimulationSettings:
        """Delays of the simulated exchange."""
        return self.file.simulation

    @property
    def trading(self) -> schema.TradingSettings:
        """Which strategy trades, in which validation mode."""
        return self.file.trading

    def engine_params(self) -> EngineParams:
        """The parameters the engine decides by."""
        return EngineParams(
            capital_paise=self.capital_paise,
            signal=SignalParams(strategy=self.trading.strategy, **self.strategy.signal.model_dump()),
            validation=self._validation(),
            strikes=self._strikes(),
            sizing=self._sizing(),
            guards=self._guards(),
            exits=self._exits(),
            execution=ExecutionParams(**self.file.execution.model_dump()),
            config_sha256=self.config_sha256,
        )

    def _validation(self) -> ValidationParams:
        mode = self.strategy.validation_modes[self.trading.validation_mode]
        return ValidationParams(
            mode=self.trading.validation_mode,
            unknown=UnknownPolicy(mode.unknown),
            iv_rank_max=mode.iv_rank_max,
            iv_zscore_abs_max=mode.iv_zscore_abs_max,
            iv_percentile_min=mode.iv_percentile_min,
            oi_percentile_min=mode.oi_percentile_min,
            entry_from_of_day_ms=mode.entry_from,
            theta_cutoff_of_day_ms=mode.theta_cutoff,
            adx_extra=mode.adx_extra,
            require_trend_slope=mode.require_trend_slope,
        )

    def _strikes(self) -> StrikeParams:
        strikes, indices = self.file.strikes, self.file.indices
        return StrikeParams(
            steps_otm_max=strikes.steps_otm_max,
            window_steps=strikes.window_steps,
            iv_floor_pct={name: index.iv_floor_pct for name, index in indices.items()},
            iv_ceiling_pct={name: index.iv_ceiling_pct for name, index in indices.items()},
            min_oi=strikes.min_oi,
            max_spread_pct=strikes.max_spread_pct,
            max_spread_paise=paise(strikes.max_spread_inr),
            delta_min=strikes.delta_min,
            delta_max=strikes.delta_max,
            delta_floors=tuple(DeltaFloor(floor.from_time, floor.delta_min) for floor in strikes.delta_floors),
            keep_top=strikes.keep_top,
            min_days_to_expiry={name: index.min_days_to_expiry for name, index in indices.items()},
        )

    def _sizing(self) -> SizingParams:
        risk = self.file.risk
        return SizingParams(
            bands=tuple(
                CapitalBand(
                    None if band.up_to_inr is None else band.up_to_inr * 100, band.allocation_pct, band.risk_pct
                )
                for band in risk.capital_bands
            ),
            max_lots=risk.max_lots,
            heat_max_pct=risk.heat_max_pct,
        )

    def _guards(self) -> GuardParams:
        risk = self.file.risk
        return GuardParams(
            max_positions_per_underlying=risk.max_positions_per_underlying,
            cooldown_ms=risk.cooldown_s * 1000,
            max_trades_per_day=risk.max_trades_per_day,
            quote_age_max_ms=risk.quote_age_max_ms,
            index_age_max_ms=risk.index_age_max_ms,
        )

    def _exits(self) -> ExitParams:
        exits = self.file.exits
        return ExitParams(
            stop_loss_pct=exits.stop_loss_pct,
            take_profit_pct=exits.take_profit_pct,
            break_even_at_pct=exits.break_even_at_pct,
            trail_pct=exits.trail_pct,
            time_exit_of_day_ms=exits.time_exit,
            flat_by_of_day_ms=exits.flat_by,
            circuit_pct=exits.circuit_pct,
        )


def load_settings(config_dir: Path) -> Settings:
    """Settings of a configuration directory.

    ConfigError with one line per problem, naming file, key and fix, when a file is missing or wrong.
    """
    main_file = config_dir / "g6.yaml"
    settings = validate(schema.SettingsFile, _without_secrets(main_file), main_file)
    strategy_file = config_dir / "strategies" / f"{settings.trading.strategy}.yaml"
    if not strategy_file.is_file():
        shipped = sorted(path.stem for path in strategy_file.parent.glob("*.yaml"))
        choice = f"choose one of {', '.join(shipped)}" if shipped else "add one"
        raise ConfigError(f"{main_file}: trading.strategy: there is no {strategy_file}; {choice}")
    strategy = validate(schema.StrategyFile, _without_secrets(strategy_file), strategy_file)
    for name, mode in strategy.validation_modes.items():
        if mode.theta_cutoff > settings.exits.time_exit:
            raise ConfigError(
                f"{strategy_file}: validation_modes.{name}.theta_cutoff: is after exits.time_exit of {main_file}; "
                "entries must stop before positions are closed"
            )
    effective = {
        "settings": settings.model_dump(mode="json", exclude={"influx", "archive", "retention", "completeness"}),
        "strategy": strategy.model_dump(mode="json"),
    }
    canonical = json.dumps(effective, sort_keys=True, separators=(",", ":"))
    return Settings(settings, strategy, sha256(canonical.encode()).hexdigest(), main_file)


def check_against_rules(settings: Settings, rules: MarketRules, day: date, underlyings: Iterable[str]) -> None:
    """ConfigError where the settings contradict the market rules of a trading day.

    Positions must be closed before the broker does it, and a stop-limit must not be wider than the exchange takes.
    """
    unknown = [name for name in settings.indices if name not in rules.underlyings]
    if unknown:
        raise ConfigError(
            f"{settings.path}: indices.{unknown[0]}: unknown index; choose one of {', '.join(rules.underlyings)}"
        )
    params = settings.engine_params()
    flat_by_ms = at(day, time()) + params.exits.flat_by_of_day_ms
    for exchange in sorted({rules.index(name).option_exchange for name in underlyings}):
        cutoff_ms = rules.mis_cutoff_ms(day, exchange)
        if params.execution.product == "MIS" and flat_by_ms > cutoff_ms:
            raise ConfigError(
                f"{settings.path}: exits.flat_by: is after {ist_clock(cutoff_ms)}, when the broker squares off MIS on "
                f"{exchange} on {day}; set an earlier time"
            )
        close_ms = rules.session(day, exchange).close_ms
        if flat_by_ms > close_ms:
            raise ConfigError(
                f"{settings.path}: exits.flat_by: is after {ist_clock(close_ms)}, the close of {exchange} on {day}; "
                "set an earlier time"
            )
        width_max_pct = rules.price_protection(exchange, day).sl_width_pct
        if params.execution.stop_limit_width_pct > width_max_pct:
            raise ConfigError(
                f"{settings.path}: execution.stop_limit_width_pct: {exchange} takes at most {width_max_pct} on {day}; "
                "lower it"
            )


def _without_secrets(file: Path) -> dict[Any, Any]:
    data = read_yaml(file)
    for dotted, key in _keys(data, ""):
        if _SECRET.search(key):
            raise ConfigError(
                f"{file}: {dotted}: secrets come from the environment, never from a file; "
                "remove the line and change the secret if it was shared"
            )
    return data


def _keys(node: object, above: str) -> Iterator[tuple[str, str]]:
    """(dotted path, key) of every key below a parsed YAML node."""
    if isinstance(node, dict):
        for key, value in node.items():
            dotted = f"{above}.{key}" if above else str(key)
            yield dotted, str(key)
            yield from _keys(value, dotted)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _keys(value, f"{above}[{place}]")
