"""A refused run takes its new folder away again; what was there before, and what has begun, stays."""

from pathlib import Path

import pytest

from g6_core.adapters.folders import first_missing, nothing_left_if_refused
from g6_core.domain.errors import DataError, UserError


def refused(folder: Path, error: Exception, *, begun: bool = False) -> None:
    with pytest.raises(type(error)), nothing_left_if_refused(folder) as has_begun:
        (folder / "logs").mkdir(parents=True)
        if begun:
            has_begun.set()
        raise error


def test_a_new_folder_goes_with_the_folders_above_it(tmp_path: Path) -> None:
    assert first_missing(tmp_path / "a" / "b") == tmp_path / "a"
    refused(tmp_path / "a" / "b", DataError("no such file"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays_with_everything_in_it(tmp_path: Path) -> None:
    assert first_missing(tmp_path) is None
    refused(tmp_path, UserError("no"))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


@pytest.mark.parametrize(("error", "begun"), [(UserError("later"), True), (ZeroDivisionError(), False)])
def test_what_has_begun_or_ended_by_a_bug_stays(error: Exception, begun: bool, tmp_path: Path) -> None:
    refused(tmp_path / "a", error, begun=begun)
    assert (tmp_path / "a" / "logs").exists()


def test_what_others_made_above_and_beside_it_meanwhile_stays(tmp_path: Path) -> None:
    folder, other = tmp_path / "runs" / "a", tmp_path / "runs" / "b" / "journal.g6j"
    with pytest.raises(UserError), nothing_left_if_refused(folder):
        other.parent.mkdir()
        other.touch()
        raise UserError("no exchange")
    assert not folder.exists()
    assert other.exists()
    with nothing_left_if_refused(folder):
        refused(folder, UserError("another run is at work here"))
        assert folder.exists()
