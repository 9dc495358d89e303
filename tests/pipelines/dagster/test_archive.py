"""The end of an evening and the night: a day goes into the archive and is restored to prove it; what is old goes."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from g6_core.adapters.archive import damaged_objects, read_manifest
from g6_core.adapters.lake import lake_cycles, lake_exists
from g6_core.config_schema import RetentionSettings
from g6_pipelines.definitions import defs
from g6_pipelines.resources import G6Resource
from g6_pipelines.retention import prune_runs
from g6_pipelines.stages.archive import configured_store
from tests.pipelines.dagster.kit import BANKNIFTY, DAY, NIFTY, Installation, Made, checks_of, metadata_of

# What an evening does for the archive.
KEPT = ("compacted_lake", "day_archive")


@pytest.fixture
def archiving(made: Made, tmp_path: Path) -> Installation:
    """A copy of a sound day with an archive in a folder, and nothing kept for longer than it must."""
    sound = made.installation
    shutil.copytree(sound.paths.root, tmp_path / "data")
    shutil.copytree(sound.g6.config_dir, tmp_path / "config")
    file = tmp_path / "config" / "g6.yaml"
    document = yaml.safe_load(file.read_text())
    document["archive"].update(enabled=True, url=f"file://{tmp_path}/archive")
    document["retention"].update(stream_days=1, csv_days=1)
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    g6 = G6Resource(data_dir=str(tmp_path / "data"), config_dir=str(tmp_path / "config"))
    return Installation(g6, sound.instance)


def test_the_evening_archives_the_day_and_restores_it_to_prove_it(archiving: Installation) -> None:
    result = archiving.phase("evening", NIFTY, BANKNIFTY, only=KEPT)
    assert result.success
    found = checks_of(result)
    assert (found["compacted_equals_stream"], found["archive_restores"]) == (True, True)
    manifest = read_manifest(configured_store(archiving.g6.site.settings), DAY)
    assert manifest is not None
    names = {one.path for one in manifest.files}
    assert {f"lake/options/{name}/{DAY}.parquet" for name in ("NIFTY", "BANKNIFTY")} <= names
    assert {f"reports/{DAY}.html", f"state/day_pack/{DAY}.json", f"state/instruments/{DAY}.parquet"} <= names
    shown = metadata_of(result, "day_archive", NIFTY)
    assert (shown["files"], shown["bytes"], shown["sha256"]) == (len(names), manifest.bytes, manifest.sha256)
    assert metadata_of(result, "compacted_lake", NIFTY)["rows"] > 0  # type: ignore[operator]


def test_a_damaged_archive_fails_the_check(archiving: Installation) -> None:
    archiving.phase("evening", NIFTY, BANKNIFTY, only=KEPT)
    store = configured_store(archiving.g6.site.settings)
    manifest = read_manifest(store, DAY)
    assert manifest is not None
    store.put(f"{DAY}/{manifest.files[0].object}", b"damaged")
    assert damaged_objects(store, manifest) == [manifest.files[0].path]
    # Archived again it is whole, so only the check alone sees the damage.
    result = dg.materialize(
        [*(defs.assets or ()), *(defs.asset_checks or ())],
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("day_archive"), "archive_restores")),
        instance=archiving.instance,
        resources={"g6": archiving.g6},
        raise_on_error=False,
    )
    assert checks_of(result) == {"archive_restores": False}


def test_without_an_archive_the_evening_says_so_and_passes(made: Made) -> None:
    evening = made.results["evening"]
    assert metadata_of(evening, "day_archive", NIFTY) == {"archived": "no: archive.enabled is false"}
    assert checks_of(evening)["archive_restores"] is True


def test_the_night_removes_streams_and_csv_of_an_archived_day_and_the_evening_can_be_repeated(
    archiving: Installation,
) -> None:
    archiving.phase("evening", NIFTY, BANKNIFTY, only=KEPT)
    stream = archiving.paths.lake(DAY, "NIFTY")
    cycles = list(lake_cycles(stream))
    night = defs.resolve_job_def("retention")
    assert night.execute_in_process(instance=archiving.instance, resources={"g6": archiving.g6}).success
    assert not stream.exists()
    assert lake_exists(stream)
    assert not list(archiving.paths.root.glob("csv/*/*/*/*/*.csv"))
    assert list(lake_cycles(stream)) == cycles
    result = archiving.phase("evening", BANKNIFTY)
    found = checks_of(result)
    # The view is gone, so it cannot be compared; what needs no more than the lake goes on.
    assert [name for name, passed in found.items() if not passed] == ["lake_equals_csv"]


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@dg.asset
def something() -> None:
    """Is made, whatever becomes of its run."""


@dg.asset(deps=[something])
def broken() -> None:
    """Fails."""
    raise RuntimeError


def test_old_runs_without_results_go_and_those_that_made_something_stay(on_disk: dg.DagsterInstance) -> None:
    def run(*assets: dg.AssetsDefinition) -> str:
        return dg.materialize(list(assets), instance=on_disk, raise_on_error=False).run_id

    good, half, bad = run(something), run(something, broken), run(broken)
    keep = RetentionSettings(stream_days=None, csv_days=None, logs_days=30, runs_days=60)
    now = datetime.now(UTC)

    def logs() -> set[str]:
        return {path.name for path in (Path(on_disk.root_directory) / "storage").iterdir() if path.is_dir()}

    assert logs() == {good, half, bad}
    prune_runs(on_disk, keep, now + timedelta(days=29))
    assert logs() == {good, half, bad}
    prune_runs(on_disk, keep, now + timedelta(days=31))
    assert (logs(), set(on_disk.get_run_ids())) == (set(), {good, half, bad})
    said = prune_runs(on_disk, keep, now + timedelta(days=61))
    assert set(on_disk.get_run_ids()) == {good, half}
    assert said.endswith("1 runs without results removed, older than 60 days")
    assert on_disk.get_latest_materialization_event(dg.AssetKey("something")) is not None
    nothing = RetentionSettings(stream_days=None, csv_days=None, logs_days=None, runs_days=None)
    assert prune_runs(on_disk, nothing, now + timedelta(days=9999)) == "runs and their logs are kept for ever"
