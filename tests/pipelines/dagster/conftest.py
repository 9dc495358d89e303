"""Fixtures of the Dagster tests: an empty instance and a narrow installation, no simulated exchange asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from g6_pipelines.resources import G6Resource
from tests.pipelines.dagster.kit import BANKNIFTY, NIFTY, Installation, Made, narrow_config, without_exchange


@pytest.fixture(autouse=True)
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    without_exchange(monkeypatch)


@pytest.fixture(scope="session")
def narrow(config_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return narrow_config(config_dir, tmp_path_factory.mktemp("narrow") / "config")


@pytest.fixture(scope="session")
def made(narrow: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A sound day of two indices, one run a phase, as the schedules start them. Tests that damage it copy it."""
    g6 = G6Resource(data_dir=str(tmp_path_factory.mktemp("made") / "data"), config_dir=str(narrow))
    with dg.DagsterInstance.ephemeral() as instance:
        installation = Installation(g6, instance)
        # Ends before the yield: other tests of the session must see the machine as it is.
        with pytest.MonkeyPatch.context() as patch:
            without_exchange(patch)
            runs = installation.day(NIFTY, BANKNIFTY)
        yield Made(installation, runs)


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
