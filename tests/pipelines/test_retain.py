"""Retention: only what is old enough goes, and never what the archive does not hold."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from g6_core.adapters.lake import Lake, lake_cycles, lake_exists
from g6_core.adapters.lake_parquet import parquet_of
from g6_core.adapters.object_store import ObjectStore
from g6_core.config import Settings, load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.schema.options import OPTION_COLUMNS, RowStatus
from g6_pipelines.stages.archive import archive_day, configured_store
from g6_pipelines.stages.retain import Kind, due, remove
from tests.command_line import g6
from tests.pipelines.conftest import WholeDay
from tests.pipelines.made_day import DAY, MadeDay

INDEX = "NIFTY"


@pytest.fixture
def made(tmp_path: Path, whole_day: WholeDay) -> MadeDay:
    found = whole_day(tmp_path / "data")
    for offset in (-1, 0):
        path = found.paths.csv_options(INDEX, "this_week", offset, DAY)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a view")
    return found


@pytest.fixture
def config(config_dir: Path, tmp_path: Path) -> Path:
    """Streams for 7 days, CSV files for 30, an archive in a folder."""
    target = tmp_path / "config"
    target.mkdir()
    for path in config_dir.iterdir():
        (target / path.name).symlink_to(path)
    document = yaml.safe_load((config_dir / "g6.yaml").read_text(encoding="utf-8"))
    document["archive"] |= {"enabled": True, "url": f"file://{tmp_path}/archive"}
    document["retention"] |= {"stream_days": 7, "csv_days": 30}
    (target / "g6.yaml").unlink()
    (target / "g6.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return target


def kept(made: MadeDay) -> tuple[bool, int]:
    """Whether the stream is there, and how many CSV files are."""
    return made.paths.lake(DAY, INDEX).exists(), len(list(made.paths.root.glob("csv/*/*/*/*/*.csv")))


@pytest.mark.parametrize(
    ("age", "kinds"),
    [(0, []), (7, []), (8, [Kind.STREAMS]), (30, [Kind.STREAMS]), (31, [Kind.CSV, Kind.STREAMS])],
)
def test_what_is_older_than_wanted_is_due_and_nothing_is_touched(
    made: MadeDay, config: Path, age: int, kinds: list[Kind]
) -> None:
    found = due(replace(made.site, settings=load_settings(config)), None, DAY + timedelta(days=age))
    assert [one.kind for one in found] == kinds
    assert kept(made) == (True, 2)


def test_null_keeps_for_ever(made: MadeDay, config: Path) -> None:
    file = config / "g6.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["retention"] = dict.fromkeys(document["retention"])
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert due(replace(made.site, settings=load_settings(config)), None, DAY + timedelta(days=3000)) == []


def clean(made: MadeDay, settings: Settings, store: ObjectStore | None) -> dict[Kind, str]:
    """Remove what is due after a year; why each kind was kept, empty when it went."""
    found = remove(made.paths, store, due(replace(made.site, settings=settings), store, DAY + timedelta(days=365)))
    return {one.kind: one.kept_because for one in found}


def test_an_archived_complete_day_loses_stream_and_csv_and_keeps_its_rows(
    made: MadeDay, config: Path, rules: MarketRules
) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    cycles = list(lake_cycles(made.paths.lake(DAY, INDEX)))
    archive_day(store, replace(made.site, settings=settings), DAY)
    assert clean(made, settings, store) == {Kind.CSV: "", Kind.STREAMS: ""}
    assert kept(made) == (False, 0)
    assert list(lake_cycles(made.paths.lake(DAY, INDEX))) == cycles
    assert clean(made, settings, store) == {}


def test_a_day_that_is_not_archived_stays(made: MadeDay, config: Path) -> None:
    settings = load_settings(config)
    for why in clean(made, settings, configured_store(settings)).values():
        assert f"g6 data archive --date {DAY} --data-dir " in why
    assert kept(made) == (True, 2)


def test_a_day_that_is_not_complete_in_the_archive_stays(made: MadeDay, config: Path, rules: MarketRules) -> None:
    made.paths.lake(DAY, INDEX).unlink()
    made.collect(
        status=lambda minute, _: RowStatus.MISSING if minute == 9 else RowStatus.LIVE, spot=lambda _: 24_512.35
    )
    settings = load_settings(config)
    store = configured_store(settings)
    archive_day(store, replace(made.site, settings=settings), DAY)
    assert set(clean(made, settings, store).values()) == {f"archived, but not complete: {INDEX}"}
    assert kept(made) == (True, 2)


def test_a_day_whose_archive_is_damaged_stays(made: MadeDay, config: Path, rules: MarketRules) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    one = archive_day(store, replace(made.site, settings=settings), DAY).manifest.files[0]
    store.put(f"{DAY}/{one.object}", b"damaged")
    assert set(clean(made, settings, store).values()) == {f"1 files of the archive are damaged, first {one.path}"}
    store.put(f"{DAY}/manifest.json", b"{}")
    assert all("not a manifest" in why for why in clean(made, settings, store).values())
    assert kept(made) == (True, 2)


def test_a_stream_that_grew_after_the_archive_stays(made: MadeDay, config: Path, rules: MarketRules) -> None:
    settings = load_settings(config)
    store = configured_store(settings)
    stream = made.paths.lake(DAY, INDEX)
    archive_day(store, replace(made.site, settings=settings), DAY)
    cells = next(iter(lake_cycles(stream)))
    with Lake.open(stream, OPTION_COLUMNS) as lake:
        lake.append(cells)
        assert "another process is collecting" in clean(made, settings, store)[Kind.STREAMS]
    assert "the archive has other rows" in clean(made, settings, store)[Kind.STREAMS]
    assert stream.exists()


def test_without_an_archive_a_stream_goes_when_its_rows_are_compacted(made: MadeDay, config: Path) -> None:
    assert clean(made, load_settings(config), None) == {Kind.CSV: "", Kind.STREAMS: ""}
    stream = made.paths.lake(DAY, INDEX)
    assert not stream.exists()
    assert lake_exists(stream)
    assert parquet_of(stream).exists()


def test_the_command_shows_what_it_would_remove_and_then_removes_it(
    made: MadeDay, config: Path, rules: MarketRules
) -> None:
    settings = load_settings(config)
    archive_day(configured_store(settings), replace(made.site, settings=settings), DAY)

    def retain(*more: str) -> str:
        done = g6("data", "retain", *more, "--data-dir", made.paths.root, "--config-dir", config)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    would = retain("--dry-run")
    assert f"{DAY} csv: 2 files, 12 bytes\n" in would
    assert kept(made) == (True, 2)
    assert retain().count(", removed\n") == 2
    assert kept(made) == (False, 0)
    assert retain() == "nothing is older than the configuration keeps\n"
