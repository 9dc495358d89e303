"""The archive of the broker's candles: what was answered stays, and a changed answer is found."""

from dataclasses import astuple, replace
from pathlib import Path

import polars as pl
import pytest

from g6_core.adapters.candle_archive import CandleArchive, Question, damaged_answers, kept_answers, read_answers
from g6_core.adapters.files import canonical_json, sha256_hex
from g6_core.adapters.kite_history import Candle
from g6_core.adapters.lake import Lake
from g6_core.domain.errors import DataError
from g6_core.schema.accounting import ANSWER_COLUMNS, NOT_RECORDED

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
    assert damaged_answers(kept_answers(tmp_path / "a.arrows")) == []


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
    kept(tmp_path / "a.arrows", (QUESTION, CANDLES))
    found = kept_answers(tmp_path / "a.arrows")
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
    assert found["origin"].to_list() == ["sim", NOT_RECORDED]
    rows = kept_answers(tmp_path / "a.arrows")
    assert damaged_answers(rows) == []
    changed = rows.with_columns(origin=pl.lit("v2: sim"))
    assert damaged_answers(changed) == [QUESTION.symbol], "it cannot be made a silence afterwards"


def old(path: Path, question: Question, candles: tuple[Candle, ...], origin: str) -> None:
    """Append an answer as it was kept until version 1."""
    digest = sha256_hex(canonical_json([question, candles]))
    head = (1_000, origin, question.symbol, question.token, question.from_ms, question.to_ms, digest)
    with Lake.open(path, ANSWER_COLUMNS, 1) as lake:
        lake.append([(*head, *astuple(one)) for one in candles] or [(*head, *(None,) * 7)])


def test_an_old_answer_vouches_for_its_candles_only_and_is_kept_anew_when_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    old(path, QUESTION, CANDLES, "kite")
    old(path, replace(QUESTION, symbol="NIFTY2590224500PE"), (), "kite")
    old(path, replace(QUESTION, symbol="NIFTY2590224550CE"), CANDLES, "recorded, touch modelled 7")
    old(path, replace(QUESTION, symbol="NIFTY2590224600CE"), (), "recorded 7")
    found = read_answers(path)
    assert found["symbol"].unique().to_list() == [QUESTION.symbol] and len(found) == 2
    assert found["from"].equals(found["timestamp"], check_names=False)
    assert found["to"].equals(found["timestamp"], check_names=False)
    with CandleArchive.open(path) as archive:
        archive.add([(QUESTION, CANDLES, "kite")], 2_000)
    again = read_answers(path).tail(2)
    assert again["to"].dt.timestamp("ms").to_list() == [QUESTION.to_ms] * 2
    assert again["origin"].to_list() == ["kite"] * 2
    assert damaged_answers(kept_answers(path)) == []
    with pytest.raises(DataError, match="another schema version"):
        Lake.open(path, ANSWER_COLUMNS, 1)


@pytest.mark.parametrize("origin", ["kite", "v2: " + NOT_RECORDED])
def test_an_answer_cannot_change_what_it_vouches_for(tmp_path: Path, origin: str) -> None:
    kept(tmp_path / "a.arrows", (QUESTION, CANDLES))
    changed = kept_answers(tmp_path / "a.arrows").with_columns(origin=pl.lit(origin))
    assert damaged_answers(changed) == [QUESTION.symbol]
