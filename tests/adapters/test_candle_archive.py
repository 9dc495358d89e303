"""The archive of the broker's candles: what was answered stays, and a changed answer is found."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from g6_core.adapters.candle_archive import CandleArchive, Question, damaged_answers, read_answers
from g6_core.adapters.kite_history import Candle
from g6_core.domain.errors import DataError
from g6_core.schema.accounting import NOT_RECORDED

QUESTION = Question("NIFTY2590224500CE", 256, 0, 120_000)
CANDLES = (Candle(0, 10.0, 12.0, 9.0, 11.0, 75, 900), Candle(60_000, 11.0, 11.0, 11.0, 11.0, 0, None))


def kept(path: Path, *answers: tuple[Question, tuple[Candle, ...]], asked_ms: int = 1_000) -> pl.DataFrame:
    with CandleArchive.open(path) as archive:
        for question, candles in answers:
            archive.add([(question, candles, "sim")], asked_ms)
    return read_answers(path)


def test_answers_come_back_as_they_were_given_an_empty_one_included(tmp_path: Path) -> None:
    other = replace(QUESTION, symbol="NIFTY2590224500PE")
    found = kept(tmp_path / "a.arrows", (QUESTION, CANDLES), (other, ()))
    assert found["symbol"].to_list() == [QUESTION.symbol, QUESTION.symbol, other.symbol]
    assert found["open"].to_list() == [10.0, 11.0, None] and found["oi"].to_list() == [900, None, None]
    assert found["timestamp"].null_count() == 1
    assert damaged_answers(found) == []


def test_no_file_is_no_answer(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none.arrows").is_empty()


def test_the_hash_is_of_the_answer_and_not_of_its_time(tmp_path: Path) -> None:
    early = kept(tmp_path / "a" / "a.arrows", (QUESTION, CANDLES), asked_ms=1_000)
    late = kept(tmp_path / "b" / "b.arrows", (QUESTION, CANDLES), asked_ms=2_000)
    other = kept(tmp_path / "c" / "c.arrows", (QUESTION, CANDLES[:1]))
    assert early["answer_sha256"][0] == late["answer_sha256"][0] != other["answer_sha256"][0]


@pytest.mark.parametrize(
    "change",
    [pl.col("close") + 0.05, pl.col("oi") + 75, pl.col("volume") + 1, pl.col("token") + 1, pl.col("timestamp").shift()],
)
def test_an_answer_that_was_changed_is_named(tmp_path: Path, change: pl.Expr) -> None:
    found = kept(tmp_path / "a.arrows", (QUESTION, CANDLES))
    assert damaged_answers(found.with_columns(change)) == [QUESTION.symbol]


def test_a_torn_answer_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    kept(path, (QUESTION, CANDLES), (replace(QUESTION, symbol="NIFTY2590224500PE"), CANDLES))
    path.write_bytes(path.read_bytes()[:-9])
    assert read_answers(path)["symbol"].unique().to_list() == [QUESTION.symbol]
    with CandleArchive.open(path) as archive:
        archive.add([(replace(QUESTION, symbol="NIFTY2590224550CE"), (), "sim")], 2_000)
    assert read_answers(path)["symbol"].unique(maintain_order=True).to_list() == [QUESTION.symbol, "NIFTY2590224550CE"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    path.write_bytes(b"timestamp,open\n")
    with pytest.raises(DataError, match="not a lake file"):
        CandleArchive.open(path)


def test_no_recording_is_another_answer_than_no_trade(tmp_path: Path) -> None:
    with CandleArchive.open(tmp_path / "a.arrows") as archive:
        archive.add([(QUESTION, (), "sim"), (QUESTION, (), NOT_RECORDED), (QUESTION, (), "kite")], 1_000)
    found = read_answers(tmp_path / "a.arrows")
    assert found["origin"].to_list() == ["sim", NOT_RECORDED] and damaged_answers(found) == []
    changed = found.with_columns(origin=pl.lit("sim"))
    assert damaged_answers(changed) == [QUESTION.symbol], "it cannot be made a silence afterwards"
