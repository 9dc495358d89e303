"""A small made-up day that is whole, collected once in a run and copied by whoever needs one of his own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from tests.conftest import Baked
from tests.pipelines.made_day import SPOT, MadeDay, make_day

WholeDay = Callable[[Path], MadeDay]


@pytest.fixture(scope="session")
def whole_day(rules: MarketRules, settings: Settings, baked: Baked) -> WholeDay:
    """Makes the day in a folder: every minute live, and the spot always the same."""
    folder = baked("made_day", lambda root: make_day(root, rules, settings).collect(spot=lambda _: SPOT))

    def copied(root: Path) -> MadeDay:
        shutil.copytree(folder, root, dirs_exist_ok=True)
        return make_day(root, rules, settings)

    return copied
