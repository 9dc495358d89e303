"""One session run, the same for Dagster and for `g6 collect`: under the lease of its day, watched, with metrics."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date

from g6_core.adapters.clock import drive
from g6_core.adapters.last_quotes import open_last_quotes
from g6_core.adapters.lease import lease
from g6_core.adapters.world import Simulated, claim_quotes, clear_collected
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.errors import UserError
from g6_core.domain.instruments import InstrumentBook
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import RuntimeStatus
from g6_pipelines.places import Market, Place, Where, open_market
from g6_pipelines.session.known import read_heartbeat
from g6_pipelines.session.metrics import CollectorMetrics, metrics_port, served_metrics
from g6_pipelines.session.watch import SessionWatch
from g6_pipelines.stages.check_dump import check_dump
from g6_pipelines.stages.collect import CollectReport, CycleReport, collect
from g6_pipelines.stages.dump_cache import day_dump
from g6_pipelines.stages.prepare import stored_dump

# The supervisor holds the lease for a moment whenever it looks.
LEASE_PATIENCE_S = 3.0

OnCycle = Callable[[CycleReport], None]


@dataclass(frozen=True, slots=True)
class Installation:
    """What a session run works with."""

    settings: Settings
    rules: MarketRules
    paths: DataPaths


@contextmanager
def session_lease(paths: DataPaths, day: date) -> Iterator[str]:
    """Hold the session of `day`; the text says who has it already, "" when it is ours. DataError as `lease`."""
    with lease(paths.session_lock(day), LEASE_PATIENCE_S) as ours:
        yield "" if ours else _held_by(paths, day)


def run_session(
    installation: Installation,
    place: Place,
    names: Sequence[str],
    on_cycle: OnCycle,
    say: Callable[[str], None],
    *,
    on_market: Callable[[Market], None] = lambda _: None,
    once: bool = False,
) -> CollectReport:
    """Collect the day of `place`, or `once` its newest cycle that is due. The lease is held by the caller.

    `on_market` hears of the market once it is open. A day that is modelled in this process is made anew and leaves no
    heartbeat: nobody waits for it. Raises UserError kinds.
    """
    made = Simulated(place.label, place.seed)
    if place.where is Where.IN_PROCESS:
        book = stored_dump(installation.rules, installation.paths, place.day, names).book
        clear_collected(installation.paths, place.day, names, made)
        with open_market(installation.settings, installation.rules, place) as market:
            on_market(market)
            return drive(market.clock, _stage(installation, place, names, market, book, on_cycle))
    real = place.where is Where.KITE
    claim_quotes(installation.paths, place.day, installation.settings.indices, None if real else made)
    with ExitStack() as stack:
        market = stack.enter_context(open_market(installation.settings, installation.rules, place))
        on_market(market)
        return _watched(installation, place, names, market, on_cycle, say, once, stack)


def _watched(
    installation: Installation,
    place: Place,
    names: Sequence[str],
    market: Market,
    on_cycle: OnCycle,
    say: Callable[[str], None],
    once: bool,
    stack: ExitStack,
) -> CollectReport:
    """A session that others look at."""
    settings, rules, paths = installation.settings, installation.rules, installation.paths
    every = tuple(settings.indices)
    found = day_dump(market.kite, rules, paths, place.day, every, market.clock.now_ms())
    doubts = (*([found.doubt] if found.doubt else []), *dump_doubts(found.dump.book, rules, place.day, names))
    for doubt in doubts:
        say(f"instruments dump: {doubt}")
    if provisional := rules.provisional(place.day):
        say(provisional)
    metrics = CollectorMetrics(int(found.hit), int(not found.hit))
    stack.enter_context(served_metrics(metrics, metrics_port(), say))
    redis = settings.redis
    last = stack.enter_context(open_last_quotes(redis.url, redis.timeout_ms, redis.expire_s, market.clock, say))

    def publish(status: RuntimeStatus, cycle: CycleReport) -> None:
        if last is not None:
            last.publish({one.underlying: one.rows for one in cycle.indices}, status)

    interval_s = settings.collection.interval_s
    watch = SessionWatch(
        *(paths, place.day, tuple(names), interval_s, market.clock, (metrics.heard, publish)),
        doubts=doubts,
        provisional=provisional,
    )
    watch.began()

    def heard(cycle: CycleReport) -> None:
        watch(cycle)
        on_cycle(cycle)

    report = drive(market.clock, _stage(installation, place, names, market, found.dump.book, heard, once))
    if not once:
        watch.finished()
    return report


def dump_doubts(book: InstrumentBook, rules: MarketRules, day: date, names: Sequence[str]) -> tuple[str, ...]:
    """What the checks of the dump found. Told only: a minute that is not collected now can never be collected."""
    try:
        return tuple(f"{check.name}: {check.detail}" for check in failed(check_dump(book, rules, day, names)))
    except UserError as error:
        return (f"cannot be compared with the dated rules: {error}",)


def _stage(
    installation: Installation,
    place: Place,
    names: Sequence[str],
    market: Market,
    book: InstrumentBook,
    on_cycle: OnCycle,
    once: bool = False,
) -> Generator[int, None, CollectReport]:
    return collect(
        market.kite,
        market.clock,
        installation.settings,
        installation.rules,
        installation.paths,
        place.day,
        book,
        names,
        on_cycle,
        index_kind=place.spot_kind,
        final_ms=place.final_ms,
        turns=market.turns,
        once=once,
    )


def _held_by(paths: DataPaths, day: date) -> str:
    beat, who = read_heartbeat(paths), "another process"
    if beat is not None and beat.day == day:
        who = f"process {beat.pid} (last cycle {beat.cycle or 'none yet'})"
    return f"the session of {day} is being collected by {who}"
