"""A simulated day is made from nothing, a real one is never touched by a simulated market."""

from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.world import Simulated, claim_day, claim_quotes, clear_collected, mark_simulated
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


MADE, OTHER = Simulated("modelled", 7), Simulated("modelled", 8)
KEPT = ["lake", "closing", "answers", "repaired", "expired"]


def put(paths: DataPaths, kind: str) -> Path:
    """Something of the day."""
    path = getattr(paths, kind)(*(("NIFTY", DAY) if kind == "expired" else (DAY, "NIFTY")))
    if kind == "expired":
        path /= "answers.arrows"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("of a real broker")
    return path


@pytest.mark.parametrize("kind", KEPT)
def test_whatever_a_real_broker_told_of_a_day_is_never_cleared(tmp_path: Path, kind: str) -> None:
    """A day that was only backfilled or captured has no lake."""
    paths = DataPaths(tmp_path)
    path = put(paths, kind)
    with pytest.raises(DataError, match="from a real market, a simulated day must not replace it"):
        clear_collected(paths, DAY, ("NIFTY",), MADE)
    assert path.read_text() == "of a real broker" and not paths.simulated.exists()
    mark_simulated(paths, DAY, MADE)
    clear_collected(paths, DAY, ("NIFTY",), MADE)
    assert not path.exists()


@pytest.mark.parametrize(
    ("known", "made", "refused"),
    [
        (None, None, ""),
        (MADE, MADE, ""),
        (None, MADE, "is from a real market; quotes of modelled, seed 7 must not continue it"),
        (MADE, None, "is from modelled, seed 7; quotes of a real market must not continue it"),
        (MADE, OTHER, "seed 8 must not continue it"),
    ],
)
def test_a_day_is_collected_from_one_market(tmp_path: Path, known, made, refused: str) -> None:
    paths = DataPaths(tmp_path)
    put(paths, "lake")
    if known is not None:
        mark_simulated(paths, DAY, known)
    if not refused:
        claim_quotes(paths, DAY, ("NIFTY",), made)
        return
    with pytest.raises(DataError, match=refused):
        claim_quotes(paths, DAY, ("NIFTY",), made)
