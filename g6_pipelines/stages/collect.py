"""The collect stage: one cycle per interval through the session, into the lakes, then the CSV files, then the sinks."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date

from kiteconnect import KiteConnect

from g6_core.adapters.csv_sink import CsvSink
from g6_core.adapters.cycle_log import note_cycle
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, CallSpacing, MarketQuote, fetch_quotes
from g6_core.adapters.lake import Lake, lake_cycles
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import BrokerError, TryLater
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import SECOND_MS
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

ATTEMPTS_MAX = 3
ROUNDS_MAX = 3
NOT_RUNNING = "the collector was not running"


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One cycle. `live` of `expected` counts contracts, identical expiries once; `reasons` say why any are missing.

    `said` is what the sinks had to say since the cycle before, each thing once.
    """

    time_ms: int
    rows: int
    live: int
    expected: int
    calls: int
    keys_missing: int
    reasons: tuple[str, ...]
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CollectReport:
    """The whole stage. `reasons` counts cycles by why something could not be fetched; `keys_missing` counts keys
    that were asked for and not in the reply; `resumed_cycles` were found in the lake at the start, of which
    `dropped_bytes` of a torn tail and `healed_files` torn CSV lines were cut off. `said` is what the sinks said."""

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

    @property
    def coverage_pct(self) -> float:
        """Live share of the expected contract-cycles."""
        return self.coverage.pct


@dataclass(slots=True)
class _Fetched:
    """Quotes of one cycle so far and how they were got."""

    quotes: dict[str, MarketQuote] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    calls: int = 0
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
) -> Generator[int, None, CollectReport]:
    """Collect the day; yields the next time (ms) at which it wants to be resumed.

    Cycles already in the lake of an index are not collected again: the CSV files are caught up from it and the
    cycles between are written as missing. `index_kind` is what the broker's index row stands for (`SpotKind`): a
    recorded chain has no index, its source serves the parity forward in that place.
    Raises DataError when the data directory cannot be written or holds another schema.
    """
    interval_ms = settings.collection.interval_s * SECOND_MS
    plans = [_plan(settings, rules, day, book, name, index_kind) for name in underlyings]
    spacing = CallSpacing(clock)
    tally, reasons = CoverageTally(), Counter[str]()
    row_count = calls = keys_missing = 0
    with _lakes(paths, day, underlyings) as lakes, open_sinks(settings, clock, paths, day, underlyings) as sinks:
        sink = CsvSink(paths, day)
        done = {name: _catch_up(lake, sink, tally) for name, lake in lakes.items()}
        sinks.follow()
        for time_ms in cycle_times(plans, interval_ms):
            active = [plan for plan in plans if plan.is_open(time_ms) and time_ms not in done[plan.underlying]]
            if not active:
                continue
            moment = Moment(time_ms, interval_ms)
            if clock.now_ms() < time_ms:
                yield time_ms
            started_ms = clock.now_ms()
            if started_ms < time_ms + interval_ms:
                fetched = yield from _fetch_cycle(kite, clock, spacing, active, moment)
            else:
                fetched = _Fetched(reasons=[NOT_RUNNING])
            fact = _fact(started_ms, clock.now_ms(), fetched, moment)
            rows: list[OptionRow] = []
            for plan in active:
                note_cycle(paths, day, plan.underlying, fact)
                own = plan.rows(plan.locate(fetched.quotes, moment), fetched.quotes, moment)
                lakes[plan.underlying].append([row.cells() for row in own])
                rows += own
            sink.append(rows, overviews_of(rows))
            sinks.follow()
            report = _cycle_report(rows, fetched, moment, tally, sinks.news())
            row_count += report.rows
            calls += report.calls
            keys_missing += report.keys_missing
            reasons.update(report.reasons)
            if on_cycle is not None:
                on_cycle(report)
        sinks.follow(LAST_BUDGET_S)
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


def _catch_up(lake: Lake, sink: CsvSink, tally: CoverageTally) -> dict[int, int]:
    """Rows by time of the cycles in a lake, after the CSV files have been given whatever they lack of them."""
    done: dict[int, int] = {}
    for cells in lake_cycles(lake.path):
        rows = [OptionRow.of_cells(row) for row in cells]
        tally.add(rows)
        sink.append(rows, overviews_of(rows))
        done[rows[0].time_ms] = len(rows)
    return done


def _fetch_cycle(
    kite: KiteConnect, clock: Clock, spacing: CallSpacing, plans: Sequence[IndexPlan], moment: Moment
) -> Generator[int, None, _Fetched]:
    """Quotes of the indices and of their universes, in as few calls as the money allows.

    Most cycles need one round: the universe around the last known money. When the index has moved to another
    strike, or the money is not known yet, further rounds ask for what is new.
    """
    fetched = _Fetched()
    for _ in range(ROUNDS_MAX):
        wanted = [key for plan in plans for key in plan.wanted_keys(fetched.asked)]
        keys = [key for key in dict.fromkeys(wanted) if key not in fetched.asked]
        for start in range(0, len(keys), QUOTE_KEYS_MAX):
            yield from _call(kite, clock, spacing, keys[start : start + QUOTE_KEYS_MAX], fetched, moment)
        if not keys:
            break
        for plan in plans:
            plan.locate(fetched.quotes, moment)
    return fetched


def _call(
    kite: KiteConnect,
    clock: Clock,
    spacing: CallSpacing,
    keys: Sequence[str],
    fetched: _Fetched,
    moment: Moment,
) -> Generator[int, None, None]:
    """One quote call, repeated a few times where the broker asks for patience, never beyond its cycle."""
    fetched.asked.update(keys)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        due_ms = spacing.due_ms()
        if due_ms >= moment.time_ms + moment.interval_ms:
            fetched.reasons.append("no time left in the cycle")
            return
        if due_ms > clock.now_ms():
            yield due_ms
        spacing.spend()
        fetched.calls += 1
        try:
            fetched.quotes.update(fetch_quotes(kite, keys))
            return
        except TryLater as error:
            if attempt == ATTEMPTS_MAX:
                fetched.reasons.append(str(error))
        except BrokerError as error:
            fetched.reasons.append(str(error))
            return


def _fact(started_ms: int, ended_ms: int, fetched: _Fetched, moment: Moment) -> CycleFact:
    """How the cycle was fetched, for the log."""
    return CycleFact(
        time_ms=moment.time_ms,
        started_ms=started_ms,
        ended_ms=ended_ms,
        calls=fetched.calls,
        keys_missing=fetched.keys_missing,
        reasons=tuple(fetched.reasons),
    )


def _cycle_report(
    rows: Sequence[OptionRow], fetched: _Fetched, moment: Moment, tally: CoverageTally, said: tuple[str, ...]
) -> CycleReport:
    """Count the rows of a cycle, for itself and for the day."""
    counted = tally.add(rows)
    return CycleReport(
        time_ms=moment.time_ms,
        rows=len(rows),
        live=counted.live,
        expected=counted.expected,
        calls=fetched.calls,
        keys_missing=fetched.keys_missing,
        reasons=tuple(fetched.reasons),
        said=said,
    )
