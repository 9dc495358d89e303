"""The repair stage, after the close: what is not live is asked of the broker's candles, once, and accounted for.

So are some contracts that were seen all day, the witnesses: their candles tell whether lake and broker agree.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import TypeVar

import polars as pl
from kiteconnect import KiteConnect

from g6_core.adapters.candle_archive import CandleArchive, Question
from g6_core.adapters.files import write_atomic
from g6_core.adapters.kite_history import WINDOW_DAYS_MAX
from g6_core.adapters.kite_market import Turns
from g6_core.adapters.lake import lake_schema
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import MINUTE_MS, ist_date, ist_text
from g6_core.ports import Clock
from g6_core.schema.accounting import REPAIRED_COLUMNS, Account
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.accounting import DayAccount, Gap, dark_minutes, open_minutes
from g6_pipelines.collection.candle_match import QUIET_MAX_MS, final_volumes, heard, most_traded, witnesses
from g6_pipelines.stages.accounting import Accounted, account_day
from g6_pipelines.stages.candles import Asked, Part, ask, own_turns

T = TypeVar("T")
NOT_LISTED = "not listed by the broker any more, so that nothing can be asked about it"
GONE_NAMED_MAX = 5
WINDOW_MS = WINDOW_DAYS_MAX * 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class RepairReport:
    """One index over some days: the account of each before and after, and how the asking went."""

    before: Mapping[date, DayAccount]
    after: Mapping[date, DayAccount]
    asked: Asked


@dataclass(slots=True)
class _Work:
    """The days of one index and their open archives."""

    settings: Settings
    rules: MarketRules
    paths: DataPaths
    underlying: str
    archives: dict[date, CandleArchive]
    turns: Turns
    asked: Asked = field(default_factory=Asked)

    def accounted(self, take: Callable[[Accounted], T]) -> dict[date, T]:
        """What `take` makes of the account of each day, one at a time: an account is large."""
        return {day: take(self._account(day)) for day in self.archives}

    def written(self, one: Accounted) -> DayAccount:
        """The account, after its repaired minutes are on disk."""
        write_repaired(self.paths, one.scope.day, self.underlying, one.minutes)
        return one.day

    def _account(self, day: date) -> Accounted:
        return account_day(self.paths, self.settings, self.rules, day, self.underlying)


def needs_broker(accounted: Accounted, settings: Settings, today: date) -> bool:
    """Whether anything can still be asked about the day."""
    return bool(_to_ask(accounted, settings, today) or dark_minutes(accounted.lake, accounted.answers, accounted.scope))


def not_over(rules: MarketRules, clock: Clock, day: date, underlying: str) -> str:
    """Why a day cannot be repaired yet, "" when it can: minutes that are to come are no gaps."""
    close_ms = rules.session(day, rules.index(underlying).option_exchange).close_ms
    if clock.now_ms() >= close_ms:
        return ""
    return f"{day} is not over for {underlying}; ask for its candles after {ist_text(close_ms)[:16]} (IST)"


def require_over(rules: MarketRules, clock: Clock, day: date, underlying: str) -> None:
    """DataError while the index still trades."""
    if why := not_over(rules, clock, day, underlying):
        raise DataError(why)


def repair(
    kite: KiteConnect,
    clock: Clock,
    settings: Settings,
    rules: MarketRules,
    paths: DataPaths,
    days: Sequence[date],
    underlying: str,
    listed: InstrumentBook,
    origin: str,
    turns: Turns | None = None,
) -> Generator[int, None, RepairReport]:
    """Fill the gaps of one index; yields the next time (ms) at which to be resumed.

    `listed` is the broker's dump of now: only its contracts can be asked for. A call covers one contract and, where
    it has gaps on several days, as many of them as a window allows; `turns` are the calls that the API key allows,
    without them this process has the key for itself. Answers stay; run again it asks for what is still
    open only. The repaired minutes are written anew from lake and answers each time.
    Raises DataError when a day is not over or a file is foreign, damaged or in use.
    """
    with ExitStack() as opened:
        for day in days:
            require_over(rules, clock, day, underlying)
        archives = {day: opened.enter_context(CandleArchive.open(paths.answers(day, underlying))) for day in days}
        work = _Work(settings, rules, paths, underlying, archives, turns or own_turns(clock))
        index_row = listed.index(underlying)
        by_name = {index_row.tradingsymbol: index_row} if index_row is not None else {}
        before = work.accounted(lambda one: (one.day, _dark(one, rules)))
        dark = {day: spans for day, (_, spans) in before.items()}
        yield from _ask(kite, clock, work, dark, {}, by_name, origin)
        by_symbol = {row.tradingsymbol: row for row in listed if row.underlying == underlying and row.is_option}
        today = ist_date(clock.now_ms())
        both = work.accounted(lambda one: _asked_and_controls(one, settings, today, by_symbol))
        found, known = ({day: pair[number] for day, pair in both.items()} for number in (0, 1))
        yield from _ask(kite, clock, work, found, known, by_symbol, origin)
        after = work.accounted(work.written)
    return RepairReport(
        before={day: account for day, (account, _) in before.items()},
        after=after,
        asked=work.asked,
    )


def write_repaired(paths: DataPaths, day: date, underlying: str, minutes: pl.DataFrame) -> None:
    """Write every minute that the broker's candles account for."""
    write_atomic(paths.repaired(day, underlying), repaired_bytes(underlying, minutes))


def repaired_bytes(underlying: str, minutes: pl.DataFrame) -> bytes:
    """The file of the repaired minutes; the same account gives the same bytes."""
    frame = (
        minutes.filter(pl.col("account").is_in([Account.REPAIRED.value, Account.NO_TRADE.value]))
        .with_columns(pl.col("minute").alias("timestamp"), pl.lit(underlying).alias("index"))
        .select(*REPAIRED_COLUMNS)
        .sort("timestamp", "expiry", "strike", "side")
        .cast(lake_schema(REPAIRED_COLUMNS))
    )
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def windows(spans: Iterable[tuple[date, Gap]]) -> list[list[tuple[date, Gap]]]:
    """Gaps of one contract, oldest first, in as few groups as calls of the longest window can cover."""
    groups: list[list[tuple[date, Gap]]] = []
    for day, gap in sorted(spans, key=lambda one: one[1].from_ms):
        if groups and gap.to_ms - groups[-1][0][1].from_ms <= WINDOW_MS:
            groups[-1].append((day, gap))
        else:
            groups.append([(day, gap)])
    return groups


def _to_ask(accounted: Accounted, settings: Settings, today: date) -> list[Gap]:
    """What has a gap, and the witnesses that are not heard yet, by symbol: each for its whole session, because only a
    whole day of candles can be held against the volumes of the day."""
    minutes = open_minutes(accounted.minutes)
    heard_already = heard(accounted.answers, accounted.scope.grid)
    for symbol in witnesses(accounted.lake, settings.collection.witnesses, today) - heard_already:
        minutes.setdefault(symbol, 0)
    return _sessions(accounted, minutes)


def _asked_and_controls(
    accounted: Accounted, settings: Settings, today: date, listed: Collection[str]
) -> tuple[list[Gap], list[Gap]]:
    """What is to be asked, and, where something is, the controls."""
    wanted = _to_ask(accounted, settings, today)
    return wanted, controls(accounted, today, listed) if wanted else []


def controls(accounted: Accounted, today: date, listed: Collection[str]) -> list[Gap]:
    """Who of the `listed` was traded at the end, one for each close of the day: by archived candles, the most of them
    first, else who was traded most in the lake and is not known to have been silent then."""
    traded = accounted.answers.group_by("symbol").agg(pl.col("timestamp").max(), pl.col("volume").sum())
    known = dict(traded.select("symbol", pl.col("timestamp").dt.timestamp("ms")).drop_nulls().iter_rows())
    volumes = dict(traded.select("symbol", "volume").iter_rows())
    by_volume = sorted(known.keys() & set(listed), key=lambda symbol: (-volumes[symbol], symbol))
    ranked = dict.fromkeys([*by_volume, *(one for one in most_traded(accounted.lake, today) if one in listed)], 0)
    by_symbol = {gap.symbol: gap for gap in _sessions(accounted, ranked)}
    found: dict[int, Gap] = {}
    for gap in (by_symbol[symbol] for symbol in ranked if symbol in by_symbol):
        if known.get(gap.symbol, gap.reach_ms) >= gap.reach_ms:
            found.setdefault(gap.reach_ms, gap)
    return [*found.values()]


def _sessions(accounted: Accounted, minutes: Mapping[str, int]) -> list[Gap]:
    """The whole session of each of these symbols that the day expects, with so many open minutes."""
    grid, volumes = accounted.scope.grid, final_volumes(accounted.lake, accounted.closing, accounted.scope.grid)
    contracts = accounted.minutes.filter(pl.col("symbol").is_in(list(minutes))).select("symbol", "expiry").unique()
    return [
        Gap(
            symbol,
            grid.open_ms,
            grid.close_ms - MINUTE_MS,
            minutes[symbol],
            grid.closes_ms.get(expiry, grid.close_ms) - QUIET_MAX_MS,
            volumes.get(symbol),
        )
        for symbol, expiry in contracts.sort("symbol").iter_rows()
    ]


def _dark(accounted: Accounted, rules: MarketRules) -> list[Gap]:
    """The minutes of which not even the money is known, as a gap of the index, for its whole session; none without one.

    An index moves as long as its stocks trade: one that is silent before has no history there.
    """
    dark = dark_minutes(accounted.lake, accounted.answers, accounted.scope)
    if not dark:
        return []
    scope = accounted.scope
    grid, exchange = scope.grid, rules.index(scope.index).option_exchange
    reach_ms = min(rules.stocks_close_ms(scope.day, exchange), grid.close_ms) - QUIET_MAX_MS
    return [Gap(scope.index_symbol, grid.open_ms, grid.close_ms - MINUTE_MS, len(dark), reach_ms, None)]


def _ask(
    kite: KiteConnect,
    clock: Clock,
    work: _Work,
    found: Mapping[date, Sequence[Gap]],
    known: Mapping[date, Sequence[Gap]],
    listed: Mapping[str, Instrument],
    origin: str,
) -> Generator[int, None, None]:
    """Ask for the gaps of the contracts that are listed, and count the others; parts of an answer go to the archives of
    their days."""

    def part(day: date, gap: Gap) -> Part:
        question = Question(gap.symbol, listed[gap.symbol].token, gap.from_ms, gap.to_ms)
        return Part(work.archives[day], question, gap.reach_ms, gap.volume)

    by_symbol: dict[str, list[tuple[date, Gap]]] = {}
    for day, own in found.items():
        for gap in own:
            by_symbol.setdefault(gap.symbol, []).append((day, gap))
    wanted = {symbol for symbol, spans in by_symbol.items() if any(gap.minutes for _, gap in spans)}
    work.asked.reasons.update(_not_listed(sorted(wanted - listed.keys())))
    questions: list[tuple[Question, Sequence[Part]]] = []
    for symbol, spans in sorted(by_symbol.items()):
        for group in windows(spans) if symbol in listed else ():
            whole = Question(symbol, listed[symbol].token, group[0][1].from_ms, group[-1][1].to_ms)
            questions.append((whole, [part(day, gap) for day, gap in group]))
    shown = [part(day, gap) for day, own in known.items() for gap in own]
    done = yield from ask(kite, clock, work.turns, questions, origin, shown)
    work.asked.calls += done.calls
    work.asked.answered += done.answered
    work.asked.reasons.update(done.reasons)


def _not_listed(symbols: Sequence[str]) -> list[str]:
    """A reason for each of the first few, and one for the rest."""
    named = [f"{symbol} {NOT_LISTED}" for symbol in symbols[:GONE_NAMED_MAX]]
    return named + ([f"{len(symbols) - GONE_NAMED_MAX} more {NOT_LISTED}"] if len(symbols) > GONE_NAMED_MAX else [])
