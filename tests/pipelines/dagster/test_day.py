"""A day through its three jobs, modelled in this process: what is written, shown, and made again byte by byte."""

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from g6_core.adapters.clock import drive
from g6_core.adapters.day_pack_store import load_day_pack, load_picks
from g6_core.adapters.in_process import open_world
from g6_core.adapters.kite_market import Market
from g6_core.adapters.world import simulated_days
from g6_core.schema.paths import DataPaths
from g6_core.sim.modelled import ModelledSource
from g6_pipelines.checks.judge import SAID_MAX
from g6_pipelines.places import DEFAULT_SEED
from g6_pipelines.stages.collect import collect
from tests.pipelines.dagster.kit import BANKNIFTY, DAY, NIFTY, PHASES, Installation, checks_of, metadata_of

CYCLES = 75


def hashes(root: Path) -> dict[str, str]:
    """Everything below a folder but locks and the ledger's own files."""
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file() and ".lock" not in file.name and "sqlite" not in file.name
    }


def test_all_phases_succeed_and_every_check_passes(made) -> None:
    results = made.results
    assert [job for job in PHASES if not results[job].success] == []
    found = {name: passed for result in results.values() for name, passed in checks_of(result).items()}
    assert len(found) == 25
    assert [name for name, passed in found.items() if not passed] == []


def test_a_check_says_its_figures_without_a_click(made) -> None:
    said = {
        one.check_name: str(one.description)
        for result in made.results.values()
        for one in result.get_asset_check_evaluations()
    }
    assert said["coverage_is_enough"].startswith(
        f"4 compared, all agree; {DAY} NIFTY: 100.00 % of 2,700 contract-minutes live, 80 % wanted; {DAY} NIFTY: "
    )
    assert f"{CYCLES} of {CYCLES} cycles" in said["overview_has_every_cycle"]
    assert max(map(len, said.values())) <= SAID_MAX


@pytest.mark.parametrize("partition", [NIFTY, BANKNIFTY])
def test_every_partition_shows_its_own_figures_and_pictures(made, partition: str) -> None:
    results = made.results
    pack = metadata_of(results["pre_open"], "day_pack", partition)
    assert pack["indices_in_the_pack"] == "NIFTY, BANKNIFTY"
    assert pack["lot_size"] == {NIFTY: 75, BANKNIFTY: 35}[partition]
    chain = metadata_of(results["session"], "option_chain", partition)
    assert (chain["coverage_pct"], chain["cycles"], chain["minutes_missing_at"]) == (100.0, CYCLES, "none")
    assert (chain["source"], chain["seed"], chain["troubles"]) == ("modelled (in_process)", DEFAULT_SEED, "none")
    overview = metadata_of(results["session"], "index_overview", partition)
    for picture in (chain["coverage_picture"], overview["volatility_smile"], overview["open_interest"]):
        assert str(picture).startswith("![") and "](data:image/svg+xml;base64," in str(picture)
        assert len(str(picture)) < 60_000, "the event log keeps it"
    picks = metadata_of(results["evening"], "next_day_picks", partition)
    assert picks["for_day"] == "2025-09-01"
    assert bool(picks["picks"]) != bool(picks.get("reason_for_none"))
    assert metadata_of(results["evening"], "day_report", partition)["trades"] == 0


def test_the_session_says_how_far_it_is_every_quarter_of_an_hour(made) -> None:
    results = made.results
    seen = [
        event.asset_observation_data.asset_observation
        for event in results["session"].all_events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    assert len(seen) == 25 * 2
    assert {str(one.partition) for one in seen} == {NIFTY, BANKNIFTY}


def test_one_pack_and_one_picks_document_hold_both_indices(made) -> None:
    installation = made.installation
    paths, g6 = installation.paths, installation.g6
    pack = load_day_pack(paths.day_pack(DAY), day=DAY, config_sha256=g6.site.settings.config_sha256)
    assert pack.underlyings == ("NIFTY", "BANKNIFTY")
    picks = load_picks(paths.picks(date(2025, 9, 1)), date(2025, 9, 1))
    assert picks is not None and set(picks.indices) == {"NIFTY", "BANKNIFTY"}
    assert set(simulated_days(paths)) == {DAY}
    assert "BANKNIFTY" in paths.report.read_text()


def test_a_partition_made_again_has_the_same_bytes_and_leaves_the_other_index_alone(copy, instance) -> None:
    installation = Installation(copy.g6, instance)

    def data() -> dict[str, str]:
        """Everything but how it was fetched: calls are shared by the indices that are collected together."""
        return {name: text for name, text in hashes(installation.paths.root).items() if "lake/cycles" not in str(name)}

    before = data()
    others = [file for file in installation.paths.root.rglob("*") if "BANKNIFTY" in file.parts and file.is_file()]
    stamps = {file: file.stat().st_mtime_ns for file in others}
    assert len(others) > 9
    assert all(result.success for result in installation.day(NIFTY).values())
    assert data() == before
    assert {file: file.stat().st_mtime_ns for file in others} == stamps


def test_an_index_is_collected_the_same_whether_others_are_modelled_beside_it_or_not(made, tmp_path) -> None:
    installation = made.installation
    g6, alone = installation.g6, DataPaths(tmp_path)
    source = ModelledSource(("NIFTY",), DAY, g6.site.rules, DEFAULT_SEED)
    world = open_world(source, g6.site.rules, g6.site.settings, DEFAULT_SEED)
    market, site = Market(world.kite, world.clock), replace(g6.site, paths=alone)
    drive(world.clock, collect(market, site, DAY, source.instruments, ("NIFTY",)))
    for place in (DataPaths.lake, lambda paths, day, name: paths.csv_overview(name, "this_week", day)):
        assert place(alone, DAY, "NIFTY").read_bytes() == place(installation.paths, DAY, "NIFTY").read_bytes()
