"""The prepare stage: the dump before the open, checked against the dated rules, to expiries.json and the day pack."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from kiteconnect import KiteConnect

from g6_core.adapters.day_pack_store import load_picks, save_day_pack, save_expiries, sealed
from g6_core.adapters.files import canonical_json, sha256_hex
from g6_core.adapters.instrument_store import save_dump
from g6_core.adapters.iv_history import load_iv_history
from g6_core.adapters.kite_market import fetch_instruments, instruments_from_kite
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check, failed
from g6_core.domain.errors import ConfigError, DataError
from g6_core.domain.expiry_codes import resolve_expiry_codes
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.schema.day_pack import DAY_PACK_VERSION, PACKED_EXPIRIES, DayPack, IndexPack, IvPoint, PackedExpiry
from g6_core.schema.expiries import EXPIRIES_VERSION, Expiries, IndexExpiries
from g6_core.schema.paths import DataPaths

EXAMPLES_MAX = 3


def prepare(
    kite: KiteConnect,
    settings: Settings,
    rules: MarketRules,
    paths: DataPaths,
    day: date,
    underlyings: Sequence[str],
    *,
    source_label: str,
    seed: int,
) -> DayPack:
    """Fetch the dump of every exchange that the underlyings need; write dump, expiries.json and the day pack.

    Raises CalendarError when `day` is not a trading day, UserError or ConfigError for an index that is not known or
    not configured, DataError naming the check when the dump disagrees
    with the dated rules, BrokerError when the dump cannot be fetched. The same inputs give the same bytes.
    """
    rules.require_trading_day(day)
    for name in underlyings:
        rules.index(name)
        if name not in settings.indices:
            raise ConfigError(f"config/g6.yaml: indices.{name}: missing; add it, or choose another index")
    rows = fetch_dump(kite, rules, underlyings)
    book = instruments_from_kite(rows, rules, underlyings)
    problems = failed(check_dump(book, rules, day, underlyings))
    if problems:
        raise DataError("; ".join(f"{check.name}: {check.detail}" for check in problems))
    dump_sha256 = sha256_hex(canonical_json(rows))
    save_dump(paths.instruments(day), rows)
    expiries = resolve_expiries(book, rules, day, underlyings, source_label, dump_sha256)
    save_expiries(paths.expiries, expiries)
    history = load_iv_history(paths.iv_history, before=day)
    pack = sealed(
        DayPack(
            version=DAY_PACK_VERSION,
            trade_date=day,
            source_label=source_label,
            seed=seed,
            config_sha256=settings.config_sha256,
            dump_sha256=dump_sha256,
            underlyings=tuple(underlyings),
            indices={
                name: _index_pack(book, rules, day, name, expiries.indices[name], history.get(name, ()))
                for name in underlyings
            },
            picks=load_picks(paths.picks(day), day),
            sha256="",
        )
    )
    save_day_pack(paths.day_pack(day), pack)
    return pack


def fetch_dump(kite: KiteConnect, rules: MarketRules, underlyings: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of all exchanges that carry the options and the index rows of the underlyings."""
    specs = [rules.index(name) for name in underlyings]
    exchanges = sorted({exchange for spec in specs for exchange in (spec.option_exchange, spec.index_exchange)})
    return [row for exchange in exchanges for row in fetch_instruments(kite, exchange)]


def resolve_expiries(
    book: InstrumentBook,
    rules: MarketRules,
    day: date,
    underlyings: Iterable[str],
    source_label: str,
    dump_sha256: str,
) -> Expiries:
    """What each code means today, for every underlying."""
    indices = {}
    for name in underlyings:
        listed = book.expiries(name)
        codes = resolve_expiry_codes(listed, day, partial(rules.is_monthly, name))
        indices[name] = IndexExpiries({code.value: expiry for code, expiry in codes.items()}, listed)
    return Expiries(EXPIRIES_VERSION, day, source_label, dump_sha256, indices)


def check_dump(book: InstrumentBook, rules: MarketRules, day: date, underlyings: Sequence[str]) -> tuple[Check, ...]:
    """Named checks of the dump against the dated rules: index rows, expiries, lots, ticks, tokens."""
    options = [row for row in book if row.is_option and row.expiry is not None and row.expiry >= day]
    without_index = [name for name in underlyings if book.index(name) is None]
    without_expiry = [name for name in underlyings if not any(expiry >= day for expiry in book.expiries(name))]
    doubled = len(book) - len({row.token for row in book})
    return (
        Check(
            "index_rows",
            not without_index,
            f"no index row of {', '.join(without_index)}; fetch the dump again" if without_index else "all there",
            {"missing": len(without_index)},
        ),
        Check(
            "unexpired_options",
            not without_expiry,
            f"no unexpired option of {', '.join(without_expiry)}; the dump is not of {day}, fetch it again"
            if without_expiry
            else "all there",
            {"missing": len(without_expiry), "options": len(options)},
        ),
        Check(
            "unique_tokens",
            doubled == 0,
            f"{doubled} tokens stand for more than one contract; fetch the dump again" if doubled else "all unique",
            {"doubled": doubled},
        ),
        _against_rules("lot_size", options, _lots_by_rule(options, rules, day), lambda row: row.lot_size),
        _against_rules(
            "tick_size",
            options,
            {row.token: rules.tick_paise(row.underlying, day) for row in options},
            lambda row: row.tick_paise,
        ),
    )


def _lots_by_rule(options: Sequence[Instrument], rules: MarketRules, day: date) -> dict[int, int]:
    chains = {(row.underlying, row.expiry): row.expiry for row in options if row.expiry is not None}
    lots = {chain: rules.lot_size(chain[0], day, expiry) for chain, expiry in chains.items()}
    return {row.token: lots[row.underlying, row.expiry] for row in options if row.expiry is not None}


def _against_rules(name: str, options: Sequence[Instrument], by_rule: Mapping[int, int], listed: Any) -> Check:
    """The dump's figure of every option against the dated rule's."""
    wrong = [row for row in options if listed(row) != by_rule[row.token]]
    detail = f"{len(options)} options agree with the dated rules"
    if wrong:
        examples = [
            f"{row.tradingsymbol} has {listed(row)}, the rule says {by_rule[row.token]}" for row in wrong[:EXAMPLES_MAX]
        ]
        detail = (
            f"{len(wrong)} of {len(options)} options disagree with the dated rules ({', '.join(examples)}); "
            "correct config/market/contracts.yaml or the dump"
        )
    return Check(name, not wrong, detail, {"compared": len(options), "wrong": len(wrong)})


def _index_pack(
    book: InstrumentBook,
    rules: MarketRules,
    day: date,
    underlying: str,
    expiries: IndexExpiries,
    iv_history: tuple[IvPoint, ...],
) -> IndexPack:
    index_row = book.index(underlying)
    assert index_row is not None, "check_dump has looked"
    spec = rules.index(underlying)
    session = rules.session(day, spec.option_exchange)
    packed = [expiry for expiry in expiries.listed if expiry >= day][:PACKED_EXPIRIES]
    contracts = [row for row in book if row.underlying == underlying and row.is_option and row.expiry in packed]
    contracts.sort(key=lambda row: (row.expiry or date.max, row.strike_paise, row.instrument_type))
    return IndexPack(
        index_row=index_row,
        session_open_ms=session.open_ms,
        session_close_ms=session.close_ms,
        packed=tuple(
            PackedExpiry(expiry, rules.session(day, spec.option_exchange, expiry).close_ms) for expiry in packed
        ),
        expiries=expiries.codes,
        freeze_quantity=rules.freeze_quantity(underlying, day),
        instruments=tuple(contracts),
        iv_history=iv_history,
        oi_history=(),
    )
