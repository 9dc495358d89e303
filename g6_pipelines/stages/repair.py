"""The repair stage, after the close: what is not live is asked of the broker's candles, once, and accounted for.

So are some contracts that were seen all day, the witnesses: their candles tell whether lake and broker agree.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from g6_core.adapters.candle_archive import CandleArchive, Question
from g6_core.adapters.files import write_atomic
from g6_core.adapters.kite_history import WINDOW_DAYS_MAX
from g6_core.adapters.kite_market import Market
from g6_core.adapters.lake import lake_schema
from g6_core.adapters.lake_parquet import frame_bytes
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import MINUTE_MS, ist_date, ist_text
from g6_core.ports import Clock
from g6_core.schema.accounting import REPAIRED_COLUMNS, Account
from g6_core.site import Day
from g6_pipelines.collection.accounting import Scope, dark_minutes, minutes_to_ask
from g6_pipelines.collection.candles import answered, traded_volumes, witnesses
from g6_pipelines.stages.accounting import Accounted, account_day
from g6_pipelines.stages.candles import Asked, Broker, Part, ask

NOT_LISTED = "not listed by the broker any more, so that nothing can be asked about it"
GONE_NAMED_MAX = 5
WINDOW_MS = WINDOW_DAYS_MAX * 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Gap:
    """Who is asked for on a day, and why: so many minutes are unverified. It is always the whole session, because only
    that can be held against the volume of the day. `end_ms` as in `g6_pipelines.stages.candles.Part`."""

    scope: Scope
    symbol: str
    minutes: int
    end_ms: int
    is_control: bool = False

    def question(self, token: int) -> Question:
        """Return the question about it."""
        grid = self.scope.grid
        return Question(self.symbol, token, grid.open_ms, grid.close_ms - MINUTE_MS)


def needs_broker(accounted: Accounted, day: Day, today: date) -> bool:
    """Return whether anything can still be asked about the day."""
    return bool(_to_ask(accounted, day, today) or dark_minutes(accounted.lake, accounted.answers, accounted.scope))


def not_over(day: Day, clock: Clock) -> str:
    """Return why a day cannot be repaired yet, "" when it can: minutes that are to come are no gaps."""
    close_ms = day.session.close_ms
    if clock.now_ms() >= close_ms:
        return ""
    return f"{day.date} is not over for {day.index}; ask for its candles after {ist_text(close_ms)[:16]} (IST)"


def require_over(day: Day, clock: Clock) -> None:
    """Raise DataError while the index still trades."""
    if why := not_over(day, clock):
        raise DataError(why)


def repair(market: Market, days: Sequence[Day], listed: InstrumentBook, origin: str) -> Generator[int, None, Asked]:
    """Fill the gaps of one index on these days; yields the next time (ms) at which to be resumed.

    `listed` is the broker's dump of now: only its contracts can be asked for. A call covers one contract and, where
    it has gaps on several days, as many of them as a window allows. Answers stay; run again it asks for what is
    still unverified. The repaired minutes are written anew from lake and answers each time. Raises DataError when a day
    is not over or a file is foreign, damaged or in use.
    """
    broker, asked, today = Broker.of(market, origin), Asked(), ist_date(market.clock.now_ms())
    names = {day.index for day in days}
    rows = [row for row in listed if row.underlying in names and (row.is_option or row == listed.index(row.underlying))]
    tokens = {row.tradingsymbol: row.token for row in rows}
    with ExitStack() as opened:
        for day in days:
            require_over(day, market.clock)
        archives = {day.date: opened.enter_context(CandleArchive.open(day.answers)) for day in days}
        # One at a time: an account is large. Where the index went decides which contracts are expected.
        dark = [gap for day in days for gap in _dark(account_day(day), day)]
        yield from _ask(broker, dark, tokens, archives, asked)
        gaps = [gap for day in days for gap in _gaps(account_day(day), day, today, tokens)]
        yield from _ask(broker, gaps, tokens, archives, asked)
        for day in days:
            write_repaired(day, account_day(day).minutes)
    return asked


def write_repaired(day: Day, minutes: pl.DataFrame) -> None:
    """Write every minute that the broker's candles account for."""
    write_atomic(day.repaired, repaired_bytes(day.index, minutes))


def repaired_bytes(underlying: str, minutes: pl.DataFrame) -> bytes:
    """Return the file of the repaired minutes; the same account gives the same bytes."""
    frame = (
        minutes.filter(pl.col("account").is_in([Account.REPAIRED.value, Account.NO_TRADE.value]))
        .with_columns(pl.col("minute").alias("timestamp"), pl.lit(underlying).alias("index"))
        .select(*REPAIRED_COLUMNS)
        .sort("timestamp", "expiry", "strike", "side")
        .cast(lake_schema(REPAIRED_COLUMNS))
    )
    return frame_bytes(frame)


def _to_ask(accounted: Accounted, day: Day, today: date) -> dict[str, int]:
    """Unverified minutes of who has some, and 0 of each witness that was not asked for yet."""
    answers, grid = accounted.answers, accounted.scope.grid
    seen = witnesses(
        traded_volumes(accounted.lake, accounted.closing, grid), day.site.settings.collection.witnesses, today
    )
    return dict.fromkeys(sorted({*seen} - answered(answers, grid)), 0) | minutes_to_ask(accounted.minutes)


def _gaps(accounted: Accounted, day: Day, today: date, listed: Collection[str]) -> list[Gap]:
    """Who is asked for, and a control of each of their closes: the listed contract that was traded most, else that is
    expected in most minutes."""
    wanted, grid = _to_ask(accounted, day, today), accounted.scope.grid
    traded = traded_volumes(accounted.lake, accounted.closing, grid).drop("expiry")
    ranked = (
        accounted.minutes.filter(pl.col("symbol").is_not_null())
        .group_by("symbol")
        .agg(pl.col("expiry").first(), pl.len().alias("minutes"))
        .join(traded, on="symbol", how="left")
        .sort("volume", "minutes", "symbol", descending=[True, True, False], nulls_last=True)
    )
    found: list[Gap] = []
    controls: dict[int, Gap] = {}
    for symbol, expiry in ranked.select("symbol", "expiry").iter_rows():
        end_ms = grid.closes_ms.get(expiry, grid.close_ms) - MINUTE_MS
        gap = Gap(accounted.scope, symbol, wanted.get(symbol, 0), end_ms)
        if symbol in listed and end_ms not in controls:
            controls[end_ms] = replace(gap, is_control=True)
        elif symbol in wanted:
            found.append(gap)
    needed = {gap.end_ms for gap in found} | {gap.end_ms for gap in controls.values() if gap.symbol in wanted}
    return [*(controls[end_ms] for end_ms in needed & controls.keys()), *found]


def _dark(accounted: Accounted, day: Day) -> list[Gap]:
    """The index, where minutes are dark. It moves as long as its stocks trade: one that is silent before has no history
    there."""
    scope, dark = accounted.scope, dark_minutes(accounted.lake, accounted.answers, accounted.scope)
    rules = day.site.rules
    stocks_ms = rules.stocks_close_ms(day.date, rules.index(day.index).option_exchange)
    gap = Gap(scope, scope.index_symbol, len(dark), min(stocks_ms, scope.grid.close_ms) - MINUTE_MS)
    return [gap] if dark else []


def _ask(
    broker: Broker,
    gaps: Sequence[Gap],
    tokens: Mapping[str, int],
    archives: Mapping[date, CandleArchive],
    asked: Asked,
) -> Generator[int, None, None]:
    """Ask for the gaps of who is listed, controls first, and name the others."""
    gone = sorted({gap.symbol for gap in gaps if gap.minutes and gap.symbol not in tokens})
    asked.reasons.update(f"{symbol} {NOT_LISTED}" for symbol in gone[:GONE_NAMED_MAX])
    if len(gone) > GONE_NAMED_MAX:
        asked.reasons[f"{len(gone) - GONE_NAMED_MAX} more {NOT_LISTED}"] += 1
    by_symbol: dict[str, list[Part]] = {}
    for gap in sorted(gaps, key=lambda one: (not one.is_control, one.symbol)):
        if gap.symbol in tokens:
            part = Part(archives[gap.scope.day], gap.question(tokens[gap.symbol]), gap.end_ms)
            by_symbol.setdefault(gap.symbol, []).append(part)
    yield from ask(broker, [group for parts in by_symbol.values() for group in windows(parts)], asked)


def windows(parts: Sequence[Part]) -> list[tuple[Question, list[Part]]]:
    """Return parts of one contract in as few questions, oldest first, as calls of the longest window can cover."""
    groups: list[list[Part]] = []
    for part in sorted(parts, key=lambda one: one.question.from_ms):
        if groups and part.question.to_ms - groups[-1][0].question.from_ms <= WINDOW_MS:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [(replace(own[0].question, to_ms=own[-1].question.to_ms), own) for own in groups]
