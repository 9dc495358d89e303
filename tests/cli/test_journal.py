"""`g6 journal` says which journal it means, and what is wrong in one line with the fix."""

from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.journal import Journal
from g6_core.cli.journal import KINDS, journal_of
from g6_core.domain.errors import DataError, UserError
from g6_core.schema.journal import Header
from tests.command_line import g6

MONDAY, TUESDAY, WEDNESDAY = date(2026, 11, 16), date(2026, 11, 17), date(2026, 11, 18)


def folder(tmp_path: Path, *days: date) -> Path:
    (tmp_path / "journal").mkdir()
    for day in days:
        (tmp_path / "journal" / f"{day}.g6j").touch()
    return tmp_path


def test_the_only_journal_needs_no_date(tmp_path: Path) -> None:
    found = folder(tmp_path, MONDAY)
    assert journal_of(found, None) == (MONDAY, found / "journal" / "2026-11-16.g6j")
    assert journal_of(found, MONDAY) == journal_of(found, None)


def test_one_of_several_is_named_by_its_date(tmp_path: Path) -> None:
    found = folder(tmp_path, MONDAY, WEDNESDAY)
    assert journal_of(found, WEDNESDAY)[0] == WEDNESDAY
    with pytest.raises(UserError, match=r"2 journals, 2026-11-16 to 2026-11-18; .* --date 2026-11-18"):
        journal_of(found, None)
    with pytest.raises(DataError, match="no journal of 2026-11-17; there is"):
        journal_of(found, TUESDAY)


@pytest.mark.parametrize("command", ["verify", "replay", "show"])
def test_without_a_journal_the_fix_is_a_command_that_works(command: str, tmp_path: Path) -> None:
    ended = g6("journal", command, "--data-dir", tmp_path / "none")
    assert ended.returncode == 4
    assert f"g6 day --source modelled --data-dir {tmp_path / 'none'}`" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_an_unknown_kind_is_refused_with_the_nearest_or_all(tmp_path: Path) -> None:
    ended = g6("journal", "show", "--data-dir", tmp_path, "--kind", "comand")
    assert (ended.returncode, ended.stderr) == (2, "g6: --kind comand: no such kind; did you mean command?\n")
    ended = g6("journal", "show", "--data-dir", tmp_path, "--kind", "xyz")
    assert all(kind in ended.stderr for kind in KINDS)


def test_a_journal_of_another_engine_is_not_said_to_differ(tmp_path: Path) -> None:
    header = Header(str(MONDAY), "c" * 64, "d" * 64, "broker sim", "g6-1")
    Journal.open(tmp_path / "journal" / f"{MONDAY}.g6j", header)[0].close()
    ended = g6("journal", "replay", "--data-dir", tmp_path)
    assert ended.returncode == 4
    assert "made by engine g6-1" in ended.stderr and "with the release that made it" in ended.stderr
