"""The history of days: one point a day and source, and a source never sees the days of another."""

from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.history import HistoryPoint, IndexHistory, load_history, record_history
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import IvPoint, OiPoint

FIRST, SECOND, THIRD = date(2025, 8, 28), date(2025, 8, 29), date(2025, 9, 1)


def test_a_point_replaces_that_of_its_own_day_and_source_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history.json"
    record_history(path, {"NIFTY": HistoryPoint(SECOND, "kite", 9.5, 900)})
    record_history(
        path, {"NIFTY": HistoryPoint(FIRST, "kite", 8.0, 800), "SENSEX": HistoryPoint(FIRST, "kite", 10.0, 5)}
    )
    record_history(path, {"NIFTY": HistoryPoint(FIRST, "modelled", 30.0, 1)})
    record_history(path, {"NIFTY": HistoryPoint(FIRST, "kite", 8.5, 850)})
    found = load_history(path, "kite", before=THIRD)
    assert found["NIFTY"].iv == (IvPoint(FIRST, 8.5), IvPoint(SECOND, 9.5))
    assert found["NIFTY"].oi == (OiPoint(FIRST, 850), OiPoint(SECOND, 900))
    assert found["SENSEX"].iv == (IvPoint(FIRST, 10.0),)
    assert load_history(path, "modelled", before=THIRD)["NIFTY"].iv == (IvPoint(FIRST, 30.0),)
    assert load_history(path, "recorded", before=THIRD)["NIFTY"] == IndexHistory()
    assert load_history(path, "kite", before=SECOND)["NIFTY"].iv == (IvPoint(FIRST, 8.5),)


def test_what_is_not_known_of_a_day_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    record_history(path, {"NIFTY": HistoryPoint(FIRST, "kite", 8.5, None)})
    record_history(path, {"NIFTY": HistoryPoint(SECOND, "kite", None, 900)})
    found = load_history(path, "kite", before=THIRD)["NIFTY"]
    assert (found.iv, found.oi) == ((IvPoint(FIRST, 8.5),), (OiPoint(SECOND, 900),))


def test_no_file_is_no_history(tmp_path: Path) -> None:
    assert load_history(tmp_path / "none.json", "kite", before=THIRD) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"NIFTY": [["2025-08-29", 8.3]]}', "not a history of days"),
        (b"\xff", "not a history of days"),
        (b'{"version": 2, "indices": {}}', "version 2, this program reads 1"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "history.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_history(path, "kite", before=THIRD)
