"""A whole trading day in one process: the world, the stages in their order, and what came of it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from g6_core.adapters.confirmation import confirm_simulated
from g6_core.adapters.day_pack_store import load_day_pack, save_day_pack
from g6_core.adapters.in_process import open_world
from g6_core.adapters.kite_market import Market
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.adapters.memory import release_libraries
from g6_core.adapters.site import open_site
from g6_core.adapters.world import MODELLED, Simulated, claim_day, only_run
from g6_core.cli.report import draw
from g6_core.cli.stages import stage
from g6_core.config import check_against_rules
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError, G6Error
from g6_core.domain.ist import ist_clock, utc_text
from g6_core.schema.day_pack import DayPack
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_core.sim.feed import SimFeed
from g6_core.sim.source import MarketSource
from g6_core.site import Day, Site

Progress = Callable[[str, float | None], None]
# Finds a stage of the day by its name.
Stages = Callable[[str], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class DayRequest:
    """What the command line asked for."""

    source: str
    day: date | None
    underlying: str | None
    seed: int
    data_dir: Path
    config_dir: Path
    day_pack: Path | None


@dataclass(frozen=True, slots=True)
class DayResult:
    """What came of it: the summary, and whether every check of the evening passed."""

    summary: dict[str, Any]
    checks_passed: bool


def draw_report(request: DayRequest) -> Path:
    """Draw the page of the day that has run, from what it left behind, and return it. Raises DataError."""
    paths = DataPaths(request.data_dir)
    # What only the day needed need not lie beside the plotting libraries.
    release_libraries()
    try:
        # The day's ledger is the file in its folder, whatever database the environment names.
        return draw(paths, paths.ledger, request.config_dir)
    except G6Error as error:
        raise DataError(f"the day is done, its page could not be drawn: {error}") from error


def make_source(request: DayRequest, rules: MarketRules, today: date) -> MarketSource:
    """The market to trade in. A modelled day without a date is the last trading day up to `today`."""
    if request.underlying is not None:
        rules.index(request.underlying)
    if request.source == MODELLED:
        from g6_core.sim.modelled import ModelledSource

        day = request.day or rules.last_trading_day_up_to(today)
        return ModelledSource((request.underlying or "NIFTY",), day, rules, request.seed)
    from g6_core.sim.recorded import RecordedSource

    # What was needed to start (LLVM, to link the kernels) need not lie beside the record: 60 MB.
    release_libraries()
    return RecordedSource(Path(request.source), rules, request.day, request.underlying, request.seed)


def run_day(request: DayRequest, today: date, progress: Progress, stage: Stages = stage) -> DayResult:
    """Run the day from the instruments before the open to the picks after the close.

    `stage` finds each stage; a benchmark gives one that measures.
    Raises UserError kinds for everything a person can mend; the data directory keeps what was written so far.
    """
    site = open_site(request.data_dir, request.config_dir)
    progress("source", None)
    source = make_source(request, site.rules, today)
    day, paths, rules = source.trade_date, site.paths, site.rules
    check_against_rules(site.settings, rules, day, source.underlyings)
    given = _given_pack(request, day, site)
    label, underlyings = source.label, source.underlyings
    with only_run(paths), Ledger.open(paths.ledger) as ledger:
        claim_day(paths, day, Simulated(label, request.seed), rules.underlyings)
        confirm_simulated(paths, rules, day, utc_text(source.session.open_ms))
        ledger.clear_day(day)
        checks = _live_through(request, site, source, ledger, given, progress, stage)
        # A recorded market weighs 40 MB, and nothing asks it any more.
        del source
        progress("score", None)
        stage("score")(site, ledger, day, underlyings)
        summary = stage("summary")(site, ledger, day, underlyings, source_label=label, seed=request.seed)
    return DayResult(summary, all(check.passed for check in checks))


def _live_through(
    request: DayRequest,
    site: Site,
    source: MarketSource,
    ledger: Ledger,
    given: DayPack | None,
    progress: Progress,
    stage: Stages,
) -> list[Check]:
    """Everything that needs the market and its broker: prepare, collect and trade, repair, reconcile."""
    day, underlyings, settings, rules = source.trade_date, source.underlyings, site.settings, site.rules
    world = open_world(source, rules, settings, request.seed)
    kite, clock = world.kite, world.clock
    market = Market(kite, clock, spot_kind=world.spot_kind, final_ms=world.final_ms)
    progress("prepare", None)
    pack = stage("prepare")(kite, site, day, underlyings, source_label=source.label, seed=request.seed)
    if given is not None:
        _use_pack(given, pack, request.day_pack, site.paths)

    def on_cycle(cycle: Any) -> None:
        span = source.session.close_ms - source.session.open_ms
        progress(f"session {ist_clock(cycle.time_ms)}", (cycle.time_ms - source.session.open_ms) / span)

    collecting = stage("collect")(market, site, day, source.instruments, underlyings, on_cycle)
    feed, params = SimFeed(world.exchange), settings.engine_params()
    trading = stage("trade")(kite, feed, clock, params, rules, site.paths, ledger, day)
    run_together(clock, [collecting, trading])
    ledger.write_instruments(day, (row for name in pack.underlyings for row in pack.indices[name].instruments))
    progress("repair", None)
    # The evening's frames are beside the record, too.
    release_libraries()
    origin = f"{source.label} {request.seed}"
    for name in underlyings:
        run_together(clock, [stage("repair")(market, [Day(site, day, name)], source.instruments, origin)])
    progress("reconcile", None)
    return list(stage("reconcile")(kite, ledger, site, day, underlyings))


def run_together(clock: VirtualClock, stages: Sequence[Generator[int, None, Any]]) -> list[Any]:
    """Resume whichever stage wants to be woken first (the earlier listed on a tie) until all have returned."""
    results: list[Any] = [None] * len(stages)
    wake: dict[int, int] = dict.fromkeys(range(len(stages)), clock.now_ms())
    while wake:
        place = min(wake, key=lambda one: (wake[one], one))
        clock.sleep_until(wake[place])
        try:
            wake[place] = next(stages[place])
        except StopIteration as done:
            results[place] = done.value
            del wake[place]
    return results


def _given_pack(request: DayRequest, day: date, site: Site) -> DayPack | None:
    """The day pack the user brought, if any; it is judged before anything of an earlier run is touched."""
    if request.day_pack is None:
        return None
    return load_day_pack(request.day_pack, day=day, config_sha256=site.settings.config_sha256)


def _use_pack(given: DayPack, prepared: DayPack, path: Path | None, paths: DataPaths) -> None:
    """Arm with the given pack; DataError when it was made for another market than this one."""
    for name in ("underlyings", "source_label", "seed", "dump_sha256"):
        mine, theirs = getattr(prepared, name), getattr(given, name)
        if mine != theirs:
            raise DataError(f"{path}: the day pack is of another market ({name} {theirs}, this one has {mine})")
    save_day_pack(paths.day_pack(given.trade_date), given)
