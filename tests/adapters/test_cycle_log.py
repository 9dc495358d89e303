"""The log of cycles: what was noted reads back, the last word counts, and a torn line is none."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.cycle_log import cycle_facts, note_cycles
from g6_core.domain.errors import DataError
from g6_core.schema.cycles import CycleFact
from g6_core.schema.paths import DataPaths

DAY = date(2025, 8, 29)
FACT = CycleFact(1_000, 1_010, 2_500, 2, 0, ("quote: 503",))


def test_cycles_are_known_by_index_and_time_and_the_last_word_counts(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    assert cycle_facts(paths, DAY, "NIFTY") == {}
    later, again = replace(FACT, time_ms=2_000), replace(FACT, calls=9, reasons=())
    for name, fact in (("NIFTY", FACT), ("BANKNIFTY", FACT), ("NIFTY", later), ("NIFTY", again)):
        note_cycles(paths, DAY, name, [fact])
    assert cycle_facts(paths, DAY, "NIFTY") == {1_000: again, 2_000: later}
    assert cycle_facts(paths, DAY, "BANKNIFTY") == {1_000: FACT}
    assert cycle_facts(paths, DAY, "SENSEX") == {}


@pytest.mark.parametrize("kept", range(1, 40, 7))
def test_a_torn_line_costs_only_itself(tmp_path: Path, kept: int) -> None:
    paths = DataPaths(tmp_path)
    note_cycles(paths, DAY, "NIFTY", [FACT])
    whole = paths.cycle_log(DAY, "NIFTY").read_bytes()
    paths.cycle_log(DAY, "NIFTY").write_bytes(whole + whole[:kept])
    later = replace(FACT, time_ms=2_000)
    note_cycles(paths, DAY, "NIFTY", [later])
    assert cycle_facts(paths, DAY, "NIFTY") == {1_000: FACT, 2_000: later}


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*: .*; make the data directory writable"):
        note_cycles(DataPaths(tmp_path), DAY, "NIFTY", [FACT])
