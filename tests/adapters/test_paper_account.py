"""The paper account on disk: what was saved comes back, what was cut or changed or is another's is refused."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.journal import Journal
from g6_core.adapters.paper_account import PaperAccountFile, paper_books
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.schema.journal import Header
from g6_core.schema.paths import DataPaths
from g6_core.sim.books import Books
from tests.sim.kit import LOT, bench

HEADER = Header("2025-08-29", "c" * 64, "d" * 64, "paper kite")


@pytest.fixture(scope="module")
def books(rules: MarketRules) -> Books:
    """A bought lot, its resting stop, and an order on its way."""
    desk = bench(rules)
    desk.bought()
    desk.place("SELL", order_type="SL", price=70, trigger_price=72, tag="STOP")
    desk.wait()
    desk.place(price=90)
    return desk.exchange.books()


@pytest.fixture
def kept(tmp_path: Path) -> PaperAccountFile:
    return PaperAccountFile(tmp_path / "state" / "paper" / "2025-08-29.json", HEADER)


def test_what_was_saved_last_comes_back(kept: PaperAccountFile, books: Books) -> None:
    assert kept.load() is None
    kept.save(replace(books, orders=books.orders[:1]))
    kept.save(books)
    assert kept.load() == books
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]
    first = kept.path.read_bytes()
    kept.save(books)
    assert kept.path.read_bytes() == first


def test_a_death_while_it_is_written_leaves_the_account_of_before(kept: PaperAccountFile, books: Books) -> None:
    kept.save(books)
    whole = kept.path.read_bytes()
    half = kept.path.with_name(f"{kept.path.name}.tmp")
    for size in range(0, len(whole), 97):
        half.write_bytes(whole[:size])
        assert kept.load() == books
    kept.save(books)
    assert kept.load() == books
    assert not half.exists()


def test_cut_at_any_byte_it_is_refused_in_one_line(kept: PaperAccountFile, books: Books) -> None:
    kept.save(books)
    for size in reversed(range(kept.path.stat().st_size)):
        os.truncate(kept.path, size)
        with pytest.raises(DataError, match="move it and the journal away to begin the paper day anew") as refusal:
            kept.load()
        assert "\n" not in str(refusal.value), size


def test_a_changed_byte_is_refused(kept: PaperAccountFile, books: Books) -> None:
    kept.save(books)
    whole = kept.path.read_bytes()
    with kept.path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ 1]), place)
            with pytest.raises(DataError, match=str(kept.path)):
                kept.load()
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert kept.load() == books


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text.replace(b'"version":1', b'"version":2'), "paper account version 2, this program reads 1"),
        (lambda _: b"", "not a paper account, or damaged"),
        (lambda _: b"{}\n", "not a paper account, or damaged"),
        (lambda _: b"[]\n", "not a paper account, or damaged"),
        (lambda _: b"7\n", "not a paper account, or damaged"),
        (lambda _: b"\xff\xfe\n", "not a paper account, or damaged"),
        (lambda text: text + b"more\n", "does not match its sha256, it was damaged"),
    ],
)
def test_what_is_no_account_of_ours_is_refused(
    kept: PaperAccountFile, books: Books, spoil: Callable[[bytes], bytes], says: str
) -> None:
    kept.save(books)
    kept.path.write_bytes(spoil(kept.path.read_bytes()))
    with pytest.raises(DataError, match=says):
        kept.load()


@pytest.mark.parametrize(
    "other",
    [
        replace(HEADER, trade_date="2025-08-28"),
        replace(HEADER, config_sha256="e" * 64),
        replace(HEADER, day_pack_sha256="e" * 64),
        replace(HEADER, money="paper sim"),
    ],
)
def test_an_account_of_another_day_is_not_used(kept: PaperAccountFile, books: Books, other: Header) -> None:
    PaperAccountFile(kept.path, other).save(books)
    with pytest.raises(DataError, match="the paper account of another day, broker, configuration or day pack; move it"):
        kept.load()


def test_the_evening_reads_it_as_a_broker_on_a_day_on_paper_only(tmp_path: Path, books: Books) -> None:
    paths, day = DataPaths(tmp_path), date(2025, 8, 29)
    assert paper_books(paths, day) is None, "nothing was traded"
    for header, on_paper in ((replace(HEADER, money="broker sim"), False), (HEADER, True)):
        paths.journal(day).unlink(missing_ok=True)
        Journal.open(paths.journal(day), header)[0].close()
        assert (paper_books(paths, day) is not None) == on_paper
    found = paper_books(paths, day)
    assert found is not None and (found.orders(), found.trades(), found.positions()["net"]) == ([], [], [])
    PaperAccountFile(paths.paper_account(day), HEADER).save(books)
    found = paper_books(paths, day)
    assert found is not None
    assert [row["tag"] for row in found.orders()] == [None, "STOP", None]
    assert [row["quantity"] for row in found.trades()] == [LOT]
    assert [row["quantity"] for row in found.positions()["net"]] == [LOT]


def test_what_cannot_be_read_or_written_is_one_line(kept: PaperAccountFile, books: Books) -> None:
    kept.path.mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be read"):
        kept.load()
    kept.path.rmdir()
    kept.path.parent.rmdir()
    kept.path.parent.write_text("")
    with pytest.raises(DataError, match="cannot write"):
        kept.save(books)
