"""A modelled day whose collector was dead for a while, after its close."""

from pathlib import Path

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.sim.modelled import ModelledSource
from tests.pipelines.collecting import narrowed
from tests.pipelines.evening import DAY, NAME, Evening, after_close, holed_day


@pytest.fixture(scope="session")
def market(rules: MarketRules) -> ModelledSource:
    return ModelledSource((NAME,), DAY, rules, 7)


@pytest.fixture(scope="session")
def small(settings: Settings) -> Settings:
    return narrowed(settings, codes=("this_week", "next_week"), offsets=(-1, 1), interval_s=300)


@pytest.fixture(scope="session")
def holed(
    market: ModelledSource, rules: MarketRules, small: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return holed_day(market, rules, small, tmp_path_factory.mktemp("holed"))


@pytest.fixture
def after(market: ModelledSource, rules: MarketRules, small: Settings, holed: Path, tmp_path: Path) -> Evening:
    """A copy of the day with holes, after its close."""
    return after_close(market, rules, small, holed, tmp_path / "data")
