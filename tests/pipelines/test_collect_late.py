"""The collect stage when it is late: what is due first, what passed many at once, and turns that do not come."""

from collections.abc import Sequence
from datetime import date, time

import pytest
import requests

from g6_core.adapters.kite_market import CallSpacing
from g6_core.adapters.lake import Lake, lake_cycles, lake_schema, read_lake
from g6_core.domain.errors import TryLater
from g6_core.domain.ist import at
from g6_core.schema.options import OPTION_COLUMNS, OptionRow
from g6_core.sim.scripted import ScriptedSource
from g6_pipelines.collection.coverage import Coverage, cycle_coverage
from g6_pipelines.collection.passed import stretches_of
from g6_pipelines.collection.plan import plan_index
from g6_pipelines.collection.rows import Moment
from g6_pipelines.stages.reconcile_data import reconcile_data
from tests.pipelines.collecting import (
    DAY,
    OPEN,
    Collecting,
    collecting,
    narrowed,
)

STEP = 900_000
MINUTES_5 = 300_000
CYCLES = 25


@pytest.fixture
def small(settings):
    return narrowed(settings)


def failed_checks(world: Collecting) -> list[str]:
    checks = reconcile_data(world.index_day)
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def test_the_due_cycle_is_fetched_before_a_day_of_passed_ones_is_written_and_the_lake_stays_in_order(
    rules, settings, tmp_path
) -> None:
    due = OPEN + 300 * 60_000
    written: list[bool] = []

    def look(request: requests.PreparedRequest, number: int) -> None:
        written.append(any((tmp_path / "csv").rglob(f"{DAY}.csv")) or read_lake(lake).height > 0)

    world = collecting(rules, narrowed(settings, interval_s=60), tmp_path, fault=look, start_ms=due + 59_000)
    lake = world.paths.lake(DAY, "NIFTY")
    # The call of the last second: had anything been done before it, its time would have passed.
    assert world.run(until_ms=due + 60_000) is None
    assert written and not any(written)
    rows = read_lake(lake)
    assert rows["timestamp"].is_sorted() and rows["timestamp"].n_unique() == 301
    assert list(rows["call_status"][-10:]) == ["missing"] * 10
    assert [cycle.passed for cycle in world.cycles] == [True] * 300 + [False]
    world.finish()
    assert failed_checks(world) == []


def test_passed_cycles_written_together_have_the_bytes_of_those_written_one_by_one(rules, settings, tmp_path) -> None:
    day = date(2026, 12, 8)
    opens, late = at(day, time(9, 15)), at(day, time(15, 55))
    source = ScriptedSource.of("NIFTY", day, rules, spot_path=[(opens, 24_512_35)])
    small = narrowed(settings, codes=("this_week", "next_week", "this_month"), interval_s=300)
    world = collecting(rules, small, tmp_path, source, start_ms=late)
    # With the money known, and over the close of the expiry of the day.
    plan = plan_index(world.index_day, world.book, "index")
    plan.atm_paise = 24_500_00
    times = range(opens, at(day, time(15, 45)), 300_000)
    paths = [tmp_path / name / "2026-12-08.arrows" for name in ("single", "many")]
    with Lake.open(paths[0], OPTION_COLUMNS) as single, Lake.open(paths[1], OPTION_COLUMNS) as many:
        for time_ms in times:
            single.append([row.cells() for row in plan.rows(None, {}, Moment(time_ms, 300_000))])
        stretches = stretches_of(plan, times, 300_000)
        for stretch in stretches:
            many.append_many(stretch.frames(lake_schema(OPTION_COLUMNS)))
    assert len(stretches) == 2, "until the expiry closes, and after"
    assert paths[0].read_bytes() == paths[1].read_bytes()


def universe(settings) -> tuple[tuple[str, ...], tuple[int, ...]]:
    own = settings.indices["NIFTY"]
    return own.expiry_codes, own.offsets


def test_a_restart_reads_no_cycle_again_that_the_files_have(rules, small, tmp_path, monkeypatch) -> None:
    world = collecting(rules, small, tmp_path)
    assert world.run(until_ms=OPEN + 10 * STEP) is None
    read: list[int] = []

    def counted(path, skip=0):
        for cycle in lake_cycles(path, skip):
            read.append(cycle[0][0])
            yield cycle

    monkeypatch.setattr("g6_pipelines.sinks.csv_copy.lake_cycles", counted)
    assert world.run(until_ms=OPEN + 12 * STEP) is None
    assert read == []
    for path in (world.paths.root / "csv").rglob(f"{DAY}.csv"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    world.finish()
    assert read == [OPEN + k * STEP for k in (9, 10, 11)], "what they lack"
    assert failed_checks(world) == []


@pytest.mark.parametrize(
    ("after_ms", "cycle", "calls"), [(10_000, 20, 2), (STEP - 4_001, 20, 2), (STEP - 2_000, 21, 1), (STEP, 21, 2)]
)
def test_one_cycle_alone_is_the_newest_that_has_time_left(rules, small, tmp_path, after_ms, cycle, calls) -> None:
    world = collecting(rules, small, tmp_path, start_ms=OPEN + 20 * STEP + after_ms)
    report = world.run(once=True)
    assert report is not None and report.closing is None
    assert (world.cycles[-1].time_ms, world.cycles[-1].calls) == (OPEN + cycle * STEP, calls)
    assert len(world.csv()) == cycle + 1, "and what passed before it is in every file"


def test_a_turn_that_cannot_be_told_is_waited_for_within_the_cycle_and_counted(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    held = (OPEN + STEP, OPEN + 2 * STEP + 5_000)

    class Locked(CallSpacing):
        def due_ms(self) -> int:
            if held[0] <= world.clock.now_ms() < held[1]:
                raise TryLater("not sent: the limits of this API key are locked by another process")
            return super().due_ms()

    world.turns = Locked(world.clock)
    report = world.finish()
    assert report.reasons == {"not sent: the limits of this API key are locked by another process": 1}
    assert [row["call_status"] for row in world.csv()[:4]] == ["live", "missing", "live", "live"]
    assert world.cycles[2].ended_ms - world.cycles[2].time_ms == 5_000, "late, but in its cycle"


def test_after_the_close_of_the_expiry_of_the_day_the_forward_of_the_next_stands_in(rules, settings, tmp_path) -> None:
    day = date(2026, 12, 8)

    def drop_index(request: requests.PreparedRequest, number: int) -> None:
        request.url = str(request.url).replace("NSE%3ANIFTY+50", "NSE%3ANOTHING").replace("NIFTY%2050", "NOTHING")

    source = ScriptedSource.of("NIFTY", day, rules, spot_path=[(at(day, time(9, 15)), 24_512_35)])
    two = narrowed(settings, codes=("this_week", "next_week"), interval_s=300)
    world = collecting(rules, two, tmp_path, source, fault=drop_index, start_ms=at(day, time(15, 30)))
    world.finish()
    rows = [row for row in world.csv("next_week") if row["timestamp"][11:16] in ("10:00", "10:05", "10:10")]
    assert [(row["spot_kind"], row["call_status"]) for row in rows] == [("forward", "live")] * 3
    assert all(row["spot"] == row["forward"] for row in rows)


def _added(cycles: Sequence[Sequence[OptionRow]]) -> Coverage:
    """The cycles of the test are minutes of their own."""
    each = [cycle_coverage(cycle) for cycle in cycles]
    names = ("live", "stale", "missing", "no_contract", "closed")
    sums = {name: sum(getattr(one, name) for one in each) for name in names}
    return Coverage(**sums, minutes_missing=tuple(minute for one in each for minute in one.minutes_missing))


def test_the_coverage_of_a_day_is_that_of_its_rows_counted_one_by_one(rules, settings, tmp_path) -> None:
    day = date(2025, 9, 23)
    opens = at(day, time(9, 15))
    silence = (opens + 5 * STEP, opens + 9 * STEP)
    source = ScriptedSource.of("NIFTY", day, rules, spot_path=[(opens, 24_500_00)], silences=[silence])
    # Two codes of one expiry, one without any, strikes that are not listed, a silence, and a late start.
    codes = narrowed(settings, codes=("this_week", "next_week", "this_month", "next_month"), offsets=(-1, 20))
    world = collecting(rules, codes, tmp_path, source, start_ms=opens + 2 * STEP)
    report = world.finish()
    cycles = [[OptionRow.of_cells(cells) for cells in cycle] for cycle in lake_cycles(world.paths.lake(day, "NIFTY"))]
    assert report.coverage == _added(cycles)
    assert report.coverage_by_code == {
        f"NIFTY/{code}": _added([[row for row in cycle if row.expiry_code == code] for cycle in cycles])
        for code in ("this_week", "next_week", "this_month", "next_month")
    }
    assert min(report.coverage.live, report.coverage.stale, report.coverage.missing) > 0
