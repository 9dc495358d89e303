"""A simulated day is made from nothing: neither journal nor paper account of an earlier run stays."""

from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.world import Simulated, claim_day
from g6_core.domain.errors import DataError
from g6_core.schema.paths import DataPaths

DAY = date(2025, 8, 29)


def test_a_simulated_day_made_again_loses_its_journal_and_paper_account(tmp_path: Path) -> None:
    paths, made = DataPaths(tmp_path), Simulated("modelled", 7)
    left = (paths.journal(DAY), paths.paper_account(DAY))
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_text("of an earlier run")
    with pytest.raises(DataError, match="holds a journal of 2025-08-29 that no simulated day wrote"):
        claim_day(paths, DAY, made, ("NIFTY",))
    assert all(path.exists() for path in left)
    left[0].unlink()
    claim_day(paths, DAY, made, ("NIFTY",))
    left[0].write_text("of an earlier run")
    left[1].write_text("of an earlier run")
    claim_day(paths, DAY, made, ("NIFTY",))
    assert not any(path.exists() for path in left)
