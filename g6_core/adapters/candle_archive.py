"""The archive of the broker's candles: every answer as it came, with its hash, durable before the next question."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from g6_core.adapters.files import canonical_json, sha256_hex
from g6_core.adapters.kite_history import Candle
from g6_core.adapters.lake import Lake, is_headless, lake_schema, read_lake
from g6_core.schema.accounting import ANSWER_COLUMNS, CANDLES_VERSION, NOT_RECORDED

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Question:
    """The minutes of one contract from `from_ms` to `to_ms`, both included and both starts of minutes.

    Of an archived answer: those that it vouches for.
    """

    symbol: str
    token: int
    from_ms: int
    to_ms: int


class CandleArchive:
    """Appends answers to one file; a torn tail is cut off when it is opened. One writer; use as a context manager."""

    def __init__(self, lake: Lake, known: set[str]) -> None:
        self._lake, self._known = lake, known

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create. DataError when the file is foreign, cannot be written, or has a writer already."""
        lake = Lake.open(path, ANSWER_COLUMNS, CANDLES_VERSION)
        try:
            return cls(lake, set(read_lake(path, ["answer_sha256"])["answer_sha256"]))
        except BaseException:
            lake.close()
            raise

    def add(self, answers: Iterable[tuple[Question, Sequence[Candle], str]], asked_ms: int) -> None:
        """Keep answers (question, candles, origin) durably, all at once.

        The hash of one covers question and candles, not the time: the same answer is kept once.
        """
        rows: list[tuple[object, ...]] = []
        for question, candles, origin in answers:
            digest = _digest(question, candles, origin)
            if digest in self._known:
                continue
            self._known.add(digest)
            head = (asked_ms, origin, question.symbol, question.token, question.from_ms, question.to_ms, digest)
            empty = (None,) * (len(ANSWER_COLUMNS) - len(head))
            rows += [
                (*head, one.time_ms, one.open, one.high, one.low, one.close, one.volume, one.oi) for one in candles
            ] or [(*head, *empty)]
        if rows:
            self._lake.append(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lake.close()


def damaged_answers(answers: "pl.DataFrame") -> list[str]:
    """Symbols of archived answers whose rows do not match their hash any more."""
    import polars as pl

    kept = answers.with_columns(pl.col(pl.Datetime).dt.timestamp("ms"))
    found = []
    for (digest,), rows in kept.group_by(["answer_sha256"], maintain_order=True):
        # An answer that was archived twice has its rows twice.
        own = rows.unique("timestamp", keep="first", maintain_order=True)
        first = own.row(0, named=True)
        if rows.select("symbol", "token", "from", "to").n_unique() > 1:
            found.append(first["symbol"])
            continue
        question = Question(first["symbol"], first["token"], first["from"], first["to"])
        candles = [
            Candle(*row)
            for row in own.select("timestamp", "open", "high", "low", "close", "volume", "oi").iter_rows()
            if row[0] is not None
        ]
        if _digest(question, candles, first["origin"]) != digest:
            found.append(question.symbol)
    return found


def _digest(question: Question, candles: Sequence[Candle], origin: str) -> str:
    """Of two origins only one changes what is said: no recording is no silence."""
    said = [question, candles] if origin != NOT_RECORDED else [question, candles, origin]
    return sha256_hex(canonical_json(said))


def read_answers(path: Path) -> "pl.DataFrame":
    """Every answer so far (`ANSWER_COLUMNS`), in the order they came; none without a file. DataError when damaged."""
    import polars as pl

    if not path.exists() or is_headless(path, ANSWER_COLUMNS):
        return pl.DataFrame(schema=lake_schema(ANSWER_COLUMNS))
    return read_lake(path, [*ANSWER_COLUMNS])
