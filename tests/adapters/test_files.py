"""Files that are whole or not there, and one canonical JSON."""

import os
from datetime import date

import pytest

from g6_core.adapters.files import canonical_json, sha256_hex, write_all, write_atomic
from g6_core.domain.errors import DataError


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path) -> None:
    path = tmp_path / "new" / "state.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["state.json"]


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*state.json: .*; make the data directory writable"):
        write_atomic(tmp_path / "file" / "state.json", b"")


def test_equal_values_give_equal_json_whatever_their_order() -> None:
    assert canonical_json({"b": date(2025, 8, 29), "a": 1.0}) == b'{"a":1.0,"b":"2025-08-29"}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_write_that_the_system_cuts_short_is_continued() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        write_all(writer, bytes(10_000_000))
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert len(file.read()) > 4096
