"""The bhavcopy stage: whole recorded days through the simulated exchange against what the exchange published."""

from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from g6_core.adapters.in_process import open_world
from g6_core.adapters.kite_market import CallSpacing, Market
from g6_core.adapters.lake import Lake, read_lake
from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.end_of_day import FINAL_AFTER_MS, Comparison, ContractKey, Difference, DifferenceKind
from g6_core.domain.errors import CalendarError, DataError
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_core.sim.recorded import RecordedSource
from g6_core.site import Day, Site
from g6_pipelines.stages.bhavcopy import bhavcopy_checks, closing_states, reconcile_bhavcopy
from g6_pipelines.stages.closing import closing_state, read_closing
from tests.pipelines.collecting import collecting, narrowed

# Every strike of a recorded chain, whatever its distance from the money.
ALL_OFFSETS = (-150, 150)
INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY")
VOLUME_FROM = date(2026, 1, 6)
# Days of the record that end after their close and have a bhavcopy: one of each index, two without volume.
FULL_DAYS = [(date(2026, 1, number), name) for number, name in zip((2, 5, 9, 13), INDICES, strict=True)]


@pytest.fixture(scope="module")
def snapshots(shared_data: Path) -> Path:
    return shared_data / "kite-chain-2026q1" / "snapshots.parquet"


@pytest.fixture(scope="module")
def bhavcopy(shared_data: Path) -> Path:
    return shared_data / "nse-fo-bhavcopy" / "index_2026_01_02.parquet"


def collected(
    snapshots: Path, rules: MarketRules, settings: Settings, root: Path, day: date, underlying: str = "FINNIFTY",
    *, offsets: tuple[int, int] = (-10, 10), from_ms: int | None = None,
) -> DataPaths:  # fmt: skip
    """A recorded day through the collect stage every five minutes, which begins before the open or at `from_ms`."""
    source = RecordedSource(snapshots, rules, day, underlying)
    slow = narrowed(settings, codes=("this_week", "this_month"), offsets=offsets, interval_s=300)
    start_ms = source.session.open_ms - MINUTE_MS if from_ms is None else from_ms
    world = collecting(rules, slow, root, source, start_ms=start_ms, index_kind=source.spot_kind)
    mark_simulated(world.paths, day, Simulated(source.label, 0))
    report = world.finish()
    assert report.closing is not None and report.closing.quoted == report.closing.contracts
    return world.paths


def recorded_after_the_close(snapshots: Path, rules: MarketRules, day: date, underlying: str) -> int:
    """How many contracts the record shows after the close."""
    source = RecordedSource(snapshots, rules, day, underlying)
    tokens = np.array([row.token for row in source.instruments if row.is_option])
    quotes = source.quotes(tokens, int(source.snapshots_ms[-1]))
    return int((quotes["exchange_ms"] >= source.session.close_ms + FINAL_AFTER_MS).sum())


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.slow
@pytest.mark.parametrize(("day", "underlying"), FULL_DAYS, ids=str)
def test_prices_and_volumes_of_a_whole_day_are_the_published_ones_to_the_last_contract(
    snapshots: Path, bhavcopy: Path, rules: MarketRules, settings: Settings, tmp_path: Path, day: date, underlying: str
) -> None:
    late_ms = at(day, time(15, 20))
    paths = collected(snapshots, rules, settings, tmp_path, day, underlying, offsets=ALL_OFFSETS, from_ms=late_ms)
    checks = by_name(reconcile_bhavcopy(Site(settings, rules, paths), day, (), bhavcopy))

    assert all(check.passed for check in checks.values()), checks
    contracts = recorded_after_the_close(snapshots, rules, day, underlying)
    assert len(read_closing(Day(Site(settings, rules, paths), day, underlying))) == contracts >= 160
    assert checks["bhavcopy_contracts"].figures == {"contracts": contracts, "final": contracts, "not_published": 0}
    assert checks["bhavcopy_last_price"].figures["compared"] > 80
    volumes = checks["bhavcopy_volume"].figures["compared"]
    assert volumes == (contracts if day >= VOLUME_FROM else 0), "volume was not recorded before"
    told = checks["bhavcopy_open_interest"]
    assert told.figures["differences"] > 30, "the exchange settles open interest in the evening"
    assert 0 < abs(float(told.figures["sum_off_pct"])) < 25
    assert told.detail.count(", bhavcopy ") == 5, "named by contract"


@pytest.fixture(scope="module")
def collected_day(
    snapshots: Path, rules: MarketRules, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """FINNIFTY of 8 January 2026 as a collector leaves it that asked for the closing state at 15:31: the record has
    nothing for 21 minutes after the close."""
    day = date(2026, 1, 8)
    paths = collected(snapshots, rules, settings, tmp_path_factory.mktemp("collected"), day)
    source = RecordedSource(snapshots, rules, day, "FINNIFTY")
    world = open_world(source, rules, settings, seed=0)
    world.clock.sleep_until(source.session.close_ms + FINAL_AFTER_MS)
    paths.closing(day, "FINNIFTY").unlink()
    site, market = Site(settings, rules, paths), Market(world.kite, world.clock)
    stage = closing_state(market, CallSpacing(world.clock), site, day, ("FINNIFTY",))
    for wake_ms in stage:
        world.clock.sleep_until(wake_ms)
    return site


def test_the_rows_of_the_session_are_a_bound_for_what_is_published(
    collected_day: Site, bhavcopy: Path, rules: MarketRules
) -> None:
    checks = by_name(reconcile_bhavcopy(collected_day, date(2026, 1, 8), (), bhavcopy))
    assert checks["bhavcopy_contracts"].figures["final"] == 0
    assert checks["bhavcopy_last_price"].figures["compared"] > 0, "nothing traded in some contracts after that"
    assert {name for name, check in checks.items() if not check.passed} == {"bhavcopy_contracts", "bhavcopy_volume"}
    assert "hold the state after the close; what was collected before" in checks["bhavcopy_contracts"].detail
    assert "nothing to compare: no final volume" in checks["bhavcopy_volume"].detail


COMPARED = Comparison(
    contracts=50, final=50, prices=40, volumes=50, bounds=0, without_volume=0, own_oi=0, published_oi=0, differences=()
)
TOO_MUCH = Difference(DifferenceKind.VOLUME, ContractKey("NIFTY", date(2026, 1, 13), 26_000_00, "CE"), 2, 1)


@pytest.mark.parametrize(
    ("change", "failing", "said"),
    [
        ({}, [], "all 50 that can be compared are equal"),
        ({"volumes": 0, "without_volume": 50}, [], "not compared: no volume was recorded of 50 contracts"),
        ({"volumes": 0, "bounds": 50}, ["bhavcopy_volume"], "nothing to compare: no final volume; 50 earlier ones"),
        ({"prices": 0}, ["bhavcopy_last_price"], "all 50 that"),
        ({"final": 0}, ["bhavcopy_contracts"], "all 50 that"),
        ({"volumes": 0, "bounds": 50, "differences": (TOO_MUCH,)}, ["bhavcopy_volume"], "1 of 0 final and 50 earlier"),
    ],
)
def test_nothing_to_compare_has_not_passed(change: dict[str, Any], failing: list[str], said: str) -> None:
    checks = by_name(bhavcopy_checks(replace(COMPARED, **change)))
    assert [name for name, check in checks.items() if not check.passed] == failing
    assert checks["bhavcopy_volume"].detail.startswith(said)


def test_at_a_broker_an_answer_is_as_new_as_the_question_in_a_replay_as_its_stamp(collected_day: Site) -> None:
    day = date(2026, 1, 8)
    rows = read_closing(Day(collected_day, day, "FINNIFTY"))
    asked_ms, stamp_ms = (
        {state.stamp_ms for state in closing_states(rows, day, replayed=replayed).values()}
        for replayed in (False, True)
    )
    close_ms = at(day, time(15, 30))
    assert min(asked_ms) >= close_ms + FINAL_AFTER_MS and max(stamp_ms) < close_ms
    assert closing_states(rows, date(2026, 1, 9), replayed=False) == {}, "stamps of another day say nothing of this one"


@pytest.mark.parametrize(
    ("change", "failing", "named"),
    [
        (pl.col("call_ltp") + 0.05, "bhavcopy_last_price", "FINNIFTY 2026-01-27 "),
        (pl.col("call_volume") + 10_000_000, "bhavcopy_volume", "FINNIFTY 2026-01-27 "),
        (pl.col("strike") + 1, "bhavcopy_contracts", " is not in the bhavcopy"),
    ],
)
def test_what_the_lake_has_wrong_fails_by_name(
    collected_day: Site, bhavcopy: Path, rules: MarketRules, tmp_path: Path,
    change: pl.Expr, failing: str, named: str,
) -> None:  # fmt: skip
    paths = DataPaths(tmp_path)
    rows = read_lake(collected_day.paths.lake(date(2026, 1, 8), "FINNIFTY")).with_columns(change)
    with Lake.open(paths.lake(date(2026, 1, 8), "FINNIFTY"), OPTION_COLUMNS) as lake:
        lake.append(rows.rows())
    checks = by_name(reconcile_bhavcopy(replace(collected_day, paths=paths), date(2026, 1, 8), (), bhavcopy))
    before = by_name(reconcile_bhavcopy(collected_day, date(2026, 1, 8), (), bhavcopy))
    told = {check.name for check in checks.values() if not check.passed and check != before[check.name]}
    assert failing in told
    assert named in checks[failing].detail


def test_a_day_without_rows_or_without_a_bhavcopy_is_one_line(
    collected_day: Site, bhavcopy: Path, rules: MarketRules, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"nothing was collected on 2026-01-08; collect the day first"):
        reconcile_bhavcopy(replace(collected_day, paths=DataPaths(tmp_path)), date(2026, 1, 8), (), bhavcopy)
    with pytest.raises(DataError, match=r"no collected rows; run the collect stage first"):
        reconcile_bhavcopy(collected_day, date(2026, 1, 8), ("NIFTY",), bhavcopy)
    with pytest.raises(CalendarError, match=r"2026-01-10 is a Saturday"):
        reconcile_bhavcopy(collected_day, date(2026, 1, 10), (), bhavcopy)
