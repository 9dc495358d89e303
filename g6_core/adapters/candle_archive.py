"""The archive of the broker's candles: every answer as it came, with its hash, durable before the next question."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from g6_core.adapters.files import canonical_json, sha256_hex
from g6_core.adapters.kite_history import Candle
from g6_core.adapters.lake import Lake, is_headless, lake_schema, read_lake
from g6_core.schema.accounting import (
    ANSWER_COLUMNS,
    CANDLES_CONTINUED,
    CANDLES_VERSION,
    NOT_RECORDED,
    VOUCHED_MARK,
)

if TYPE_CHECKING:
    import polars as pl

# How the origin of a replayed recording begins. Before the mark its silences were told as if nobody had traded.
_RECORDED = "recorded"


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
        lake = Lake.open(path, ANSWER_COLUMNS, CANDLES_VERSION, CANDLES_CONTINUED)
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
        for question, candles, source in answers:
            origin = VOUCHED_MARK + source
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
    """Symbols of archived answers (`kept_answers`) whose rows do not match their hash any more."""
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
    """Of an origin two things change what is said: no recording is no silence, and an old answer vouches for less."""
    said: list[object] = [question, candles]
    source = origin.removeprefix(VOUCHED_MARK)
    if source == NOT_RECORDED:
        said.append(source)
    if source != origin:
        said.append(VOUCHED_MARK)
    return sha256_hex(canonical_json(said))


def read_answers(path: Path) -> "pl.DataFrame":
    """Return what is believed of every answer so far (`ANSWER_COLUMNS`), in the order they came.

    One from before the mark vouches for the minutes of its candles, and of a recording for nothing, so that these are
    asked for again. None without a file. DataError when damaged.
    """
    import polars as pl

    answers, origin = kept_answers(path), pl.col("origin")
    is_old = ~origin.str.starts_with(VOUCHED_MARK)
    is_void = pl.col("timestamp").is_null() | origin.str.starts_with(_RECORDED) | (origin == NOT_RECORDED)
    spans = [pl.when(is_old).then("timestamp").otherwise(name).alias(name) for name in ("from", "to")]
    return answers.filter(~(is_old & is_void)).with_columns(*spans, origin.str.strip_prefix(VOUCHED_MARK))


def kept_answers(path: Path) -> "pl.DataFrame":
    """Return every answer as it is in the file. Otherwise as `read_answers`."""
    import polars as pl

    if not path.exists() or is_headless(path, ANSWER_COLUMNS):
        return pl.DataFrame(schema=lake_schema(ANSWER_COLUMNS))
    return read_lake(path, [*ANSWER_COLUMNS])
