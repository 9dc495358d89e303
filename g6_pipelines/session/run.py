"""One session run, the same for Dagster and for `g6 collect`: under the lease of its day, watched, with metrics."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date

from g6_core.adapters.clock import drive
from g6_core.adapters.kite_market import Market
from g6_core.adapters.last_quotes import open_last_quotes
from g6_core.adapters.lease import lease
from g6_core.adapters.world import Simulated, claim_quotes, clear_collected
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.errors import UserError
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.kernel import load_kernels
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import RuntimeStatus
from g6_core.site import Site
from g6_pipelines.places import Place, Where, open_market
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


@contextmanager
def session_lease(paths: DataPaths, day: date) -> Iterator[str]:
    """Hold the session of `day`; the text says who has it already, "" when it is ours. DataError as `lease`."""
    with lease(paths.session_lock(day), LEASE_PATIENCE_S) as ours:
        yield "" if ours else _held_by(paths, day)


def run_session(
    site: Site,
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
        book = stored_dump(site, place.day, names).book
        clear_collected(site.paths, place.day, names, made)
        with open_market(site, place) as market:
            on_market(market)
            return drive(market.clock, collect(market, site, place.day, book, names, on_cycle))
    load_kernels()  # no cycle waits for one
    claim_quotes(site.paths, place.day, site.indices, None if place.where is Where.KITE else made)
    with ExitStack() as stack:
        market = stack.enter_context(open_market(site, place))
        on_market(market)
        return _watched(site, place.day, names, market, on_cycle, say, once, stack)


def _watched(
    site: Site,
    day: date,
    names: Sequence[str],
    market: Market,
    on_cycle: OnCycle,
    say: Callable[[str], None],
    once: bool,
    stack: ExitStack,
) -> CollectReport:
    """A session that others look at."""
    found = day_dump(market.kite, site, day, market.clock.now_ms())
    doubts = (*([found.doubt] if found.doubt else []), *dump_doubts(found.dump.book, site.rules, day, names))
    for doubt in doubts:
        say(f"instruments dump: {doubt}")
    if provisional := site.rules.provisional(day):
        say(provisional)
    metrics = CollectorMetrics(int(found.hit), int(not found.hit))
    stack.enter_context(served_metrics(metrics, metrics_port(), say))
    redis = site.settings.redis
    last = stack.enter_context(open_last_quotes(redis.url, redis.timeout_ms, redis.expire_s, market.clock, say))

    def publish(status: RuntimeStatus, cycle: CycleReport) -> None:
        if last is not None:
            last.publish({one.underlying: one.rows for one in cycle.indices}, status)

    interval_s = site.settings.collection.interval_s
    watch = SessionWatch(
        *(site.paths, day, tuple(names), interval_s, market.clock, (metrics.heard, publish)),
        doubts=doubts,
        provisional=provisional,
    )
    watch.began()

    def heard(cycle: CycleReport) -> None:
        watch(cycle)
        on_cycle(cycle)

    report = drive(market.clock, collect(market, site, day, found.dump.book, names, heard, once=once))
    if not once:
        watch.finished()
    return report


def dump_doubts(book: InstrumentBook, rules: MarketRules, day: date, names: Sequence[str]) -> tuple[str, ...]:
    """What the checks of the dump found. Told only: a minute that is not collected now can never be collected."""
    try:
        return tuple(f"{check.name}: {check.detail}" for check in failed(check_dump(book, rules, day, names)))
    except UserError as error:
        return (f"cannot be compared with the dated rules: {error}",)


def _held_by(paths: DataPaths, day: date) -> str:
    beat, who = read_heartbeat(paths), "another process"
    if beat is not None and beat.day == day:
        who = f"process {beat.pid} (last cycle {beat.cycle or 'none yet'})"
    return f"the session of {day} is being collected by {who}"
