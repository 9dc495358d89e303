"""The prepare stage: the dump before the open, checked against the dated rules, to expiries.json and the day pack."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from g6_core.adapters.day_pack_store import (
    load_day_pack,
    load_expiries,
    load_picks,
    save_day_pack,
    save_expiries,
    sealed,
)
from g6_core.adapters.files import held
from g6_core.adapters.history import IndexHistory, load_history
from g6_core.adapters.instrument_store import load_book, save_dump
from g6_core.adapters.journal import file_sha256
from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite_market import fetch_instruments, instruments_from_kite
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.errors import DataError
from g6_core.domain.expiry_codes import resolve_expiry_codes
from g6_core.domain.instruments import InstrumentBook
from g6_core.schema.day_pack import DAY_PACK_VERSION, KITE, PACKED_EXPIRIES, DayPack, IndexPack, PackedExpiry
from g6_core.schema.expiries import EXPIRIES_VERSION, Expiries, IndexExpiries
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.stages.check_dump import check_dump
from g6_pipelines.stages.verdict import day_before


@dataclass(frozen=True, slots=True)
class StoredDump:
    """The dump of a day as it lies on disk: its wanted underlyings, and the hash of the file."""

    book: InstrumentBook
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a day's quotes come from: kind of source (`kite`, `modelled`, `recorded`) and seed."""

    label: str
    seed: int


def prepare(
    kite: KiteConnect, site: Site, day: date, underlyings: Sequence[str], *, source_label: str, seed: int
) -> DayPack:
    """Fetch the dump of every exchange that the underlyings need; write dump, expiries.json and the day pack.

    Raises CalendarError when `day` is not a trading day, UserError or ConfigError for an index that is not known or
    not configured, DataError naming the check when the dump disagrees
    with the dated rules, BrokerError when the dump cannot be fetched. The same inputs give the same bytes.
    """
    site.rules.require_trading_day(day)
    for name in underlyings:
        site.rules.index(name)
        site.settings.index(name)
    dump, origin = store_dump(kite, site, day, underlyings), Origin(source_label, seed)
    publish_expiries(dump, site, day, underlyings, origin, keep_others=False)
    return publish_day_pack(dump, site, day, underlyings, origin, keep_others=False)


def store_dump(kite: KiteConnect, site: Site, day: date, underlyings: Sequence[str]) -> StoredDump:
    """Fetch the dump of every exchange that the underlyings need and keep it as it came, right or wrong."""
    path, rows = site.paths.instruments(day), fetch_dump(kite, site.rules, underlyings)
    book = instruments_from_kite(rows, site.rules, underlyings)
    save_dump(path, rows)
    return StoredDump(book, file_sha256(path))


def stored_dump(site: Site, day: date, underlyings: Sequence[str]) -> StoredDump:
    """The dump that was kept for `day`. DataError when there is none."""
    path = site.paths.instruments(day)
    return StoredDump(load_book(path, site.rules, underlyings), file_sha256(path))


def publish_expiries(
    dump: StoredDump, site: Site, day: date, underlyings: Sequence[str], origin: Origin, *, keep_others: bool
) -> Expiries:
    """Resolve the expiry codes and write expiries.json, unless a newer day stands there already.

    `keep_others` keeps what the same dump gave for other underlyings. DataError when the dump is not sound.
    """
    _require_sound(dump.book, site.rules, day, underlyings)
    found = resolve_expiries(dump, site.rules, day, underlyings, origin.label)
    with held(site.paths.shared_lock):
        known = _readable_expiries(site.paths.expiries)
        if keep_others and known is not None and replace(known, indices={}) == replace(found, indices={}):
            found = replace(found, indices=known.indices | found.indices)
        if known is None or known.trade_date <= day:
            save_expiries(site.paths.expiries, found)
    return found


def publish_day_pack(
    dump: StoredDump, site: Site, day: date, underlyings: Sequence[str], origin: Origin, *, keep_others: bool
) -> DayPack:
    """Write the day pack. `keep_others` keeps the underlyings that a pack of the same day, dump, source and
    configuration already holds, and the whole pack once the day was traded with it. DataError when the dump is not
    sound."""
    _require_sound(dump.book, site.rules, day, underlyings)
    codes, paths = resolve_expiries(dump, site.rules, day, underlyings, origin.label).indices, site.paths
    with held(paths.shared_lock):
        history = load_history(paths.history, origin.label, before=day)
        pack = DayPack(
            version=DAY_PACK_VERSION,
            trade_date=day,
            source_label=origin.label,
            seed=origin.seed,
            config_sha256=site.settings.config_sha256,
            dump_sha256=dump.sha256,
            underlyings=tuple(underlyings),
            indices={
                name: _index_pack(dump.book, Day(site, day, name), codes[name], history.get(name, IndexHistory()))
                for name in underlyings
            },
            picks=load_picks(paths.picks(day), day),
            day_before=day_before(paths, site.settings, site.rules, day, simulated=origin.label != KITE),
            sha256="",
        )
        known = _known_pack(pack, paths) if keep_others else None
        if known is not None and paths.journal(day).exists() and _serves(known, pack):
            return known
        pack = sealed(pack if known is None else _with_others(pack, known, site.rules))
        save_day_pack(paths.day_pack(day), pack)
    return pack


def _known_pack(pack: DayPack, paths: DataPaths) -> DayPack | None:
    """The pack of the day and configuration that is on disk; None when there is none that can be read."""
    try:
        return load_day_pack(paths.day_pack(pack.trade_date), day=pack.trade_date, config_sha256=pack.config_sha256)
    except DataError:
        return None


def _serves(known: DayPack, pack: DayPack) -> bool:
    """Whether a day that was traded keeps its pack: history and picks known by now would make another one, and the
    journal replays only with the pack that it was written with. Not where an index lacks, or of another market."""
    same_market = (known.source_label, known.seed) == (pack.source_label, pack.seed)
    return same_market and set(pack.underlyings) <= set(known.underlyings)


def _with_others(pack: DayPack, known: DayPack, rules: MarketRules) -> DayPack:
    """The pack with the underlyings of its predecessor that it does not bring itself; all in the rules' order."""
    if (known.source_label, known.seed, known.dump_sha256) != (pack.source_label, pack.seed, pack.dump_sha256):
        return pack
    indices = known.indices | pack.indices
    return replace(pack, underlyings=tuple(name for name in rules.underlyings if name in indices), indices=indices)


def _readable_expiries(path: Path) -> Expiries | None:
    try:
        return load_expiries(path)
    except DataError:
        return None


def _require_sound(book: InstrumentBook, rules: MarketRules, day: date, underlyings: Sequence[str]) -> None:
    problems = failed(check_dump(book, rules, day, underlyings))
    if problems:
        raise DataError("; ".join(f"{check.name}: {check.detail}" for check in problems))


def fetch_dump(kite: KiteConnect, rules: MarketRules, underlyings: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of all exchanges that carry the options and the index rows of the underlyings."""
    specs = [rules.index(name) for name in underlyings]
    exchanges = sorted({exchange for spec in specs for exchange in (spec.option_exchange, spec.index_exchange)})
    return [row for exchange in exchanges for row in fetch_instruments(kite, exchange)]


def resolve_expiries(
    dump: StoredDump, rules: MarketRules, day: date, underlyings: Iterable[str], source_label: str
) -> Expiries:
    """What each code means today, for every underlying."""
    indices = {}
    for name in underlyings:
        listed = dump.book.expiries(name)
        codes = resolve_expiry_codes(listed, day, partial(rules.is_monthly, name))
        indices[name] = IndexExpiries({code.value: expiry for code, expiry in codes.items()}, listed)
    return Expiries(EXPIRIES_VERSION, day, source_label, dump.sha256, indices)


def _index_pack(book: InstrumentBook, day: Day, expiries: IndexExpiries, history: IndexHistory) -> IndexPack:
    index_row, session = book.index(day.index), day.session
    assert index_row is not None, "check_dump has looked"
    packed = [expiry for expiry in expiries.listed if expiry >= day.date][:PACKED_EXPIRIES]
    contracts = [row for row in book if row.underlying == day.index and row.is_option and row.expiry in packed]
    contracts.sort(key=lambda row: (row.expiry or date.max, row.strike_paise, row.instrument_type))
    return IndexPack(
        index_row=index_row,
        session_open_ms=session.open_ms,
        session_close_ms=session.close_ms,
        packed=tuple(PackedExpiry(expiry, day.close_ms(expiry)) for expiry in packed),
        expiries=expiries.codes,
        freeze_quantity=day.site.rules.freeze_quantity(day.index, day.date),
        instruments=tuple(contracts),
        iv_history=history.iv,
        oi_history=history.oi,
    )
