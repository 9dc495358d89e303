"""Asks the broker for candles, one contract after the other, each answer archived before the next question."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from g6_core.adapters.candle_archive import CandleArchive, Question
from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite_history import CALL_INTERVAL_MS, Answer, Candle, fetch_candles
from g6_core.adapters.kite_market import CallSpacing, Market, Turns, wait_for_turn
from g6_core.domain.errors import BrokerError, RefusedAsked, TryLater
from g6_core.domain.ist import MINUTE_MS
from g6_core.ports import Clock
from g6_core.schema.accounting import NOT_RECORDED

ATTEMPTS_MAX = 3
# Who shares the API key may call too; a turn that does not come in this time is somebody's fault.
TURN_PATIENCE_MS = MINUTE_MS
# So many refused one after the other are no matter of the contracts, unless the broker says so of each.
REFUSED_MAX = 10
UNVOUCHED = "silences unverified, because no contract has shown that the broker's history reaches the end"

Piece = tuple[Question, Sequence[Candle], str]
"""What an answer says of some minutes: as `CandleArchive.add` takes it."""


@dataclass(slots=True)
class Asked:
    """How it went: calls made, questions answered, and how often each thing went wrong."""

    calls: int = 0
    answered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Broker:
    """Who is asked: the client, the clock it lives by, its turns, and what its answers are called in the archive."""

    kite: KiteConnect
    clock: Clock
    origin: str
    turns: Turns

    @classmethod
    def of(cls, market: Market, origin: str) -> "Broker":
        """Return the broker of a market; without turns of its history this process has the key for itself."""
        turns = market.history
        if turns is None:
            turns = CallSpacing(market.clock, CALL_INTERVAL_MS)
            # As if something had been asked a moment ago.
            turns.spend()
        return cls(market.kite, market.clock, origin, turns)


@dataclass(frozen=True, slots=True)
class Part:
    """What of an answer belongs into which archive.

    `end_ms` is the last minute of the contract's trading: contracts with the same one vouch for each other.
    """

    archive: CandleArchive
    question: Question
    end_ms: int


def ask(
    broker: Broker, questions: Sequence[tuple[Question, Sequence[Part]]], asked: Asked
) -> Generator[int, None, None]:
    """Put each question and archive its parts; yields the next time (ms) at which to be resumed.

    A broker whose history is away answers as one in whose market nobody trades. So the first questions should be about
    contracts that were traded to the end: once one has come with candles to the end, what is silent in this answer and
    in later ones of the same close is archived as such; of others only the candles. What the broker does not answer is
    counted and left to a later run; after `REFUSED_MAX` refusals in a row the rest is.
    """
    refused, vouched = 0, set[int]()
    for number, (question, parts) in enumerate(questions):
        if refused == REFUSED_MAX:
            asked.reasons[f"not asked after {refused} refusals in a row"] += len(questions) - number
            return
        try:
            answer = yield from _answer_to(broker, question, asked)
        except RefusedAsked:
            continue
        if answer is None:
            refused += 1
            continue
        refused = 0
        asked.answered += 1
        for part in parts:
            own = part_of(answer, part.question)
            if own.candles and own.candles[-1].time_ms >= part.end_ms:
                vouched.add(part.end_ms)
            is_vouched = part.end_ms in vouched
            part.archive.add(pieces(part.question, own, broker.origin, is_vouched=is_vouched), broker.clock.now_ms())
            if not is_vouched and own.recorded is None:
                asked.reasons[UNVOUCHED] += 1


def part_of(answer: Answer, question: Question) -> Answer:
    """Return what an answer says of the minutes of a question."""
    first_ms, last_ms = question.from_ms, question.to_ms
    spans = answer.recorded and tuple((max(first, first_ms), min(last, last_ms)) for first, last in answer.recorded)
    return Answer(
        tuple(one for one in answer.candles if first_ms <= one.time_ms <= last_ms),
        spans and tuple((first, last) for first, last in spans if first <= last),
    )


def pieces(question: Question, answer: Answer, origin: str, *, is_vouched: bool) -> list[Piece]:
    """Return what of an answer is archived, each piece with the minutes that it vouches for.

    A recording vouches for the minutes that it holds, and says of which it does not. Else a vouched answer stands as it
    is, and of others only the minutes with a candle do.
    """
    if answer.recorded is None and is_vouched:
        return [(question, answer.candles, origin)]
    spans = list(_with_candles(answer.candles)) if answer.recorded is None else answer.recorded
    found: list[Piece] = []
    next_ms = question.from_ms
    for first_ms, last_ms in (*spans, (question.to_ms + MINUTE_MS, question.to_ms)):
        if answer.recorded is not None and next_ms < first_ms:
            found.append((replace(question, from_ms=next_ms, to_ms=first_ms - MINUTE_MS), (), NOT_RECORDED))
        if first_ms <= last_ms:
            own = [one for one in answer.candles if first_ms <= one.time_ms <= last_ms]
            found.append((replace(question, from_ms=first_ms, to_ms=last_ms), own, origin))
        next_ms = last_ms + MINUTE_MS
    return found


def _with_candles(candles: Sequence[Candle]) -> Iterator[tuple[int, int]]:
    """Spans of minutes that follow each other."""
    first = 0
    for place, one in enumerate(candles, 1):
        if place == len(candles) or candles[place].time_ms != one.time_ms + MINUTE_MS:
            yield candles[first].time_ms, one.time_ms
            first = place


def _answer_to(broker: Broker, question: Question, asked: Asked) -> Generator[int, None, Answer | None]:
    """The answer to one question, asked a few times where the broker wants patience; None without one.

    Raises RefusedAsked when the broker takes this question not at all.
    """
    clock, turns = broker.clock, broker.turns
    for attempt in range(1, ATTEMPTS_MAX + 1):
        problem = yield from wait_for_turn(clock, turns, clock.now_ms() + TURN_PATIENCE_MS)
        if problem:
            asked.reasons[problem] += 1
            break
        turns.spend()
        asked.calls += 1
        try:
            return fetch_candles(broker.kite, question.token, question.from_ms, question.to_ms, question.symbol)
        except TryLater as error:
            if attempt == ATTEMPTS_MAX:
                asked.reasons[str(error)] += 1
        except RefusedAsked as error:
            asked.reasons[str(error)] += 1
            raise
        except BrokerError as error:
            asked.reasons[str(error)] += 1
            break
    return None


def said(reasons: Mapping[str, int]) -> str:
    """Return the reasons in one line; empty when nothing went wrong."""
    return "; ".join(f"{count} x {reason}" if count > 1 else reason for reason, count in sorted(reasons.items()))
