"""Reads what a day's account is made from: its lake, the archived candles, and the dump that says what was listed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.instrument_store import load_book
from g6_core.adapters.lake import lake_exists, lake_schema, read_lake
from g6_core.adapters.lake_parquet import parquet_of
from g6_core.domain.expiry_codes import ExpiryCode, resolve_expiry_codes
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import MINUTE_MS
from g6_core.domain.universe import pairs_at
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.site import Day
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


def account_day(day: Day) -> Accounted:
    """Account of what lies on disk; a day of which nothing was kept has an empty one.

    An evening asks for the same day a dozen times: the newest account is kept for as long as its files stay as they
    were. Raises CalendarError when `day` is no trading day, DataError when a file is damaged.
    """
    global _newest
    made_from = _MadeFrom.of(day)
    if _newest is None or _newest[0] != made_from:
        _newest = None  # an account is large: never two of them
        _newest = (made_from, _account(day))
    return _newest[1]


@dataclass(frozen=True, slots=True)
class _MadeFrom:
    """What an account depends on. A file is known by its place on the disk, its length and the time of its change."""

    root: Path
    index: str
    date: date
    sha256: tuple[str, str]
    files: tuple[tuple[int, int, int] | None, ...]

    @classmethod
    def of(cls, day: Day) -> "_MadeFrom":
        """Look at the files of a day."""
        site, paths = day.site, day.site.paths
        lake = day.lake
        files = (
            *(lake, parquet_of(lake), day.answers, day.closing),
            *(paths.instruments(day.date), paths.listed_later(day.date)),
        )
        sha256 = site.settings.config_sha256, site.rules.sha256
        return cls(paths.root, day.index, day.date, sha256, tuple(_look(one) for one in files))


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


_newest: tuple[_MadeFrom, Accounted] | None = None


def _account(day: Day) -> Accounted:
    day.site.rules.require_trading_day(day.date)
    lake = read_lake(day.lake, LAKE_COLUMNS) if lake_exists(day.lake) else _no_rows()
    answers, closing = read_answers(day.answers), read_closing(day)
    scope = scope_of(day, listing_of(day), lake["expiry"].drop_nulls(), interval_of(lake))
    minutes = account(lake, answers, scope, closing)
    return Accounted(scope, lake, answers, closing, minutes, summary(minutes, scope))


def listing_of(day: Day) -> Listing | None:
    """The dump kept for a day, else the one its backfill went by, else None. DataError when it is damaged."""
    paths = day.site.paths
    for path, own in ((paths.instruments(day.date), True), (paths.listed_later(day.date), False)):
        if path.exists():
            return Listing(path, load_book(path, day.site.rules, (day.index,)), own)
    return None


def interval_of(lake: pl.DataFrame) -> int | None:
    """How far the cycles of a lake are apart (ms); None with less than two. Every cycle of a session has its rows."""
    times = lake["timestamp"].unique().sort().dt.timestamp("ms").diff().drop_nulls()
    return int(times.min()) if len(times) else None  # type: ignore[arg-type]


def scope_of(day: Day, listing: Listing | None, collected: Iterable[date], interval_ms: int | None) -> Scope:
    """What is expected of one index.

    `collected` are expiries that the lake holds and `interval_ms` is how far its cycles are apart, whatever the
    configuration says today; None where they are too few to tell.
    """
    expiries = _expiries(day, listing) if listing is not None else ()
    grid = grid_of(day, {*expiries, *collected}, interval_ms or day.site.interval_ms)
    cycles = range(grid.open_ms, grid.close_ms, grid.interval_ms)

    def universe(atm_paise: int) -> list[Contract]:
        assert listing is not None
        return [one for expiry in expiries for one in _contracts(day, listing, expiry, atm_paise)]

    index_row = listing.book.index(day.index) if listing is not None else None
    spec = day.site.rules.index(day.index)
    return Scope(
        index=day.index,
        day=day.date,
        index_symbol=index_row.tradingsymbol if index_row is not None else spec.index_symbol,
        step_paise=day.step_paise,
        grid=grid,
        minutes=sorted({time_ms // MINUTE_MS * MINUTE_MS for time_ms in cycles}),
        universe=universe if listing is not None else None,
        shortfall_pct=day.site.settings.completeness.shortfall_pct,
    )


def grid_of(day: Day, expiries: Iterable[date], interval_ms: int) -> Grid:
    """Return where the cycles of an index stand, and when each of these expiries stops trading."""
    session, closes_ms = day.session, {expiry: day.close_ms(expiry) for expiry in sorted(set(expiries))}
    return Grid(session.open_ms, session.close_ms, interval_ms, closes_ms)


def _expiries(day: Day, listing: Listing) -> tuple[date, ...]:
    """Distinct expiries of the configured codes. A later dump lacks what has expired since: there the rules say."""
    rules = day.site.rules
    listed = listing.book.expiries(day.index) if listing.own else rules.expiries(day.index, day.date)
    codes = resolve_expiry_codes(listed, day.date, partial(rules.is_monthly, day.index))
    wanted = [codes.get(ExpiryCode(code)) for code in day.settings.expiry_codes]
    return tuple(sorted({expiry for expiry in wanted if expiry is not None}))


def _contracts(day: Day, listing: Listing, expiry: date, atm_paise: int) -> list[Contract]:
    """Both sides at each offset. A strike that the dump lacks is not expected, unless its whole expiry is gone."""
    pairs = pairs_at(listing.book, day.index, expiry, atm_paise, day.step_paise, day.settings.offsets)
    gone = not listing.book.strikes(day.index, expiry)
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
