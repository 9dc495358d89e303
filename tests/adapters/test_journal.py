"""The journal: cut anywhere it heals, changed anywhere it is refused, continued it verifies."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from g6_core.adapters.journal import Journal, file_sha256, inspect, read_header, read_journal
from g6_core.domain.errors import DataError
from g6_core.domain.events import Operator, OperatorAction, Second
from g6_core.schema.journal import HASH_BYTES, PREFIX, RECORD, VERSION, Header, Kind, encode_event

HEADER = Header("2025-08-29", "c" * 8, "d" * 8, "broker sim")
EVENTS = (
    Second(1_000),
    Operator(2_000, OperatorAction.ARM, "in a test"),
    Second(3_000),
    Operator(4_000, OperatorAction.PAUSE, "enough"),
)


def _write(path: Path, count: int = len(EVENTS)) -> list[int]:
    """A journal of the first events; the file's length after the header and after each record."""
    journal, _ = Journal.open(path, HEADER)
    ends = [path.stat().st_size]
    for event in EVENTS[:count]:
        kind, payload = encode_event(event)
        journal.append(kind, event.time_ms, payload)
        journal.flush()
        ends.append(path.stat().st_size)
    journal.close()
    return ends


def test_a_cut_at_every_byte_heals_to_the_last_whole_record_and_can_be_continued(tmp_path: Path) -> None:
    whole = tmp_path / "whole.g6j"
    ends = _write(whole)
    content = whole.read_bytes()
    path = tmp_path / "cut.g6j"
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        kept = max([number for number, end in enumerate(ends) if end <= size], default=0)
        torn = size - ends[kept] if size >= ends[0] else size
        assert [record.sequence for record in (read_journal(path) if size >= ends[0] else ())] == list(
            range(1, kept + 1)
        )
        journal, healing = Journal.open(path, HEADER)
        assert (healing.records, healing.dropped_bytes) == (kept, torn)
        assert ("torn tail" in str(healing)) == (torn > 0)
        journal.append(Kind.CHECKPOINT, 9_000, b"continued")
        journal.close()
        assert [record.sequence for record in read_journal(path)] == list(range(1, kept + 2))
        assert path.read_bytes()[: ends[kept]] == content[: ends[kept]]


def test_a_flipped_bit_anywhere_before_the_last_record_is_refused_and_nothing_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "day.g6j"
    ends = _write(path)
    content = path.read_bytes()
    for place in range(ends[-2]):
        for bit in (1, 128):
            changed = bytearray(content)
            changed[place] ^= bit
            path.write_bytes(changed)
            with pytest.raises(DataError) as refused:
                Journal.open(path, HEADER)
            assert path.read_bytes() == bytes(changed), f"byte {place} was changed and the file was cut"
            if place >= ends[0]:
                number = next(number for number, end in enumerate(ends) if place < end)
                assert f"record {number} at byte {ends[number - 1]}" in str(refused.value)
            with pytest.raises(DataError):
                list(read_journal(path))


def test_a_changed_last_record_counts_as_a_torn_write_and_is_said(tmp_path: Path) -> None:
    path = tmp_path / "day.g6j"
    ends = _write(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert (inspect(path).records, inspect(path).dropped_bytes) == (3, ends[4] - ends[3])
    journal, healing = Journal.open(path, HEADER)
    journal.close()
    assert str(healing) == f"journal healed: 3 whole records kept, a torn tail of {ends[4] - ends[3]} bytes cut off"
    assert path.stat().st_size == ends[3]


def test_the_chain_is_sha256_of_the_hash_before_and_the_record(tmp_path: Path) -> None:
    path = tmp_path / "day.g6j"
    _write(path, 1)
    body = (
        b'{"trade_date":"2025-08-29","config_sha256":"cccccccc","day_pack_sha256":"dddddddd","money":"broker sim",'
        b'"engine":"g6-2"}'
    )
    head = b"G6JOURNAL" + (3).to_bytes(2, "little") + len(body).to_bytes(4, "little") + body
    first = hashlib.sha256(head).digest()
    payload = bytes.fromhex("81a774696d655f6d73cd03e8")
    record = (
        len(payload).to_bytes(4, "little")
        + (2).to_bytes(2, "little")
        + (1).to_bytes(8, "little")
        + (1_000).to_bytes(8, "little")
        + payload
    )
    assert path.read_bytes() == head + first + record + hashlib.sha256(first + record).digest()
    assert file_sha256(path) == "1150aca1ef53f59bf0723f0a9c55493b38fe7ff9ca669bf2992fef4006cfecf0"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"PAR1 something else entirely", "not a G6 journal", id="foreign file"),
        pytest.param(b"G6X", "not a G6 journal", id="short foreign file"),
        pytest.param(
            PREFIX.pack(b"G6JOURNAL", 2, 3) + b"{}\n", "journal version 2, this program reads 3", id="version"
        ),
        pytest.param(PREFIX.pack(b"G6JOURNAL", VERSION, 1 << 31), "the header was changed", id="header length"),
        pytest.param(
            PREFIX.pack(b"G6JOURNAL", VERSION, 90) + b'{"trade_date":"2024', "another day", id="other cut header"
        ),
    ],
)
def test_what_is_no_journal_of_this_day_is_refused_and_left_alone(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "day.g6j"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as refused:
        Journal.open(path, HEADER)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "other",
    [
        Header("2025-09-01", HEADER.config_sha256, HEADER.day_pack_sha256, HEADER.money),
        Header(HEADER.trade_date, "e" * 8, HEADER.day_pack_sha256, HEADER.money),
        Header(HEADER.trade_date, HEADER.config_sha256, "e" * 8, HEADER.money),
    ],
    ids=["day", "config", "day pack"],
)
def test_a_journal_is_not_continued_under_another(tmp_path: Path, other: Header) -> None:
    path = tmp_path / "day.g6j"
    _write(path)
    content = path.read_bytes()
    with pytest.raises(DataError, match="belongs to another day, configuration or day pack"):
        Journal.open(path, other)
    assert path.read_bytes() == content


def test_a_day_of_real_orders_is_not_continued_with_paper_money(tmp_path: Path) -> None:
    path = tmp_path / "day.g6j"
    _write(path)
    content = path.read_bytes()
    paper = Header(HEADER.trade_date, HEADER.config_sha256, HEADER.day_pack_sha256, "paper kite")
    with pytest.raises(DataError, match="this day was begun with 'broker sim' orders, not 'paper kite'"):
        Journal.open(path, paper)
    assert path.read_bytes() == content


def _sealed(head: bytes, chain: bytes, payload: bytes = b"") -> bytes:
    return head + payload + hashlib.sha256(chain + head + payload).digest()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        pytest.param(RECORD.pack(0, 99, 1, 0), r"of a kind \(99\)", id="unknown kind"),
        pytest.param(RECORD.pack(0, Kind.CHECKPOINT, 2, 0), "breaks the hash chain", id="gap in the sequence"),
    ],
)
def test_a_well_hashed_record_that_cannot_be_is_refused(tmp_path: Path, head: bytes, words: str) -> None:
    path = tmp_path / "day.g6j"
    _write(path, 0)
    start = path.read_bytes()
    first = _sealed(head, start[-HASH_BYTES:])
    path.write_bytes(start + first + _sealed(RECORD.pack(0, Kind.CHECKPOINT, 2, 0), first[-HASH_BYTES:]))
    with pytest.raises(DataError, match=words):
        list(read_journal(path))


def test_a_header_of_other_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "day.g6j"
    start = PREFIX.pack(b"G6JOURNAL", VERSION, 7) + b'{"a":1}'
    path.write_bytes(start + hashlib.sha256(start).digest())
    with pytest.raises(DataError, match="header of another release"):
        read_header(path)


def test_a_journal_that_is_not_there_or_cannot_be_read_or_written_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "day.g6j"
    folder.mkdir()
    (tmp_path / "file").write_text("no folder")
    for path, words in ((folder, "cannot be read"), (tmp_path / "none.g6j", "no journal there")):
        for read in (lambda path: list(read_journal(path)), read_header, inspect):
            with pytest.raises(DataError, match=words):
                read(path)
    with pytest.raises(DataError, match="cannot be read"):
        Journal.open(folder, HEADER)
    with pytest.raises(DataError, match="cannot be written"):
        Journal.open(tmp_path / "file" / "day.g6j", HEADER)


def test_a_header_alone_reads_back_and_an_empty_folder_starts_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "day.g6j"
    _write(path, 0)
    assert read_header(path) == HEADER
    assert list(read_journal(path)) == []
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cut off inside its header"):
        read_header(path)


def test_a_day_that_another_engine_began_is_continued_so_that_what_is_held_can_be_sold(tmp_path: Path) -> None:
    path = tmp_path / "day.g6j"
    older = replace(HEADER, engine="g6-1")
    Journal.open(path, older)[0].close()
    journal, _ = Journal.open(path, HEADER)
    journal.close()
    assert read_header(path) == older
    with pytest.raises(DataError, match="another day"):
        Journal.open(path, replace(HEADER, config_sha256="other"))
    Journal.open(tmp_path / "later.g6j", replace(HEADER, engine="g6-9"))[0].close()
    with pytest.raises(DataError, match="another day"):
        Journal.open(tmp_path / "later.g6j", HEADER)
