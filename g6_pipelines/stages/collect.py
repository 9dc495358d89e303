"""The collect stage: one cycle per interval through the session, into the lakes, then the CSV files, then the sinks.

A cycle that is due is fetched before anything else is done; what passed before is then written as missing, in time
order before it, many cycles at once. The CSV files catch up while there is time.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date

import polars as pl

from g6_core.adapters.csv_sink import CsvSink
from g6_core.adapters.cycle_log import note_cycles
from g6_core.adapters.kite_market import CallSpacing, Market
from g6_core.adapters.lake import Lake, lake_schema, read_lake
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.money import paise
from g6_core.ports import Clock
from g6_core.schema.cycles import CycleFact
from g6_core.schema.options import OPTION_COLUMNS, OptionRow
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.collection.coverage import COVERAGE_COLUMNS, Coverage, coverage_of, cycle_coverage
from g6_pipelines.collection.passed import Stretch, stretches_of
from g6_pipelines.collection.plan import IndexPlan, plan_index
from g6_pipelines.collection.rows import Moment
from g6_pipelines.sinks.configured import open_sinks
from g6_pipelines.sinks.csv_copy import CsvCopy, LakeDay, lake_day
from g6_pipelines.sinks.following import LAST_BUDGET_S
from g6_pipelines.stages.closing import Closing, closing_state
from g6_pipelines.stages.fetch_cycle import Fetched, fetch_cycle

NOT_RUNNING = "the collector was not running"
# One cycle alone is begun only with so much of its time left: it may need three calls, a second apart.
ONCE_LEFT_MS = 4 * SECOND_MS


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
    for (`passed`) began after its end and has no `indices`: nothing is known of it. `calls_failed` counts calls without
    a good answer, repeated ones included. `said` is what the sinks had to say since the cycle before, each thing once.
    """

    time_ms: int
    started_ms: int
    ended_ms: int
    rows: int
    live: int
    expected: int
    calls: int = 0
    calls_failed: int = 0
    keys_missing: int = 0
    reasons: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    indices: tuple[IndexCycle, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nobody was there for it."""
        return not self.indices


@dataclass(slots=True)
class CycleTotals:
    """Sums over cycles; `reasons` counts cycles by why something could not be fetched."""

    cycles: int = 0
    rows: int = 0
    live: int = 0
    expected: int = 0
    calls: int = 0
    calls_failed: int = 0
    keys_missing: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, cycle: CycleReport) -> None:
        """Add one cycle."""
        self.cycles += 1
        for name in ("rows", "live", "expected", "calls", "calls_failed", "keys_missing"):
            setattr(self, name, getattr(self, name) + getattr(cycle, name))
        for reason in cycle.reasons:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class CollectReport:
    """The whole stage. `reasons` as in `CycleTotals`; `keys_missing` counts keys
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


def collect(
    market: Market,
    site: Site,
    day: date,
    book: InstrumentBook,
    underlyings: Sequence[str],
    on_cycle: Callable[[CycleReport], None] | None = None,
    *,
    until_ms: int | None = None,
    once: bool = False,
) -> Generator[int, None, CollectReport]:
    """Collect the day, or its cycles before `until_ms`, or with `once` up to the newest that is due.

    Yields the next time (ms) at which to be resumed. A whole day ends with its closing state (`closing_state`); it is
    no cycle. Cycles already in the lake of an index are not collected again; those that passed unseen are written as
    missing, after the due one has been fetched. Without turns of the market this process has the API key for itself.
    Raises DataError when the data directory cannot be written or has another schema.
    """
    clock, interval_ms = market.clock, site.interval_ms
    plans = [plan_index(Day(site, day, name), book, market.spot_kind) for name in underlyings]
    turns = market.turns or CallSpacing(clock)
    with _lakes(site.paths, day, underlyings) as lakes, open_sinks(site, clock, day, underlyings) as sinks:
        kept = _Kept(site.paths, day, plans, lakes, interval_ms)
        totals, times = CycleTotals(), cycle_times(plans, interval_ms)

        def tell(reports: Sequence[CycleReport]) -> None:
            for report in reports:
                totals.add(report)
                if on_cycle is not None:
                    on_cycle(report)

        for time_ms in _wanted(clock, times, until_ms, once):
            moment = Moment(time_ms, interval_ms)
            if not (active := kept.lacking(time_ms)):
                continue
            if clock.now_ms() < time_ms:
                yield from kept.csv.catch_up(clock, time_ms)
                yield time_ms
            if clock.now_ms() >= time_ms + interval_ms:
                kept.missed[time_ms] = clock.now_ms()
                continue
            # Rows of what passed have the money that was known before this cycle.
            missed = kept.stretches()
            fetched = yield from fetch_cycle(market.kite, clock, turns, active, moment)
            passed = kept.write_missed(missed)
            found = kept.write(active, fetched, moment)
            sinks.follow()
            tell([*passed, _cycle_report(found, fetched, moment, sinks.news())])
        tell(kept.write_missed(kept.stretches()))
        yield from kept.csv.catch_up(clock)
        sinks.follow(LAST_BUDGET_S)
        closing = None
        if not once and until_ms is None:
            closing = yield from closing_state(market, turns, site, day, underlyings)
        total, by_code = coverage_of(pl.concat([read_lake(lake.path, COVERAGE_COLUMNS) for lake in lakes.values()]))
        return CollectReport(
            cycles=len(times),
            rows=sum(lake.rows for lake in kept.lakes.values()),
            calls=totals.calls,
            coverage=total,
            coverage_by_code=by_code,
            keys_missing=totals.keys_missing,
            reasons=totals.reasons,
            resumed_cycles=kept.resumed_cycles,
            dropped_bytes=sum(lake.healed.dropped_bytes for lake in lakes.values()),
            healed_files=kept.sink.healed_files,
            said=tuple(sinks.said),
            closing=closing,
        )


class _Kept:
    """What the lakes and the CSV files of the day have, and the writing of more. `missed` is still to be written.

    `missed` says of each passed cycle (ms) when it was noticed. DataError when the day was begun with another interval.
    """

    def __init__(
        self, paths: DataPaths, day: date, plans: Sequence[IndexPlan], lakes: Mapping[str, Lake], interval_ms: int
    ) -> None:
        self._paths, self._day, self._plans, self._interval_ms = paths, day, plans, interval_ms
        self._open = lakes
        self.sink = CsvSink(paths, day)
        self.lakes: dict[str, LakeDay] = {}
        self.missed: dict[int, int] = {}
        for plan in plans:
            known = self.lakes[plan.underlying] = lake_day(lakes[plan.underlying], plan.underlying, self.sink)
            _require_interval(known, interval_ms)
            # The next cycle need not spend a call on where the money is.
            if known.atm_strike is not None:
                plan.atm_paise = paise(known.atm_strike)
        self._done = {name: set(known.times) for name, known in self.lakes.items()}
        self.resumed_cycles = len(set().union(*self._done.values()))
        self.csv = CsvCopy(self.sink, self.lakes)

    def lacking(self, time_ms: int) -> list[IndexPlan]:
        """Indices that trade at that time and have no rows of it."""
        return [plan for plan in self._plans if plan.is_open(time_ms) and time_ms not in self._done[plan.underlying]]

    def stretches(self) -> dict[str, list[Stretch]]:
        """The missed cycles by index, with the money that is known now."""
        return {
            plan.underlying: stretches_of(
                plan, [one for one in self.missed if plan in self.lacking(one)], self._interval_ms
            )
            for plan in self._plans
        }

    def write_missed(self, missed: Mapping[str, Sequence[Stretch]]) -> list[CycleReport]:
        """Into the lakes. The CSV files get them when there is time."""
        reports: dict[int, CycleReport] = {}
        schema = lake_schema(OPTION_COLUMNS)
        for name, stretches in missed.items():
            for stretch in stretches:
                own = [_passed_report(time_ms, self.missed[time_ms], stretch) for time_ms in stretch.times]
                note_cycles(self._paths, self._day, name, [_fact(report.time_ms, report) for report in own])
                self._open[name].append_many(stretch.frames(schema))
                self._count(name, stretch.times, len(stretch.rows))
                for report in own:
                    reports[report.time_ms] = _both(reports.get(report.time_ms), report)
        self.missed = {}
        return [reports[time_ms] for time_ms in sorted(reports)]

    def write(self, active: Sequence[IndexPlan], fetched: Fetched, moment: Moment) -> list[IndexCycle]:
        """A fetched cycle, into the lakes and where it can be into the CSV files."""
        found: list[IndexCycle] = []
        for plan in active:
            note_cycles(self._paths, self._day, plan.underlying, [_fact(moment.time_ms, fetched)])
        moment = replace(moment, answered_ms=fetched.ended_ms)
        for plan in active:
            spot = plan.locate(fetched.quotes, moment)
            rows = tuple(plan.rows(spot, fetched.quotes, moment))
            self._open[plan.underlying].append([row.cells() for row in rows])
            self._count(plan.underlying, [moment.time_ms], len(rows))
            found.append(IndexCycle(plan.underlying, rows, spot.rupees if spot else None))
        self.csv.keep({one.underlying: one.rows for one in found})
        return found

    def _count(self, name: str, times: Sequence[int], rows_each: int) -> None:
        self.lakes[name].times += times
        self.lakes[name].rows += len(times) * rows_each


def _wanted(clock: Clock, times: range, until_ms: int | None, once: bool) -> Sequence[int]:
    """Cycles to look at. One alone is the newest that is due, or the next where little of its time is left."""
    end_ms = clock.now_ms() + ONCE_LEFT_MS if once else until_ms
    return times if end_ms is None else [time_ms for time_ms in times if time_ms < end_ms]


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


def _require_interval(lake: LakeDay, interval_ms: int) -> None:
    """DataError when the day was begun with another interval: every cycle has its place once."""
    times = sorted(lake.times)[:2]
    if len(times) == 2 and times[1] - times[0] != interval_ms:
        was_s, is_s = (times[1] - times[0]) // SECOND_MS, interval_ms // SECOND_MS
        raise DataError(
            f"{lake.path}: collected every {was_s} s, which cannot become {is_s} s within a day; "
            f"set interval_s to {was_s}, or use another data directory"
        )


def _passed_report(time_ms: int, noticed_ms: int, stretch: Stretch) -> CycleReport:
    """Of one index."""
    return CycleReport(
        time_ms=time_ms,
        started_ms=noticed_ms,
        ended_ms=noticed_ms,
        rows=len(stretch.rows),
        live=stretch.counted.live,
        expected=stretch.counted.expected,
        reasons=(NOT_RUNNING,),
    )


def _both(one: CycleReport | None, other: CycleReport) -> CycleReport:
    """A passed cycle of several indices."""
    if one is None:
        return other
    return replace(other, rows=one.rows + other.rows, expected=one.expected + other.expected)


def _fact(time_ms: int, how: CycleReport | Fetched) -> CycleFact:
    """Return how a cycle was fetched, or passed, for the log."""
    return CycleFact(time_ms, how.started_ms, how.ended_ms, how.calls, how.keys_missing, tuple(how.reasons))


def _cycle_report(
    indices: Sequence[IndexCycle], fetched: Fetched, moment: Moment, said: tuple[str, ...]
) -> CycleReport:
    """What became of a cycle."""
    counted = cycle_coverage([row for one in indices for row in one.rows])
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
