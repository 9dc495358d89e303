"""Reads what a day's account is made from: its lake, the archived candles, and the dump that says what was listed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.instrument_store import load_book
from g6_core.adapters.lake import lake_exists, lake_schema, read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.expiry_codes import ExpiryCode, resolve_expiry_codes
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.domain.universe import pairs_at
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.accounting import LAKE_COLUMNS, Contract, DayAccount, Scope, account, summary
from g6_pipelines.collection.candles import Grid
from g6_pipelines.stages.closing import read_closing


@dataclass(frozen=True, slots=True)
class Listing:
    """The dump that tells what was listed on a day: the day's own, or (`own` False) one of a later day."""

    path: Path
    book: InstrumentBook
    own: bool


@dataclass(frozen=True, slots=True)
class Accounted:
    """The account of one index and day, with what it was made from."""

    scope: Scope
    lake: pl.DataFrame
    answers: pl.DataFrame
    closing: pl.DataFrame
    minutes: pl.DataFrame
    day: DayAccount


def account_day(paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str) -> Accounted:
    """Account of what lies on disk; a day of which nothing was kept has an empty one.

    Raises CalendarError when `day` is no trading day, DataError when a file is damaged.
    """
    rules.require_trading_day(day)
    path = paths.lake(day, underlying)
    lake = read_lake(path, LAKE_COLUMNS) if lake_exists(path) else _no_rows()
    answers = read_answers(paths.answers(day, underlying))
    listing = listing_of(paths, rules, day, underlying)
    scope = scope_of(settings, rules, day, underlying, listing, lake["expiry"].drop_nulls(), interval_of(lake))
    closing = read_closing(paths, day, underlying)
    minutes = account(lake, answers, scope, closing)
    return Accounted(scope, lake, answers, closing, minutes, summary(minutes, scope))


def listing_of(paths: DataPaths, rules: MarketRules, day: date, underlying: str) -> Listing | None:
    """The dump kept for a day, else the one its backfill went by, else None. DataError when it is damaged."""
    for path, own in ((paths.instruments(day), True), (paths.listed_later(day), False)):
        if path.exists():
            return Listing(path, load_book(path, rules, (underlying,)), own)
    return None


def interval_of(lake: pl.DataFrame) -> int | None:
    """How far the cycles of a lake are apart (ms); None with less than two. Every cycle of a session has its rows."""
    times = lake["timestamp"].unique().sort().dt.timestamp("ms").diff().drop_nulls()
    return int(times.min()) if len(times) else None  # type: ignore[arg-type]


def scope_of(
    settings: Settings,
    rules: MarketRules,
    day: date,
    underlying: str,
    listing: Listing | None,
    collected: Iterable[date] = (),
    interval_ms: int | None = None,
) -> Scope:
    """What is expected of one index.

    `collected` are expiries that the lake holds and `interval_ms` is how far its cycles are apart, whatever the
    configuration says today.
    """
    spec = rules.index(underlying)
    session = rules.session(day, spec.option_exchange)
    interval_ms = interval_ms or settings.collection.interval_s * SECOND_MS
    cycles = range(session.open_ms, session.close_ms, interval_ms)
    step_paise = rules.strike_step_paise(underlying, day)
    expiries = _expiries(settings, rules, day, underlying, listing) if listing is not None else ()
    known = sorted({*expiries, *collected})
    offsets = settings.index(underlying).offsets

    def universe(atm_paise: int) -> list[Contract]:
        assert listing is not None
        return [
            one
            for expiry in expiries
            for one in _contracts(listing, underlying, expiry, atm_paise, step_paise, offsets)
        ]

    index_row = listing.book.index(underlying) if listing is not None else None
    return Scope(
        index=underlying,
        day=day,
        index_symbol=index_row.tradingsymbol if index_row is not None else spec.index_symbol,
        step_paise=step_paise,
        grid=grid_of(rules, day, underlying, known, interval_ms),
        minutes=sorted({time_ms // MINUTE_MS * MINUTE_MS for time_ms in cycles}),
        universe=universe if listing is not None else None,
        shortfall_pct=settings.completeness.shortfall_pct,
    )


def grid_of(rules: MarketRules, day: date, underlying: str, expiries: Iterable[date], interval_ms: int) -> Grid:
    """Where the cycles of an index stand, and when each of these expiries stops trading."""
    exchange = rules.index(underlying).option_exchange
    session = rules.session(day, exchange)
    closes_ms = {expiry: rules.session(day, exchange, expiry).close_ms for expiry in expiries}
    return Grid(session.open_ms, session.close_ms, interval_ms, closes_ms)


def _expiries(settings: Settings, rules: MarketRules, day: date, underlying: str, listing: Listing) -> tuple[date, ...]:
    """Distinct expiries of the configured codes. A later dump lacks what has expired since: there the rules say."""
    listed = listing.book.expiries(underlying) if listing.own else rules.expiries(underlying, day)
    codes = resolve_expiry_codes(listed, day, partial(rules.is_monthly, underlying))
    wanted = [codes.get(ExpiryCode(code)) for code in settings.index(underlying).expiry_codes]
    return tuple(sorted({expiry for expiry in wanted if expiry is not None}))


def _contracts(
    listing: Listing, underlying: str, expiry: date, atm_paise: int, step_paise: int, offsets: Sequence[int]
) -> list[Contract]:
    """Both sides at each offset. A strike that the dump lacks is not expected, unless its whole expiry is gone."""
    pairs = pairs_at(listing.book, underlying, expiry, atm_paise, step_paise, offsets)
    gone = not listing.book.strikes(underlying, expiry)
    sides: list[tuple[int, str, Instrument | None]] = [
        (pair.strike_paise, kind, side) for pair in pairs for kind, side in zip(("CE", "PE"), pair.sides(), strict=True)
    ]
    return [
        (expiry, strike / 100, kind, side.tradingsymbol if side is not None else None)
        for strike, kind, side in sides
        if side is not None or gone
    ]


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema=lake_schema({name: OPTION_COLUMNS[name] for name in LAKE_COLUMNS}))
