"""Before a contract vanishes: on expiry day the broker's whole minute history of every listed strike is archived.

The broker forgets an option with its expiry, so what is not kept that evening is lost. Answers are kept as they come,
by the rules of the repair; the Parquet file and the copy of the dump follow from them.
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path

import polars as pl

from g6_core.adapters.candle_archive import CandleArchive, Question, read_answers
from g6_core.adapters.files import write_atomic
from g6_core.adapters.kite_history import WINDOW_DAYS_MAX
from g6_core.adapters.kite_market import Market
from g6_core.adapters.lake_parquet import frame_bytes
from g6_core.adapters.world import simulated_days
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.site import Day
from g6_pipelines.collection.candles import candles_of, closed_volumes, compared_volumes, falls_short, told_candles
from g6_pipelines.stages.accounting import grid_of, listing_of
from g6_pipelines.stages.candles import Asked, Broker, Part, ask
from g6_pipelines.stages.closing import read_closing
from g6_pipelines.stages.repair import require_over

# Half a year: longer-dated contracts were hardly traded before that, and every further window doubles the evening.
CAPTURE_DAYS_MAX = 180
# A holiday that was announced later has moved a listed contract by this much at most.
MOVED_MAX = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Captured:
    """What is kept of an expiry: its listed contracts, those of which the broker has not answered, and the candles.

    `short` are those whose candles of the last day hold less than was traded, by its closing state.
    """

    expiry: date
    contracts: int
    missing: tuple[str, ...]
    short: tuple[str, ...]
    traded: int
    candles: int


def expiring(book: InstrumentBook, day: Day) -> tuple[Instrument, ...]:
    """Return every listed contract of the index that expires on `day`, by symbol."""
    own = (row for row in book if row.underlying == day.index and row.is_option and row.expiry == day.date)
    return tuple(sorted(own, key=lambda row: row.tradingsymbol))


def captured(day: Day) -> Captured | None:
    """Return what lies on disk of the expiry on `day`; None when no contract expires then, by dump and by rules.

    Where the rules list an expiry and the dump of the day was not kept, or lacks it, everything is missing. DataError
    when a file is damaged.
    """
    listing = listing_of(day)
    contracts = expiring(listing.book, day) if listing is not None and listing.own else ()
    if not contracts:
        if not _is_listed(day.site.rules, day.index, day.date, day.date, timedelta()):
            return None
        why = "lists none of them" if listing is not None and listing.own else "was not kept"
        return Captured(day.date, 0, (f"every strike of {day}: the dump of the day {why}",), (), 0, 0)
    answers = read_answers(answers_of(day))
    missing = {one.symbol for one in unanswered(whole_life(day, contracts), answers)}
    told = candles_of(answers, ())
    return Captured(
        expiry=day.date,
        contracts=len(contracts),
        missing=tuple(sorted(missing)),
        short=tuple(_short(day, answers)),
        traded=told["symbol"].n_unique(),
        candles=len(told),
    )


def _short(day: Day, answers: pl.DataFrame) -> list[str]:
    """Contracts whose candles of the last day hold less than its closing state."""
    grid, closing = grid_of(day, [day.date], MINUTE_MS), read_closing(day)
    compared = compared_volumes(answers, closed_volumes(closing, grid), grid)
    return compared.filter(falls_short(day.site.settings.completeness.shortfall_pct))["symbol"].to_list()


def answers_of(expiry: Day) -> Path:
    """Return where the answers of an expiry are kept."""
    return expiry.expired / "answers.arrows"


def whole_life(expiry: Day, contracts: Sequence[Instrument]) -> list[Question]:
    """Return each contract from its listing to its last minute, in questions as long as the broker takes.

    A simulated market has its one day.
    """
    found, site, last = [], expiry.site, expiry.date
    first = last if last in simulated_days(site.paths) else first_listed(site.rules, expiry.index, last)
    for row in contracts:
        close_ms, start = site.rules.session(last, row.exchange, last).close_ms, first
        while start <= last:
            next_start = start + timedelta(days=WINDOW_DAYS_MAX)
            to_ms = min(at(next_start, time()), close_ms) - MINUTE_MS
            found.append(Question(row.tradingsymbol, row.token, at(start, time()), to_ms))
            start = next_start
    return found


def unanswered(asked: Sequence[Question], answers: pl.DataFrame) -> list[Question]:
    """Return those of the questions of which a minute has no answer yet."""
    columns = ("symbol", pl.col("from", "to").dt.timestamp("ms"))
    left_ms: dict[str, dict[Question, int]] = {}
    for one in asked:
        left_ms.setdefault(one.symbol, {})[one] = one.from_ms
    for symbol, from_ms, to_ms in answers.select(*columns).unique().sort("from").iter_rows():
        own = left_ms.get(symbol, {})
        own.update({one: to_ms + MINUTE_MS for one, next_ms in own.items() if from_ms <= next_ms <= to_ms})
    return [one for one in asked if left_ms[one.symbol][one] <= one.to_ms]


def first_listed(rules: MarketRules, underlying: str, expiry: date) -> date:
    """Return the first day on which the dated rules list an expiry, at most `CAPTURE_DAYS_MAX` before it."""
    earliest = expiry
    for days in range(CAPTURE_DAYS_MAX):
        day = expiry - timedelta(days=days)
        if not _is_listed(rules, underlying, day, expiry, MOVED_MAX):
            break
        earliest = day
    return earliest


def _is_listed(rules: MarketRules, underlying: str, day: date, expiry: date, moved_max: timedelta) -> bool:
    try:
        return any(abs(one - expiry) <= moved_max for one in rules.expiries(underlying, day))
    except CalendarError:
        return False


def capture(market: Market, day: Day, listed: InstrumentBook, origin: str) -> Generator[int, None, Asked]:
    """Archive what expires today; yields the next time (ms) at which to be resumed.

    Run again it asks only for what is not answered yet, or answered with less than was traded. Raises DataError while
    the index trades.
    """
    require_over(day, market.clock)
    path, contracts, asked = answers_of(day), expiring(listed, day), Asked()
    with CandleArchive.open(path) as archive:
        answers = read_answers(path)
        life = whole_life(day, contracts)
        short = set(_short(day, answers))
        wanted = [*unanswered(life, answers), *(one for one in life if one.symbol in short)]
        questions = in_order(life, set(wanted), read_closing(day).filter(expiry=day.date))
        parts = [(one, (Part(archive, one, max(own.to_ms for own in life)),)) for one in questions]
        yield from ask(Broker.of(market, origin), parts, asked)
    publish(day)
    return asked


def in_order(life: Sequence[Question], wanted: Collection[Question], closing: pl.DataFrame) -> list[Question]:
    """Return what is wanted of all questions, behind a control if there is anything: the last days of the contract that
    was traded most by the closing state, else of one in the middle of the strikes."""
    if not wanted:
        return []
    most = closing.sort("volume", "symbol", descending=[True, False], nulls_last=True)["symbol"]
    symbol = most[0] if len(most) else life[len(life) // 2].symbol
    control = next(one for one in reversed(life) if one.symbol == symbol)
    return [control, *(one for one in life if one in wanted and one != control)]


def publish(day: Day) -> None:
    """Write `candles.parquet` and `dump.parquet` of the expiry; the same answers give the same bytes."""
    write_atomic(day.expired / "candles.parquet", frame_bytes(_candles_told(day, read_answers(answers_of(day)))))
    write_atomic(day.expired / "dump.parquet", day.site.paths.instruments(day.date).read_bytes())


def candles_follow(day: Day, answers: pl.DataFrame) -> bool:
    """Return whether `candles.parquet` holds what the answers say. By value: years later another writer made it."""
    try:
        kept = pl.read_parquet(day.expired / "candles.parquet")
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return kept.equals(_candles_told(day, answers))


def _candles_told(day: Day, answers: pl.DataFrame) -> pl.DataFrame:
    """The candles of archived answers, each minute of a contract once."""
    listing = listing_of(day)
    contracts = expiring(listing.book, day) if listing is not None else ()
    rows = [(row.tradingsymbol, row.expiry, row.strike_paise / 100, row.instrument_type) for row in contracts]
    names = {"symbol": pl.String, "expiry": pl.Date, "strike": pl.Float64, "side": pl.String}
    figures = ("open", "high", "low", "close", "volume", "oi", "answer_sha256")
    told = told_candles(answers).join(pl.DataFrame(rows, schema=names, orient="row"), on="symbol")
    return told.select("timestamp", "expiry", "strike", "side", "symbol", *figures).sort("strike", "side", "timestamp")
