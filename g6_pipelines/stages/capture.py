"""Before a contract vanishes: on expiry day the broker's whole minute history of every listed strike is archived.

The broker forgets an option with its expiry, so what is not kept that evening is lost. Answers are kept as they come;
the Parquet file and the copy of the dump follow from them.
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl
from kiteconnect import KiteConnect

from g6_core.adapters.candle_archive import CandleArchive, Question, read_answers
from g6_core.adapters.files import write_atomic
from g6_core.adapters.kite_history import WINDOW_DAYS_MAX
from g6_core.adapters.kite_market import Turns
from g6_core.adapters.lake import lake_exists, lake_schema, read_lake
from g6_core.adapters.world import simulated_days
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError, DataError, RefusedAsked
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import MINUTE_MS, at, ist_date
from g6_core.ports import Clock
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.candle_match import QUIET_MAX_MS, candles_of, live_quotes, told_candles
from g6_pipelines.stages.accounting import listing_of
from g6_pipelines.stages.candles import Asked, Part, answer_to, ask, own_turns
from g6_pipelines.stages.closing import read_closing
from g6_pipelines.stages.repair import require_over

# Half a year: longer-dated contracts were hardly traded before that, and every further window doubles the evening.
CAPTURE_DAYS_MAX = 180
# Candles may hold so much less than was traded before they count as cut: a minute of the day is more.
CUT_MIN = 0.001
_SIDES = [f"{side}_{name}" for side in ("call", "put") for name in ("symbol", "status", "volume")]
VOLUME_COLUMNS = ("timestamp", "expiry", *_SIDES)
# A holiday that was announced later has moved a listed contract by this much at most.
MOVED_MAX = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Captured:
    """What is kept of an expiry: its listed contracts, those of which the broker has not answered, and the candles.

    No candle of a day on which a contract was seen to trade is no answer (`missing`). `short` are those whose candles
    of a day hold less than the volume that was seen; `unread` says which days could not be looked at, and why.
    """

    expiry: date
    contracts: int
    missing: tuple[str, ...]
    short: tuple[str, ...]
    unread: tuple[str, ...]
    traded: int
    candles: int


def expiring(book: InstrumentBook, underlying: str, day: date) -> tuple[Instrument, ...]:
    """Every listed contract of the index that expires on `day`, by symbol."""
    own = (row for row in book if row.underlying == underlying and row.is_option and row.expiry == day)
    return tuple(sorted(own, key=lambda row: row.tradingsymbol))


def captured(paths: DataPaths, rules: MarketRules, day: date, underlying: str) -> Captured | None:
    """What lies on disk of the expiry on `day`; None when no contract expires then, by the day's dump and by the rules.

    Where the rules list an expiry and the dump of the day was not kept, or lacks it, everything is missing. DataError
    when a file is damaged.
    """
    listing = listing_of(paths, rules, day, underlying)
    contracts = expiring(listing.book, underlying, day) if listing is not None and listing.own else ()
    if not contracts:
        if not _expires_by_rule(rules, underlying, day):
            return None
        why = "lists none of them" if listing is not None and listing.own else "was not kept"
        return Captured(day, 0, (f"every strike of {underlying} {day}: the dump of the day {why}",), (), (), 0, 0)
    answers = read_answers(answers_of(paths, underlying, day))
    seen = seen_volumes(paths, rules, day, underlying)
    lacking = lacking_of(answers, seen.volumes)
    unheard, short = (set(part["symbol"]) for part in (lacking.filter(held=0), lacking.filter(pl.col("held") > 0)))
    missing = unheard | {one.symbol for one in unanswered(whole_life(contracts, rules, underlying, day), answers)}
    names = [row.tradingsymbol for row in contracts]
    told = candles_of(answers, ())
    return Captured(
        expiry=day,
        contracts=len(contracts),
        missing=tuple(name for name in names if name in missing),
        short=tuple(name for name in names if name in short),
        unread=seen.unread,
        traded=told["symbol"].n_unique(),
        candles=len(told),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """Volumes by symbol and day, and the days whose files cannot be read."""

    volumes: pl.DataFrame
    unread: tuple[str, ...]


def seen_volumes(paths: DataPaths, rules: MarketRules, expiry: date, underlying: str) -> Seen:
    """Volumes of the days since the listing, the most that a live quote or the closing state told: a volume only grows.

    Other days of a simulated market are left out: its broker tells of one day. A damaged file bears no witness, and
    keeps nobody from asking before the broker forgets.
    """
    simulated = simulated_days(paths)
    first = first_listed(rules, underlying, expiry)
    days = [first + timedelta(days=number) for number in range((expiry - first).days + 1)]
    found: list[pl.DataFrame] = []
    unread: list[str] = []
    for day in days:
        if day == expiry or not {day, expiry} & simulated.keys():
            try:
                found.append(_seen_on(paths, day, underlying))
            except DataError as error:
                unread.append(str(error))
    nothing = pl.DataFrame(schema={"symbol": pl.String, "volume": pl.Int64, "day": pl.Date})
    return Seen(pl.concat([nothing, *found]), tuple(unread))


def _seen_on(paths: DataPaths, day: date, underlying: str) -> pl.DataFrame:
    """The same of one day; no rows where nothing was collected."""
    lake = paths.lake(day, underlying)
    rows = (
        read_lake(lake, VOLUME_COLUMNS)
        if lake_exists(lake)
        else pl.DataFrame(schema=lake_schema({name: OPTION_COLUMNS[name] for name in VOLUME_COLUMNS}))
    )
    of_today = pl.col("exchange_time").dt.timestamp("ms") >= at(day, time())
    closing = read_closing(paths, day, underlying).filter(of_today).select("symbol", "volume")
    live = live_quotes(rows).select("symbol", "volume")
    both = pl.concat([live, closing]).filter(pl.col("volume").is_not_null())
    return both.group_by("symbol").agg(pl.col("volume").max()).with_columns(day=pl.lit(day))


def lacking_of(answers: pl.DataFrame, volumes: pl.DataFrame) -> pl.DataFrame:
    """Symbol, day, volume and what the candles of it have (`held`), where that is less."""
    day = pl.col("minute").dt.convert_time_zone("Asia/Kolkata").dt.date().alias("day")
    held = candles_of(answers, ("volume",)).group_by("symbol", day).agg(pl.col("volume").sum().alias("held"))
    answered = volumes.join(answers.select("symbol").unique(), on="symbol", how="semi")
    both = answered.join(held, on=("symbol", "day"), how="left").with_columns(pl.col("held").fill_null(0))
    return both.filter(pl.col("held") < (1 - CUT_MIN) * pl.col("volume")).sort("symbol", "day")


def _expires_by_rule(rules: MarketRules, underlying: str, day: date) -> bool:
    try:
        return day in rules.expiries(underlying, day)
    except CalendarError:
        return False


def answers_of(paths: DataPaths, underlying: str, expiry: date) -> Path:
    """Where the answers of an expiry are kept."""
    return paths.expired(underlying, expiry) / "answers.arrows"


def whole_life(contracts: Sequence[Instrument], rules: MarketRules, underlying: str, day: date) -> list[Question]:
    """Each contract from its listing to its last minute on `day`, in questions as long as the broker takes."""
    close_ms = rules.session(day, rules.index(underlying).option_exchange, day).close_ms
    listed, found = first_listed(rules, underlying, day), []
    for row in contracts:
        start = listed
        while start <= day:
            next_start = start + timedelta(days=WINDOW_DAYS_MAX)
            to_ms = min(at(next_start, time()), close_ms) - MINUTE_MS
            found.append(Question(row.tradingsymbol, row.token, at(start, time()), to_ms))
            start = next_start
    return found


def unanswered(asked: Sequence[Question], answers: pl.DataFrame) -> list[Question]:
    """Those of the questions that have no answer yet."""
    known = set(answers.select("symbol", pl.col("from", "to").dt.timestamp("ms")).unique().iter_rows())
    return [one for one in asked if (one.symbol, one.from_ms, one.to_ms) not in known]


def days_again(answered: Sequence[Question], lacking: pl.DataFrame) -> list[Question]:
    """The part of each question in which candles are `lacking` (symbol, day), from the first such day to the last."""
    days: dict[str, list[date]] = {}
    for symbol, day in lacking.select("symbol", "day").iter_rows():
        days.setdefault(symbol, []).append(day)
    found = []
    for one in answered:
        own = [day for day in days.get(one.symbol, ()) if one.from_ms <= at(day, time()) <= one.to_ms]
        if own:
            to_ms = min(at(max(own) + timedelta(days=1), time()) - MINUTE_MS, one.to_ms)
            found.append(Question(one.symbol, one.token, at(min(own), time()), to_ms))
    return found


def first_listed(rules: MarketRules, underlying: str, expiry: date) -> date:
    """The first day on which the dated rules list an expiry, at most `CAPTURE_DAYS_MAX` before it."""
    earliest = expiry
    for days in range(CAPTURE_DAYS_MAX):
        day = expiry - timedelta(days=days)
        try:
            if not any(abs(one - expiry) <= MOVED_MAX for one in rules.expiries(underlying, day)):
                break
        except CalendarError:
            break
        earliest = day
    return earliest


def capture(
    kite: KiteConnect,
    clock: Clock,
    rules: MarketRules,
    paths: DataPaths,
    day: date,
    underlying: str,
    listed: InstrumentBook,
    origin: str,
    turns: Turns | None = None,
) -> Generator[int, None, Asked]:
    """Archive what expires today; yields the next time (ms) at which to be resumed.

    Run again it asks only for what is not answered yet, or answered with less than was seen. A window to whose first
    day the broker's history does not go back is asked without its first minute: what is told is kept, the window stays
    unanswered. Raises DataError while the index trades.
    """
    require_over(rules, clock, day, underlying)
    path, contracts = answers_of(paths, underlying, day), expiring(listed, underlying, day)
    turns = turns or own_turns(clock)
    with CandleArchive.open(path) as archive:
        answers = read_answers(path)
        lacking = lacking_of(answers, seen_volumes(paths, rules, day, underlying).volumes)
        life = whole_life(contracts, rules, underlying, day)
        first_time = unanswered(life, answers)
        is_new = set(first_time)
        again = days_again([one for one in life if one not in is_new], lacking)
        # Who has a candle at the end of the last day shows that the broker has the history of this expiry.
        reach_ms = rules.session(day, rules.index(underlying).option_exchange, day).close_ms - QUIET_MAX_MS
        shows = answers.filter(pl.col("timestamp").dt.timestamp("ms") >= reach_ms)["symbol"].unique()
        controls = [Part(archive, one, reach_ms) for one in life if one.symbol in shows and one.to_ms >= reach_ms]
        gone_back = Asked()
        index = None if day in simulated_days(paths) else listed.index(underlying)
        cut = yield from _not_reached(kite, clock, turns, rules, index, {one.from_ms for one in first_time}, gone_back)
        first_asked = [
            replace(one, from_ms=one.from_ms + MINUTE_MS) if one.from_ms in cut else one for one in first_time
        ]
        # Days that were answered already claim no silence: any candle is news.
        parts = [Part(archive, one, reach_ms) for one in first_asked] + [
            Part(archive, one, one.from_ms) for one in again
        ]
        open_questions = [(one.question, (one,)) for one in parts]
        asked = yield from ask(kite, clock, turns, open_questions, origin, controls[:1])
    publish(paths, day, underlying, contracts)
    asked.calls += gone_back.calls
    asked.reasons.update(gone_back.reasons)
    return asked


def _not_reached(
    kite: KiteConnect,
    clock: Clock,
    turns: Turns,
    rules: MarketRules,
    index: Instrument | None,
    starts_ms: Collection[int],
    asked: Asked,
) -> Generator[int, None, set[int]]:
    """The starts of windows to which the broker's history does not go back: the index has no candle on the first
    trading day from there on. None without an index to ask about: a simulated market has one day, and a dump without
    its index has failed its own check."""
    found: set[int] = set()
    if index is None:
        return found
    for start_ms in sorted(starts_ms):
        first = rules.next_trading_day(ist_date(start_ms) - timedelta(days=1))
        session = rules.session(first, index.exchange)
        question = Question(index.tradingsymbol, index.token, session.open_ms, session.close_ms - MINUTE_MS)
        try:
            candles = yield from answer_to(kite, clock, turns, question, asked)
        except RefusedAsked:
            candles = None
        if not candles:
            found.add(start_ms)
            asked.reasons[f"the broker's history of {index.tradingsymbol} does not go back to {first}"] += 1
    return found


def publish(paths: DataPaths, day: date, underlying: str, contracts: Sequence[Instrument]) -> None:
    """Write `candles.parquet` and `dump.parquet` of the expiry; the same answers give the same bytes."""
    buffer = BytesIO()
    candles = candles_told(read_answers(answers_of(paths, underlying, day)), contracts)
    candles.write_parquet(buffer, compression="zstd", statistics=False)
    folder = paths.expired(underlying, day)
    write_atomic(folder / "candles.parquet", buffer.getvalue())
    write_atomic(folder / "dump.parquet", paths.instruments(day).read_bytes())


def remake(paths: DataPaths, rules: MarketRules, day: date, underlying: str) -> None:
    """Write the files that follow from the answers again, where they do not: one is gone, or a run died before it."""
    listing = listing_of(paths, rules, day, underlying)
    answers = read_answers(answers_of(paths, underlying, day))
    dump = paths.expired(underlying, day) / "dump.parquet"
    if listing is not None and (not dump.exists() or not candles_follow(paths, rules, day, underlying, answers)):
        publish(paths, day, underlying, expiring(listing.book, underlying, day))


def candles_follow(paths: DataPaths, rules: MarketRules, day: date, underlying: str, answers: pl.DataFrame) -> bool:
    """Whether `candles.parquet` holds what the archived answers say. By value: years later another writer made it."""
    listing = listing_of(paths, rules, day, underlying)
    contracts = expiring(listing.book, underlying, day) if listing is not None else ()
    try:
        kept = pl.read_parquet(paths.expired(underlying, day) / "candles.parquet")
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return kept.equals(candles_told(answers, contracts))


def candles_told(answers: pl.DataFrame, contracts: Sequence[Instrument]) -> pl.DataFrame:
    """The candles of archived answers, each minute of a contract once."""
    rows = [(row.tradingsymbol, row.expiry, row.strike_paise / 100, row.instrument_type) for row in contracts]
    names = pl.DataFrame(
        rows,
        schema={"symbol": pl.String, "expiry": pl.Date, "strike": pl.Float64, "side": pl.String},
        orient="row",
    )
    return (
        told_candles(answers)
        .join(names, on="symbol")
        .select(
            *("timestamp", "expiry", "strike", "side", "symbol", "open", "high", "low", "close", "volume", "oi"),
            "answer_sha256",
        )
        .sort("strike", "side", "timestamp")
    )
