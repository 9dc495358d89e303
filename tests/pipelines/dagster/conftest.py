"""Fixtures of the Dagster tests: an empty instance and a narrow installation, no simulated exchange asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from g6_pipelines.resources import G6Resource
from tests.conftest import Baked
from tests.pipelines.dagster.kit import (
    BANKNIFTY,
    NIFTY,
    Installation,
    Made,
    narrow_config,
    remembered,
    runs_of,
    without_exchange,
)


@pytest.fixture(autouse=True)
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    without_exchange(monkeypatch)


@pytest.fixture(scope="session")
def narrow(config_dir: Path, baked: Baked) -> Path:
    return baked("narrow", lambda folder: narrow_config(config_dir, folder / "config")) / "config"


@pytest.fixture(scope="session")
def made(narrow: Path, baked: Baked) -> Iterator[Made]:
    """A sound day of two indices, one run a phase, as the schedules start them. Tests that damage it copy it."""

    def installed(folder: Path, instance: dg.DagsterInstance) -> Installation:
        return Installation(G6Resource(data_dir=str(folder / "data"), config_dir=str(narrow)), instance)

    def bake(folder: Path) -> None:
        with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
            without_exchange(patch)
            installed(folder, instance).day(NIFTY, BANKNIFTY)
            (folder / "runs").write_bytes(runs_of(instance))

    folder = baked("dagster_day", bake)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Made(installed(folder, instance), remembered(instance, (folder / "runs").read_bytes()))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def installation(narrow: Path, instance: dg.DagsterInstance, tmp_path: Path) -> Installation:
    return Installation(G6Resource(data_dir=str(tmp_path / "data"), config_dir=str(narrow)), instance)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Installation:
    """The data of the day that has run, to be damaged."""
    sound = made.installation
    shutil.copytree(sound.paths.root, tmp_path / "data")
    g6 = G6Resource(data_dir=str(tmp_path / "data"), config_dir=sound.g6.config_dir)
    return Installation(g6, sound.instance)
