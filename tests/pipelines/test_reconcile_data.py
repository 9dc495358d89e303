"""Reconciliation of lake and CSV: every kind of damage is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from g6_core.adapters.csv_sink import clear_day
from g6_core.domain.checks import Check
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_pipelines.stages.reconcile_data import reconcile_data
from tests.pipelines.collecting import DAY, Collecting, collecting, narrowed

Lines = list[str]


@pytest.fixture(scope="module")
def collected(rules, settings, tmp_path_factory) -> Collecting:
    world = collecting(
        rules, narrowed(settings, codes=("this_week",), offsets=(-1, 1)), tmp_path_factory.mktemp("collected")
    )
    world.finish()
    return world


@pytest.fixture
def world(collected, tmp_path) -> Collecting:
    """A copy of the collected day that a test may damage."""
    copytree(collected.paths.root, tmp_path / "data")
    return replace(collected, paths=DataPaths(tmp_path / "data"))


def checks(world: Collecting) -> dict[str, Check]:
    found = reconcile_data(world.index_day)
    return {check.name: check for check in found}


def broken(world: Collecting) -> set[str]:
    return {name for name, check in checks(world).items() if not check.passed}


def edit(path: Path, change: Callable[[Lines], Lines]) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def swapped(lines: Lines) -> Lines:
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


def one_price_changed(lines: Lines) -> Lines:
    cells = lines[9].split(",")
    cells[list(OPTION_COLUMNS).index("call_ltp")] = "1.05"
    return [*lines[:9], ",".join(cells), *lines[10:]]


def test_a_sound_day_passes_with_its_figures(world) -> None:
    assert broken(world) == set()
    assert checks(world)["csv_row_count"].figures == {"csv_rows": 75, "lake_rows": 75}
    assert checks(world)["minutes_complete"].figures == {"faults": 0, "files": 4}


@pytest.mark.parametrize(
    ("name", "change", "names"),
    [
        ("a changed price", one_price_changed, {"csv_values_match_lake"}),
        (
            "a lost last line",
            lambda lines: lines[:-1],
            {"csv_counts_match_lake", "csv_row_count", "minutes_complete"},
        ),
        (
            "a doubled last line",
            lambda lines: [*lines, lines[-1]],
            {"csv_counts_match_lake", "csv_row_count", "no_duplicates"},
        ),
        ("two lines swapped", swapped, {"csv_values_match_lake", "time_monotone"}),
        ("another header", lambda lines: ["a,b\n", *lines[1:]], {"csv_files_present"}),
    ],
)
def test_damage_to_an_options_file_is_named(
    world, name: str, change: Callable[[Lines], Lines], names: set[str]
) -> None:
    path = world.paths.csv_options("NIFTY", "this_week", 1, DAY)
    edit(path, change)
    found = checks(world)
    assert {check for check in found if not found[check].passed} == names, name
    assert all(str(path) in found[check].detail for check in names - {"csv_row_count"})


def test_a_difference_names_contract_minute_column_and_both_values_and_all_of_them_are_kept(world) -> None:
    path = world.paths.csv_options("NIFTY", "this_week", 1, DAY)
    edit(path, lambda lines: one_price_changed(lines)[:10] + [line.replace("live", "stale", 1) for line in lines[10:]])
    found = checks(world)["csv_values_match_lake"]
    symbol = world.csv(offset=1)[8]["call_symbol"]
    assert found.figures["faults"] == 17
    assert f"{path} at 2025-08-29 11:15:00 {symbol} call_ltp is 1.05, in the lake " in found.detail
    kept = world.paths.differences(DAY, "NIFTY").read_text().splitlines()
    assert len(kept) == 17 and f"{symbol} call_status is stale, in the lake live" in kept[-1]


def test_a_changed_overview_is_named(world) -> None:
    edit(world.paths.csv_overview("NIFTY", "this_week", DAY), lambda lines: [*lines[:-1], lines[-1][:-2] + "9\n"])
    assert broken(world) == {"overview_matches_lake"}


def test_a_lost_file_is_named(world) -> None:
    world.paths.csv_options("NIFTY", "this_week", 0, DAY).unlink()
    assert broken(world) == {"csv_files_present", "csv_counts_match_lake", "csv_row_count", "minutes_complete"}


def test_a_lost_lake_is_a_failed_check_with_the_fix(world) -> None:
    world.paths.lake(DAY, "NIFTY").unlink()
    found = checks(world)
    assert list(found) == ["lake_readable"]
    assert "run the collect stage first" in found["lake_readable"].detail


def test_a_cleared_day_leaves_nothing_of_the_day_and_is_collected_anew(world) -> None:
    clear_day(world.paths, DAY, ["NIFTY"])
    assert list(world.paths.root.rglob(f"{DAY}.*")) == []
    again = collecting(world.rules, world.settings, world.paths.root)
    assert again.finish().resumed_cycles == 0
    assert broken(again) == set()
