"""The collect stage: one cycle per interval through the session, into the lakes, then the CSV files, then the sinks."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date

from kiteconnect import KiteConnect

from g6_core.adapters.csv_sink import CsvSink
from g6_core.adapters.cycle_log import note_cycle
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, CallSpacing, MarketQuote, Turns, fetch_quotes
from g6_core.adapters.lake import Lake, lake_cycles
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import BrokerError, DataError, TryLater
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.money import paise
from g6_core.ports import Clock
from g6_core.schema.cycles import CycleFact
from g6_core.schema.options import OPTION_COLUMNS, OptionRow, SpotKind
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.coverage import Coverage, CoverageTally
from g6_pipelines.collection.overview import overviews_of
from g6_pipelines.collection.plan import IndexPlan, plan_index
from g6_pipelines.collection.rows import Moment
from g6_pipelines.sinks.configured import open_sinks
from g6_pipelines.sinks.following import LAST_BUDGET_S
from g6_pipelines.stages.closing import Closing, closing_state

ATTEMPTS_MAX = 3
CALLS_MAX = 30
NOT_RUNNING = "the collector was not running"


@dataclass(frozen=True, slots=True)
class IndexCycle:
    """One index in one cycle: its rows, and its level in rupees where that was known."""

    underlying: str
    rows: tuple[OptionRow, ...]
    spot: float | None


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One cycle. `live` of `expected` counts contracts, identical expiries once; `reasons` say why any are missing.

    It was due at `time_ms`, began at `started_ms` and had its last answer at `ended_ms`; a cycle that nobody was there
    for began after its end. `calls_failed` counts calls without a good answer, repeated ones included. `said` is what
    the sinks had to say since the cycle before, each thing once.
    """

    time_ms: int
    started_ms: int
    ended_ms: int
    rows: int
    live: int
    expected: int
    calls: int
    calls_failed: int
    keys_missing: int
    reasons: tuple[str, ...]
    said: tuple[str, ...]
    indices: tuple[IndexCycle, ...]


@dataclass(frozen=True, slots=True)
class CollectReport:
    """The whole stage. `reasons` counts cycles by why something could not be fetched; `keys_missing` counts keys
    that were asked for and not in the reply; `resumed_cycles` were found in the lake at the start, of which
    `dropped_bytes` of a torn tail and `healed_files` torn CSV lines were cut off. `said` is what the sinks said.
    `closing` is the day's last state, None where the stage ended before the close."""

    cycles: int
    rows: int
    calls: int
    coverage: Coverage
    coverage_by_code: dict[str, Coverage]
    keys_missing: int
    reasons: dict[str, int]
    resumed_cycles: int
    dropped_bytes: int
    healed_files: int
    said: tuple[str, ...]
    closing: Closing | None

    @property
    def coverage_pct(self) -> float:
        """Live share of the expected contract-cycles."""
        return self.coverage.pct


@dataclass(slots=True)
class _Fetched:
    """Quotes of one cycle so far and how they were got."""

    quotes: dict[str, MarketQuote] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    started_ms: int = 0
    ended_ms: int = 0
    calls: int = 0
    calls_failed: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def keys_missing(self) -> int:
        """Keys that were asked for and not in the replies."""
        return len(self.asked - self.quotes.keys())


def collect(
    kite: KiteConnect,
    clock: Clock,
    settings: Settings,
    rules: MarketRules,
    paths: DataPaths,
    day: date,
    book: InstrumentBook,
    underlyings: Sequence[str],
    on_cycle: Callable[[CycleReport], None] | None = None,
    *,
    index_kind: str = SpotKind.INDEX,
    turns: Turns | None = None,
    until_ms: int | None = None,
) -> Generator[int, None, CollectReport]:
    """Collect the day, or its cycles before `until_ms`; yields the next time (ms) at which it wants to be resumed.

    A whole day ends with its closing state (`closing_state`), which is no cycle. Cycles already in the lake of an index
    are not collected again: the CSV files are caught up from it and the cycles between are written as missing.
    `index_kind` is what the broker's index row stands for (`SpotKind`): a recorded chain has no index, its source
    serves the parity forward in that place. `turns` are the quote calls that the API key allows; without them this
    process has the key for itself. Raises DataError when the data directory cannot be written or has another schema.
    """
    interval_ms = settings.collection.interval_s * SECOND_MS
    plans = [_plan(settings, rules, day, book, name, index_kind) for name in underlyings]
    turns = turns or CallSpacing(clock)
    tally, reasons = CoverageTally(), Counter[str]()
    row_count = calls = keys_missing = 0
    with _lakes(paths, day, underlyings) as lakes, open_sinks(settings, clock, paths, day, underlyings) as sinks:
        sink = CsvSink(paths, day)
        done = {plan.underlying: _catch_up(lakes[plan.underlying], sink, tally, interval_ms, plan) for plan in plans}
        sinks.follow()
        for time_ms in (one for one in cycle_times(plans, interval_ms) if until_ms is None or one < until_ms):
            active = [plan for plan in plans if plan.is_open(time_ms) and time_ms not in done[plan.underlying]]
            if not active:
                continue
            moment = Moment(time_ms, interval_ms)
            if clock.now_ms() < time_ms:
                yield time_ms
            fetched = yield from _fetch_in_time(kite, clock, turns, active, moment)
            for plan in active:
                note_cycle(paths, day, plan.underlying, _fact(fetched, moment))
            found = [_kept(plan, lakes[plan.underlying], fetched, moment) for plan in active]
            rows = [row for one in found for row in one.rows]
            sink.append(rows, overviews_of(rows))
            sinks.follow()
            report = _cycle_report(found, fetched, moment, tally.add(rows), sinks.news())
            row_count += report.rows
            calls += report.calls
            keys_missing += report.keys_missing
            reasons.update(report.reasons)
            if on_cycle is not None:
                on_cycle(report)
        sinks.follow(LAST_BUDGET_S)
        asking = closing_state(kite, clock, turns, rules, paths, day, underlyings)
        closing = (yield from asking) if until_ms is None else None
        return CollectReport(
            cycles=len(cycle_times(plans, interval_ms)),
            rows=row_count + sum(rows_at for times in done.values() for rows_at in times.values()),
            calls=calls,
            coverage=tally.total(),
            coverage_by_code=tally.by_code(),
            keys_missing=keys_missing,
            reasons=dict(reasons),
            resumed_cycles=len({time_ms for times in done.values() for time_ms in times}),
            dropped_bytes=sum(lake.healed.dropped_bytes for lake in lakes.values()),
            healed_files=sink.healed_files,
            said=tuple(sinks.said),
            closing=closing,
        )


def _plan(
    settings: Settings, rules: MarketRules, day: date, book: InstrumentBook, name: str, index_kind: str
) -> IndexPlan:
    """What the settings want of an index."""
    own = settings.indices[name]
    return plan_index(name, day, book, rules, own.expiry_codes, own.offsets, index_kind)


def cycle_times(plans: Sequence[IndexPlan], interval_ms: int) -> range:
    """From the first open, every interval, to before the last close."""
    opens = min(plan.session.open_ms for plan in plans)
    return range(opens, max(plan.session.close_ms for plan in plans), interval_ms)


@contextmanager
def _lakes(paths: DataPaths, day: date, underlyings: Sequence[str]) -> Iterator[Mapping[str, Lake]]:
    """The lake of each index, open for writing."""
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(Lake.open(paths.lake(day, name), OPTION_COLUMNS))
            for name in dict.fromkeys(underlyings)
        }


def _catch_up(lake: Lake, sink: CsvSink, tally: CoverageTally, interval_ms: int, plan: IndexPlan) -> dict[int, int]:
    """Rows by time of the cycles in a lake, after the CSV files have been given whatever they lack of them.

    The plan learns where the money was last: its next cycle need not spend a call on that. DataError when the day was
    begun with another interval.
    """
    done: dict[int, int] = {}
    for cells in lake_cycles(lake.path):
        rows = [OptionRow.of_cells(row) for row in cells]
        tally.add(rows)
        sink.append(rows, overviews_of(rows))
        done[rows[0].time_ms] = len(rows)
        if rows[0].atm_strike is not None:
            plan.atm_paise = paise(rows[0].atm_strike)
    _require_interval(lake, done, interval_ms)
    return done


def _require_interval(lake: Lake, done: Mapping[int, int], interval_ms: int) -> None:
    """DataError when the day was begun with another interval: every cycle has its place once."""
    times = sorted(done)[:2]
    if len(times) == 2 and times[1] - times[0] != interval_ms:
        was_s, is_s = (times[1] - times[0]) // SECOND_MS, interval_ms // SECOND_MS
        raise DataError(
            f"{lake.path}: collected every {was_s} s, which cannot become {is_s} s within a day; "
            f"set interval_s to {was_s}, or use another data directory"
        )


def _fetch_in_time(
    kite: KiteConnect, clock: Clock, turns: Turns, plans: Sequence[IndexPlan], moment: Moment
) -> Generator[int, None, _Fetched]:
    """What a cycle could fetch; nothing when its time has passed."""
    started_ms = clock.now_ms()
    if started_ms < moment.time_ms + moment.interval_ms:
        fetched = yield from _fetch_cycle(kite, clock, turns, plans, moment)
    else:
        fetched = _Fetched(reasons=[NOT_RUNNING])
    fetched.started_ms, fetched.ended_ms = started_ms, clock.now_ms()
    return fetched


def _kept(plan: IndexPlan, lake: Lake, fetched: _Fetched, moment: Moment) -> IndexCycle:
    """The rows of one index, once they are in its lake."""
    moment = replace(moment, answered_ms=fetched.ended_ms)
    spot = plan.locate(fetched.quotes, moment)
    rows = tuple(plan.rows(spot, fetched.quotes, moment))
    lake.append([row.cells() for row in rows])
    return IndexCycle(plan.underlying, rows, spot.rupees if spot else None)


def _fetch_cycle(
    kite: KiteConnect, clock: Clock, turns: Turns, plans: Sequence[IndexPlan], moment: Moment
) -> Generator[int, None, _Fetched]:
    """Quotes of the indices and of their universes, in as few calls as the money allows.

    The indices go first: with their levels known, the other calls ask for the strikes of now, and an index that has
    moved to another strike costs a call only where the last one is full.
    """
    fetched = _Fetched()
    for _ in range(CALLS_MAX):
        wanted = [plan.index_key for plan in plans]
        wanted += [key for plan in plans for key in plan.contract_keys(fetched.asked)]
        keys = [key for key in dict.fromkeys(wanted) if key not in fetched.asked]
        if not keys:
            break
        yield from _call(kite, clock, turns, keys[:QUOTE_KEYS_MAX], fetched, moment)
        for plan in plans:
            # Without its index the money is read from the options, and from all of them that were asked for.
            if plan.index_key in fetched.quotes or fetched.asked.issuperset(plan.contract_keys(fetched.asked)):
                plan.locate(fetched.quotes, moment)
    return fetched


def _call(
    kite: KiteConnect,
    clock: Clock,
    turns: Turns,
    keys: Sequence[str],
    fetched: _Fetched,
    moment: Moment,
) -> Generator[int, None, None]:
    """One quote call, repeated a few times where the broker asks for patience, never beyond its cycle."""
    fetched.asked.update(keys)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        # Another process may take the turn that was waited for.
        while (due_ms := turns.due_ms()) > clock.now_ms():
            if due_ms >= moment.time_ms + moment.interval_ms:
                break
            yield due_ms
        if max(due_ms, clock.now_ms()) >= moment.time_ms + moment.interval_ms:
            fetched.reasons.append("no time left in the cycle")
            return
        turns.spend()
        fetched.calls += 1
        try:
            fetched.quotes.update(fetch_quotes(kite, keys))
            return
        except TryLater as error:
            fetched.calls_failed += 1
            if attempt == ATTEMPTS_MAX:
                fetched.reasons.append(str(error))
        except BrokerError as error:
            fetched.calls_failed += 1
            fetched.reasons.append(str(error))
            return


def _fact(fetched: _Fetched, moment: Moment) -> CycleFact:
    """How the cycle was fetched, for the log."""
    return CycleFact(
        time_ms=moment.time_ms,
        started_ms=fetched.started_ms,
        ended_ms=fetched.ended_ms,
        calls=fetched.calls,
        keys_missing=fetched.keys_missing,
        reasons=tuple(fetched.reasons),
    )


def _cycle_report(
    indices: Sequence[IndexCycle], fetched: _Fetched, moment: Moment, counted: Coverage, said: tuple[str, ...]
) -> CycleReport:
    """What became of a cycle."""
    return CycleReport(
        time_ms=moment.time_ms,
        started_ms=fetched.started_ms,
        ended_ms=fetched.ended_ms,
        rows=sum(len(one.rows) for one in indices),
        live=counted.live,
        expected=counted.expected,
        calls=fetched.calls,
        calls_failed=fetched.calls_failed,
        keys_missing=fetched.keys_missing,
        reasons=tuple(fetched.reasons),
        said=said,
        indices=tuple(indices),
    )
