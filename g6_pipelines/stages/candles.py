"""Asks the broker for candles, one contract after the other, each answer archived before the next question."""

from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from kiteconnect import KiteConnect

from g6_core.adapters.candle_archive import CandleArchive, Question
from g6_core.adapters.kite_history import CALL_INTERVAL_MS, Candle, fetch_candles
from g6_core.adapters.kite_market import CallSpacing, Turns, wait_for_turn
from g6_core.domain.errors import BrokerError, TryLater
from g6_core.domain.ist import MINUTE_MS
from g6_core.ports import Clock

ATTEMPTS_MAX = 3
# Who shares the API key may call too; a turn that does not come in this time is somebody's fault.
TURN_PATIENCE_MS = MINUTE_MS
# So many contracts refused one after the other are no matter of the contracts.
REFUSED_MAX = 5


@dataclass(slots=True)
class Asked:
    """How it went: calls made, questions answered, and how often each thing went wrong."""

    calls: int = 0
    answered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Part:
    """What of an answer belongs into which archive."""

    archive: CandleArchive
    question: Question


def own_turns(clock: Clock) -> Turns:
    """Turns of a process that has its broker for itself: apart, the first from whatever was asked a moment ago."""
    spacing = CallSpacing(clock, CALL_INTERVAL_MS)
    spacing.spend()
    return spacing


def ask(
    kite: KiteConnect,
    clock: Clock,
    turns: Turns,
    questions: Sequence[tuple[Question, Sequence[Part]]],
    origin: str,
) -> Generator[int, None, Asked]:
    """Put each question once and archive its parts; yields the next time (ms) at which to be resumed.

    What the broker does not answer is left out and counted: it can be asked again by a later run. After several
    refusals in a row it goes on from the other end, because contracts that are always refused must not keep the rest
    from being asked for; after as many there nothing more is asked.
    """
    asked, refused = Asked(), 0
    left = deque(questions)
    while left:
        if refused >= 2 * REFUSED_MAX:
            asked.reasons[f"not asked after {refused} refusals in a row"] += len(left)
            break
        question, parts = left.pop() if refused >= REFUSED_MAX else left.popleft()
        found = yield from _candles(kite, clock, turns, question, asked)
        if found is None:
            refused += 1
            continue
        refused = min(refused, REFUSED_MAX) if refused >= REFUSED_MAX else 0
        for part in parts:
            own = [one for one in found if part.question.from_ms <= one.time_ms <= part.question.to_ms]
            part.archive.add(part.question, own, clock.now_ms(), origin)
        asked.answered += 1
    return asked


def _candles(
    kite: KiteConnect, clock: Clock, turns: Turns, question: Question, asked: Asked
) -> Generator[int, None, tuple[Candle, ...] | None]:
    """The answer to one question, asked a few times where the broker wants patience; None without one."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        problem = yield from wait_for_turn(clock, turns, clock.now_ms() + TURN_PATIENCE_MS)
        if problem:
            asked.reasons[problem] += 1
            break
        turns.spend()
        asked.calls += 1
        try:
            return fetch_candles(kite, question.token, question.from_ms, question.to_ms, question.symbol)
        except TryLater as error:
            if attempt == ATTEMPTS_MAX:
                asked.reasons[str(error)] += 1
        except BrokerError as error:
            asked.reasons[str(error)] += 1
            break
    return None


def said(reasons: Mapping[str, int]) -> str:
    """The reasons in one line; empty when nothing went wrong."""
    return "; ".join(f"{count} x {reason}" if count > 1 else reason for reason, count in sorted(reasons.items()))
