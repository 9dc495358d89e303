"""The archive: what is restored is what was there, byte for byte, whatever happened on the way."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import yaml

from g6_core.adapters.archive import damaged_objects, read_manifest
from g6_core.adapters.compaction import compact_lake
from g6_core.adapters.lake import Lake, lake_cycles, read_lake
from g6_core.adapters.lake_parquet import parquet_of
from g6_core.adapters.ledger import Ledger
from g6_core.adapters.object_store import KEY_VARIABLE, SECRET_VARIABLE, FolderStore, ObjectStore, open_store
from g6_core.adapters.world import Simulated, mark_simulated, simulated_days
from g6_core.config import Settings, load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError, DataError, StoreDown
from g6_core.schema.options import OPTION_COLUMNS, OPTIONS_VERSION, RowStatus
from g6_core.schema.paths import DataPaths
from g6_core.site import Day
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.archive import archive_day, configured_store, require_over, restore_day
from tests.command_line import g6
from tests.conftest import PROJECT
from tests.pipelines.conftest import WholeDay
from tests.pipelines.made_day import DAY, NEXT_DAY, MadeDay
from tests.servers import S3_KEY, S3_SECRET, bucket_keys, make_bucket

INDEX = "NIFTY"
_buckets = count(1)


@pytest.fixture
def made(tmp_path: Path, whole_day: WholeDay) -> MadeDay:
    """A day with a lake and one file of nearly every other kind."""
    found = whole_day(tmp_path / "data")
    paths = found.paths
    for path in (
        paths.cycle_log(DAY, INDEX),
        paths.day_pack(DAY),
        paths.picks(DAY),
        paths.scores(DAY),
        paths.trade_report(DAY),
        paths.reconciliation(DAY, INDEX),
        paths.reconciliation(DAY, "orders"),
        paths.journal(DAY),
        paths.report_of(DAY),
        paths.expired(INDEX, DAY) / "candles.parquet",
        paths.csv_options(INDEX, "this_week", 0, DAY),
        paths.csv_overview(INDEX, "this_week", DAY),
        # Not of the day, not whole, or not data.
        paths.picks(NEXT_DAY),
        paths.journal(DAY).with_name(f"{DAY}.g6j.tmp"),
        paths.expired(INDEX, DAY) / ".answers.arrows.lock",
        paths.heartbeat,
        paths.control_token,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} of {path.parent.name}")
    with Ledger.open(paths.ledger):
        pass
    mark_simulated(paths, DAY, Simulated("modelled", 7))
    return found


KEPT = {
    f"journal/{DAY}.g6j",
    f"lake/cycles/{INDEX}/{DAY}.jsonl",
    f"lake/expired/{INDEX}/{DAY}/candles.parquet",
    f"lake/options/{INDEX}/_schema.json",
    f"lake/options/{INDEX}/{DAY}.parquet",
    f"reports/{DAY}.html",
    f"state/day_pack/{DAY}.json",
    f"state/instruments/{DAY}.parquet",
    f"state/picks/{DAY}.json",
    f"state/reconciliation/{INDEX}/{DAY}.json",
    f"state/reconciliation/orders/{DAY}.json",
    f"state/scores/{DAY}.json",
    f"state/trade_report/{DAY}.json",
}


@pytest.fixture
def config(config_dir: Path, tmp_path: Path) -> Path:
    """A configuration whose archive is a folder."""
    target = tmp_path / "config"
    shutil.copytree(config_dir, target)
    return configured(target, url=f"file://{tmp_path}/archive")


def configured(folder: Path, **changes: object) -> Path:
    """Turn the archive on, with changes."""
    file = folder / "g6.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["archive"] |= {"enabled": True, **changes}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def stored(request: pytest.FixtureRequest, config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of an archive in a folder, and of one on a real S3-compatible server."""
    if request.param == "bucket":
        address, bucket = request.getfixturevalue("s3_address"), f"days-{next(_buckets)}"
        monkeypatch.setenv(KEY_VARIABLE, S3_KEY)
        monkeypatch.setenv(SECRET_VARIABLE, S3_SECRET)
        make_bucket(address, bucket)
        configured(config, url=address, bucket=bucket, region="us-east-1")
    yield load_settings(config)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_a_restored_day_is_the_archived_one_in_every_byte(
    made: MadeDay, stored: Settings, rules: MarketRules, tmp_path: Path
) -> None:
    rows, account = read_lake(made.paths.lake(DAY, INDEX)), account_day(made.index_day).day
    store = configured_store(stored)
    found = archive_day(store, replace(made.site, settings=stored), DAY)
    assert found.manifest.complete
    into = tmp_path / "restored"
    manifest, files = restore_day(store, DAY, into)
    assert manifest == found.manifest
    assert files == len(manifest.files)
    restored = contents(into)
    ledger = {name for name in restored if name.startswith(f"ledger/{DAY}/")}
    assert len(ledger) > 3
    assert restored.keys() - ledger == {*KEPT, "simulated.json"}
    original = contents(made.paths.root)
    assert {name: original[name] for name in KEPT} == {name: restored[name] for name in KEPT}
    paths = DataPaths(into)
    assert read_lake(paths.lake(DAY, INDEX)).equals(rows)
    assert account_day(Day(replace(made.site, paths=paths), DAY, INDEX)).day == account
    assert simulated_days(paths) == {DAY: Simulated("modelled", 7)}
    versions = {one.path: one.schema_version for one in manifest.files}
    assert versions[f"lake/options/{INDEX}/{DAY}.parquet"] == OPTIONS_VERSION
    assert versions[f"reports/{DAY}.html"] is None


def test_the_same_day_again_sends_nothing_and_a_changed_one_only_what_changed(
    made: MadeDay, stored: Settings, rules: MarketRules, tmp_path: Path
) -> None:
    store = configured_store(stored)
    first = archive_day(store, replace(made.site, settings=stored), DAY)
    assert first.sent == len(first.manifest.files) + 1
    again = archive_day(store, replace(made.site, settings=stored), DAY)
    assert (again.sent, again.manifest) == (0, first.manifest)
    made.paths.report_of(DAY).write_text("drawn anew")
    changed = archive_day(store, replace(made.site, settings=stored), DAY)
    assert changed.sent == 2, "the page and the manifest"
    restore_day(store, DAY, tmp_path / "restored")
    assert DataPaths(tmp_path / "restored").report_of(DAY).read_text() == "drawn anew"


def test_csv_files_are_archived_when_they_are_asked_for(made: MadeDay, config: Path, rules: MarketRules) -> None:
    settings = load_settings(configured(config, csv=True))
    found = archive_day(configured_store(settings), replace(made.site, settings=settings), DAY)
    names = {one.path for one in found.manifest.files if one.path.startswith("csv/")}
    assert names == {f"csv/options/{INDEX}/this_week/0/{DAY}.csv", f"csv/overview/{INDEX}/this_week/0/{DAY}.csv"}


def test_the_bucket_holds_objects_by_their_hash_and_the_manifest(
    made: MadeDay, stored: Settings, rules: MarketRules
) -> None:
    assert stored.archive is not None
    found = archive_day(configured_store(stored), replace(made.site, settings=stored), DAY)
    if stored.archive.url.startswith("http"):
        keys = {f"days/{DAY}/{one.object}" for one in found.manifest.files} | {f"days/{DAY}/manifest.json"}
        assert set(bucket_keys(stored.archive.url, stored.archive.bucket)) == keys
    assert all(one.object.startswith(one.sha256[:16]) for one in found.manifest.files)


class Failing:
    """A store that ends at the n-th object it is given, or keeps it otherwise than it was sent."""

    def __init__(self, store: ObjectStore, good: int, damage: bool) -> None:
        self.label, self._store, self._good, self._damage = store.label, store, good, damage

    def put(self, key: str, data: bytes) -> None:
        self._good -= 1
        if self._good < 0 and not self._damage:
            raise StoreDown("gone")
        self._store.put(key, data[:-1] if self._good < 0 else data)

    def get(self, key: str) -> bytes | None:
        return self._store.get(key)


@pytest.mark.parametrize("damage", [False, True], ids=["ends", "damages"])
def test_an_archive_that_fails_at_any_object_has_no_manifest_and_is_finished_later(
    made: MadeDay, config: Path, rules: MarketRules, damage: bool, tmp_path: Path
) -> None:
    settings = load_settings(config)
    for good in (1, 15):
        store = FolderStore(tmp_path / f"archive-{good}")
        with pytest.raises(StoreDown):
            archive_day(Failing(store, good, damage), replace(made.site, settings=settings), DAY)
        assert read_manifest(store, DAY) is None
        with pytest.raises(DataError, match="is not archived"):
            restore_day(store, DAY, tmp_path / "nowhere")
        found = archive_day(store, replace(made.site, settings=settings), DAY)
        assert damaged_objects(store, found.manifest) == []


def test_damage_in_the_archive_is_named_and_mended(
    made: MadeDay, config: Path, rules: MarketRules, tmp_path: Path
) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    found = archive_day(store, replace(made.site, settings=settings), DAY)
    hurt = next(one for one in found.manifest.files if one.path.startswith("lake/options"))
    store.put(f"{DAY}/{hurt.object}", b"short")
    assert damaged_objects(store, found.manifest) == [hurt.path]
    with pytest.raises(DataError, match="missing or damaged; archive the day again"):
        restore_day(store, DAY, tmp_path / "restored")
    assert archive_day(store, replace(made.site, settings=settings), DAY).sent == 1
    manifest = store.get(f"{DAY}/manifest.json")
    assert manifest is not None
    store.put(f"{DAY}/manifest.json", manifest.replace(b'"complete": true', b'"complete": false'))
    with pytest.raises(DataError, match="the manifest does not match its sha256"):
        restore_day(store, DAY, tmp_path / "restored")
    store.put(f"{DAY}/manifest.json", b"[]")
    with pytest.raises(DataError, match="not a manifest"):
        read_manifest(store, DAY)


def test_what_lies_in_the_way_is_not_overwritten(
    made: MadeDay, config: Path, rules: MarketRules, tmp_path: Path
) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    archive_day(store, replace(made.site, settings=settings), DAY)
    manifest, restored = restore_day(store, DAY, made.paths.root)
    assert restored == sum(one.path.startswith("ledger/") for one in manifest.files), "all else is there already"
    other = DataPaths(tmp_path / "other")
    other.report_of(DAY).parent.mkdir(parents=True)
    other.report_of(DAY).write_text("another page")
    with pytest.raises(DataError, match="is there already and not what was archived"):
        restore_day(store, DAY, other.root)
    assert contents(other.root) == {f"reports/{DAY}.html": b"another page"}
    hidden = DataPaths(tmp_path / "hidden")
    with Lake.open(hidden.lake(DAY, INDEX), OPTION_COLUMNS):
        pass
    with pytest.raises(DataError, match="would hide what is restored"):
        restore_day(store, DAY, hidden.root)


def test_an_incomplete_day_is_archived_and_said_to_be_incomplete(
    made: MadeDay, config: Path, rules: MarketRules
) -> None:
    made.paths.lake(DAY, INDEX).unlink()
    made.collect(
        status=lambda minute, offset: RowStatus.MISSING if minute == 9 else RowStatus.LIVE, spot=lambda _: 24_512.35
    )
    settings = load_settings(config)
    found = archive_day(configured_store(settings), replace(made.site, settings=settings), DAY)
    assert not found.manifest.complete
    assert "NOT COMPLETE" in found.line()


def test_a_day_under_way_a_living_collector_and_nothing_at_all_are_refused(
    made: MadeDay, config: Path, rules: MarketRules
) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    with pytest.raises(DataError, match="2025-08-29 is not over; archive it after 15:30"):
        require_over(made.site, DAY, made.at(374))
    require_over(made.site, DAY, made.at(375))
    with Lake.open(made.paths.lake(DAY, INDEX), OPTION_COLUMNS), pytest.raises(DataError, match="stop the other"):
        archive_day(store, replace(made.site, settings=settings), DAY)
    with pytest.raises(DataError, match="nothing was collected on 2025-09-01"):
        archive_day(store, replace(made.site, settings=settings), NEXT_DAY)
    with pytest.raises(ConfigError, match="turn the archive on"):
        configured_store(load_settings(PROJECT / "config"))


def test_a_compacted_day_without_stream_is_archived_just_the_same(
    made: MadeDay, config: Path, rules: MarketRules
) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    first = archive_day(store, replace(made.site, settings=settings), DAY)
    cycles = list(lake_cycles(made.paths.lake(DAY, INDEX)))
    compact_lake(made.paths.lake(DAY, INDEX), drop_stream=True)
    assert archive_day(store, replace(made.site, settings=settings), DAY).manifest == first.manifest
    assert list(lake_cycles(made.paths.lake(DAY, INDEX))) == cycles
    assert parquet_of(made.paths.lake(DAY, INDEX)).exists()


def test_the_commands_archive_and_restore_over_sockets(
    made: MadeDay, config: Path, s3_address: str, tmp_path: Path
) -> None:
    make_bucket(s3_address, "by-command")
    configured(config, url=s3_address, bucket="by-command", region="us-east-1")
    keys = {KEY_VARIABLE: S3_KEY, SECRET_VARIABLE: S3_SECRET}
    options = ("--date", DAY, "--config-dir", config)
    done = g6("data", "archive", *options, "--data-dir", made.paths.root, environment=keys)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{DAY}: complete, " in done.stdout
    done = g6("data", "restore", *options, "--into", tmp_path / "restored", "--json", environment=keys)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["restored"] == len(found["files"])
    without = {**keys, SECRET_VARIABLE: ""}
    refused = g6("data", "archive", *options, "--data-dir", made.paths.root, environment=without)
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1
    assert SECRET_VARIABLE in refused.stderr


def test_a_store_is_opened_from_the_settings_alone(config: Path, tmp_path: Path) -> None:
    settings = load_settings(config)
    assert settings.archive is not None
    assert open_store(settings.archive).label == str(tmp_path / "archive" / "g6-archive" / "days")


def test_the_archived_ledger_is_the_one_the_installation_writes_to(
    made: MadeDay, settings: Settings, rules: MarketRules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.paths.ledger.unlink(missing_ok=True)
    Ledger.open(tmp_path / "elsewhere.sqlite").close()
    store = FolderStore(tmp_path / "archive")
    without = archive_day(store, replace(made.site, settings=settings), DAY).manifest
    assert not any(one.path.startswith("ledger/") for one in without.files), "there is none"
    monkeypatch.setenv("G6_LEDGER_URL", f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    named = archive_day(store, replace(made.site, settings=settings), DAY).manifest
    assert any(one.path == f"ledger/{DAY}/trades.csv" for one in named.files)
    monkeypatch.setenv("G6_LEDGER_URL", f"sqlite:///{tmp_path}/nowhere/ledger.sqlite")
    with pytest.raises((DataError, StoreDown)):
        archive_day(store, replace(made.site, settings=settings), DAY)
    assert not made.paths.ledger.exists(), "and no empty one is made beside it"
