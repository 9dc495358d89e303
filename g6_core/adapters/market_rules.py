"""Reads `config/market/*.yaml` into the pure `MarketRules`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from g6_core.adapters import market_schema as schema
from g6_core.adapters.market_days import read_trading_days
from g6_core.adapters.market_files import MarketFiles
from g6_core.domain.calendar import (
    IndexSpec,
    MarketRules,
    ModelledLevel,
    PriceProtection,
    ProtectionBand,
    UnconfirmedRule,
)
from g6_core.domain.charges import ChargeRates
from g6_core.domain.contracts import ContractRules, ExpiryRule, Listing, LotRule
from g6_core.domain.dated import Timeline
from g6_core.domain.errors import ConfigError
from g6_core.domain.money import paise
from g6_core.domain.trading_days import Hours

T = TypeVar("T")
K = TypeVar("K", bound=str)
E = TypeVar("E", bound=schema.Entry)
DERIVATIVES = {"NSE": "NFO", "BSE": "BFO"}
WEEKDAYS = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4}


def load_market_rules(config_dir: Path) -> MarketRules:
    """Market rules of a configuration directory.

    ConfigError with one line per problem, naming file, key and fix, when a file is missing or wrong.
    """
    files = MarketFiles(config_dir / "market")
    indices = files.read("indices.yaml", schema.IndicesFile).indices
    contracts = files.read("contracts.yaml", schema.ContractsFile).underlyings
    levels = files.read("modelled.yaml", schema.ModelledFile).levels
    sessions = files.read("sessions.yaml", schema.SessionsFile)
    charges = files.read("charges.yaml", schema.ChargesFile).charges
    protection = files.read("protection.yaml", schema.ProtectionFile)
    days = read_trading_days(files)
    for name, table in (("contracts.yaml", contracts), ("modelled.yaml", levels)):
        _same_underlyings(files.path(name), set(indices), set(table))
    for name, exchanges, wanted in (
        ("sessions.yaml", set(sessions.hours), set(DERIVATIVES)),
        ("charges.yaml", set(charges), set(DERIVATIVES.values())),
        ("protection.yaml", set(protection.limits), set(DERIVATIVES.values())),
    ):
        if exchanges != wanted:
            raise ConfigError(f"{files.path(name)}: {', '.join(sorted(wanted - exchanges))}: missing; add its entries")
    hours = _timelines("hours", files.path("sessions.yaml"), sessions.hours, _hours)
    cutoff = _timeline("MIS cut-off", files.path("sessions.yaml"), sessions.mis_cutoff, lambda row: row.at)
    return MarketRules(
        days=days,
        hours=hours | {DERIVATIVES[name]: line for name, line in hours.items()},
        indices={name: _index(name, row) for name, row in indices.items()},
        contracts={name: _contract(name, files.path("contracts.yaml"), row) for name, row in contracts.items()},
        charges=_timelines("charges", files.path("charges.yaml"), charges, _rates),
        mis_cutoffs=dict.fromkeys(DERIVATIVES.values(), cutoff),
        protections=_timelines("price limits", files.path("protection.yaml"), protection.limits, _limits),
        market_protections=_timeline(
            "market protection", files.path("protection.yaml"), protection.market_protection, _bands
        ),
        modelled={
            name: ModelledLevel(paise(row.spot_inr), row.atm_iv_pct, row.day_option_volume, row.day_option_oi)
            for name, row in levels.items()
        },
        sha256=files.sha256(),
        unconfirmed=tuple(
            rule for name, entries in sessions.hours.items() for rule in _unconfirmed(f"hours of {name}", entries)
        ),
    )


def _unconfirmed(name: str, entries: Sequence[schema.HoursEntry]) -> Iterator[UnconfirmedRule]:
    """Yield the entries that no primary source confirms."""
    ends = [*(entry.start - timedelta(days=1) for entry in entries[1:]), None]
    for entry, last in zip(entries, ends, strict=True):
        if entry.certainty != "verified":
            hours = f"{entry.open:%H:%M}-{entry.close:%H:%M}"
            expiring = f", expiring contracts to {entry.expiring_close:%H:%M}" if entry.expiring_close else ""
            yield UnconfirmedRule(f"{name} {hours}{expiring}", entry.start, last, entry.source)


def _same_underlyings(file: str, wanted: set[str], given: set[str]) -> None:
    for name in sorted(wanted - given):
        raise ConfigError(f"{file}: {name}: missing; add it or remove it from indices.yaml")
    for name in sorted(given - wanted):
        raise ConfigError(f"{file}: {name}: unknown index; remove it or add it to indices.yaml")


def _timeline(name: str, file: str, entries: Iterable[E], value: Callable[[E], T]) -> Timeline[T]:
    rows = tuple(entries)
    return Timeline(name, file, tuple(row.start for row in rows), tuple(value(row) for row in rows))


def _timelines(name: str, file: str, table: Mapping[K, Iterable[E]], value: Callable[[E], T]) -> dict[str, Timeline[T]]:
    return {key: _timeline(f"{name} of {key}", file, entries, value) for key, entries in table.items()}


def _index(underlying: str, row: schema.IndexRow) -> IndexSpec:
    return IndexSpec(
        underlying=underlying,
        index_symbol=row.index_symbol,
        index_exchange=row.index_exchange,
        option_exchange=row.option_exchange,
        option_segment=row.option_segment,
        index_token=row.index_token,
        index_token_verified=row.certainty == "verified",
    )


def _contract(underlying: str, file: str, row: schema.ContractsRow) -> ContractRules:
    return ContractRules(
        underlying=underlying,
        file=file,
        expiry_rules=tuple(
            ExpiryRule(
                expiry_from=rule.expiry_from,
                listed_from=rule.listed_from or rule.expiry_from,
                weekly=WEEKDAYS[rule.weekly] if rule.weekly else None,
                monthly=WEEKDAYS[rule.monthly],
            )
            for rule in row.expiries
        ),
        listing=_timeline(
            f"listing of {underlying}",
            file,
            row.listing,
            lambda entry: Listing(entry.weeklies, entry.monthlies, entry.quarterlies, entry.half_yearlies),
        ),
        lots=tuple(LotRule(rule.lot, rule.expiry_from, rule.trade_date_from, rule.kind) for rule in row.lots),
        tick_paise=_timeline(f"tick of {underlying}", file, row.tick, lambda entry: paise(entry.tick_inr)),
        strike_step_paise=_timeline(
            f"strike step of {underlying}", file, row.strike_step, lambda entry: paise(entry.step_inr)
        ),
        freeze_quantity=_timeline(f"freeze limit of {underlying}", file, row.freeze, lambda entry: entry.quantity),
    )


def _hours(row: schema.HoursEntry) -> Hours:
    return Hours(row.open, row.close, row.expiring_close or row.close, row.stocks_close or row.close)


def _rates(row: schema.ChargesEntry) -> ChargeRates:
    return ChargeRates(
        brokerage_paise=paise(row.brokerage_inr),
        stt_sell_pct=Decimal(str(row.stt_sell_pct)),
        exchange_pct=Decimal(str(row.exchange_pct)),
        investor_protection_pct=Decimal(str(row.investor_protection_pct)),
        sebi_pct=Decimal(str(row.sebi_pct)),
        stamp_buy_pct=Decimal(str(row.stamp_buy_pct)),
        gst_pct=Decimal(str(row.gst_pct)),
    )


def _limits(row: schema.LimitsEntry) -> PriceProtection:
    return PriceProtection(
        lpp_pct=row.lpp_pct,
        lpp_threshold_paise=paise(row.lpp_threshold_inr),
        lpp_abs_paise=paise(row.lpp_abs_inr),
        sl_width_pct=row.sl_width_pct,
        sl_width_threshold_paise=paise(row.sl_width_threshold_inr),
        sl_width_abs_paise=paise(row.sl_width_abs_inr),
    )


def _bands(row: schema.BandsEntry) -> tuple[ProtectionBand, ...]:
    return tuple(
        ProtectionBand(None if band.below_inr is None else paise(band.below_inr), band.pct) for band in row.bands
    )
