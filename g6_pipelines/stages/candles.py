"""Asks the broker for candles, one contract after the other, each answer archived before the next question.

Only an answer that ends in silence waits until something shows that the silence is the market's, not the broker's.
"""

from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kiteconnect import KiteConnect

from g6_core.adapters.candle_archive import CandleArchive, Question
from g6_core.adapters.kite_history import CALL_INTERVAL_MS, Candle, fetch_candles
from g6_core.adapters.kite_market import CallSpacing, Turns, wait_for_turn
from g6_core.domain.errors import BrokerError, RefusedAsked, TryLater
from g6_core.domain.ist import MINUTE_MS
from g6_core.ports import Clock

ATTEMPTS_MAX = 3
# Who shares the API key may call too; a turn that does not come in this time is somebody's fault.
TURN_PATIENCE_MS = MINUTE_MS
# So many refused one after the other are no matter of the contracts, unless the broker says so of each.
REFUSED_MAX = 5
UNSHOWN = "silent, and nothing shows that the broker's history reaches so far"


@dataclass(slots=True)
class Asked:
    """How it went: calls made, questions answered, and how often each thing went wrong."""

    calls: int = 0
    answered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Part:
    """What of an answer belongs into which archive.

    A candle at `reach_ms` or later shows that the broker's history goes on to the end of the question. `volume` is what
    was traded in all of it, None where that is not known: candles of so much are all that there are.
    """

    archive: CandleArchive
    question: Question
    reach_ms: int
    volume: int | None = None


@dataclass(frozen=True, slots=True)
class _Silent:
    """An answer that says of its end, or of all, that nothing was traded. `is_shown`: before it the same run had seen a
    history that reaches so far. `times` it was said."""

    candles: tuple[Candle, ...]
    asked_ms: int
    is_shown: bool
    times: int

    @property
    def is_doubtful(self) -> bool:
        """It has to be said again."""
        return not self.is_shown or (not self.candles and self.times == 1)


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
    controls: Sequence[Part] = (),
) -> Generator[int, None, Asked]:
    """Put each question and archive its parts; yields the next time (ms) at which to be resumed.

    What the broker does not answer is left out and counted: it can be asked again by a later run. So is a silence that
    nothing shows to be the market's. A broker whose history is away answers as one in whose market nobody trades; so a
    silence is archived when the run has seen, before it and after it, a history that reaches as far. Who has not one
    candle must have said so twice, with such a history in between as well. `controls` are contracts known to have been
    traded to the end, for a run that meets none. Of the rest the candles are archived, as an answer up to the last.
    """
    run = _Run(kite, clock, turns, origin)
    yield from run.put(questions)
    yield from run.confirm({one.reach_ms: one for one in controls})
    run.settle()
    return run.asked


class _Run:
    """The questions of one run, and what it has heard."""

    def __init__(self, kite: KiteConnect, clock: Clock, turns: Turns, origin: str) -> None:
        self._kite, self._clock, self._turns, self._origin = kite, clock, turns, origin
        self._refused = 0
        # By `reach_ms`: who showed it last.
        self._shown: dict[int, Part] = {}
        self._silent: dict[Part, _Silent] = {}
        self.asked = Asked()

    def put(
        self, questions: Iterable[tuple[Question, Sequence[Part]]], *, times: int = 1
    ) -> Generator[int, None, None]:
        """Ask, the first or the second time.

        After several refusals in a row it goes on from the other end, because contracts that are always refused must
        not keep the rest from being asked for; after as many there nothing more is asked.
        """
        left = deque(questions)
        while left:
            if self._refused >= 2 * REFUSED_MAX:
                self.asked.reasons[f"not asked after {self._refused} refusals in a row"] += len(left)
                break
            question, parts = left.pop() if self._refused >= REFUSED_MAX else left.popleft()
            try:
                found = yield from answer_to(self._kite, self._clock, self._turns, question, self.asked)
            except RefusedAsked:
                continue
            if found is None:
                self._refused += 1
                continue
            self._refused = min(self._refused, REFUSED_MAX) if self._refused >= REFUSED_MAX else 0
            for part in parts:
                own = [one for one in found if part.question.from_ms <= one.time_ms <= part.question.to_ms]
                self._heard(part, tuple(own), times)
            self.asked.answered += 1

    def confirm(self, controls: Mapping[int, Part]) -> Generator[int, None, None]:
        """Find out which silences are the market's."""
        yield from self._control(controls)
        again = [
            (part.question, (part,))
            for part, one in self._silent.items()
            if one.is_doubtful and part.reach_ms in self._shown
        ]
        if again:
            yield from self.put(again, times=2)
            yield from self._control(controls)

    def settle(self) -> None:
        """Of what is not believed the candles are kept."""
        for part, one in self._silent.items():
            self._keep_candles(part, one)
            self.asked.reasons[UNSHOWN] += 1

    def _control(self, controls: Mapping[int, Part]) -> Generator[int, None, None]:
        """Does the broker's history reach as far as it did?"""
        wanted = sorted({part.reach_ms for part in self._silent})
        known = [self._shown.pop(reach_ms, None) or controls.get(reach_ms) for reach_ms in wanted]
        yield from self.put((part.question, (part,)) for part in known if part is not None)

    def _heard(self, part: Part, candles: tuple[Candle, ...], times: int) -> None:
        now_ms, before = self._clock.now_ms(), self._silent.pop(part, None)
        if before is not None and before.candles != candles:
            self._keep_candles(part, before)
        is_reached = bool(candles) and candles[-1].time_ms >= part.reach_ms
        # A volume of 0 may as well be one that the closing state did not know.
        if is_reached or (part.volume and sum(one.volume for one in candles) >= part.volume):
            part.archive.add(part.question, candles, now_ms, self._origin)
        else:
            self._silent[part] = _Silent(candles, now_ms, part.reach_ms in self._shown, times)
        if is_reached:
            self._shown[part.reach_ms] = part
            self._believe(part.reach_ms)

    def _believe(self, reach_ms: int) -> None:
        """What was said between two histories that reach so far."""
        for part, one in [*self._silent.items()]:
            if part.reach_ms == reach_ms and not one.is_doubtful:
                part.archive.add(part.question, one.candles, one.asked_ms, self._origin)
                del self._silent[part]

    def _keep_candles(self, part: Part, one: _Silent) -> None:
        if one.candles:
            until_last = replace(part.question, to_ms=one.candles[-1].time_ms)
            part.archive.add(until_last, one.candles, one.asked_ms, self._origin)


def answer_to(
    kite: KiteConnect, clock: Clock, turns: Turns, question: Question, asked: Asked
) -> Generator[int, None, tuple[Candle, ...] | None]:
    """The answer to one question, asked a few times where the broker wants patience; None without one.

    Raises RefusedAsked when the broker takes this question not at all.
    """
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
        except RefusedAsked as error:
            asked.reasons[str(error)] += 1
            raise
        except BrokerError as error:
            asked.reasons[str(error)] += 1
            break
    return None


def said(reasons: Mapping[str, int]) -> str:
    """The reasons in one line; empty when nothing went wrong."""
    return "; ".join(f"{count} x {reason}" if count > 1 else reason for reason, count in sorted(reasons.items()))
