"""Asking for candles: what an answer vouches for, when silence is believed, and when the broker is left in peace."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kiteconnect.exceptions import GeneralException, InputException, NetworkException

from g6_core.adapters.candle_archive import CandleArchive, Question, read_answers
from g6_core.adapters.kite_history import CALL_INTERVAL_MS, Answer, Candle
from g6_core.adapters.kite_market import CallSpacing, Market
from g6_core.domain.errors import TryLater
from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.accounting import NOT_RECORDED
from g6_core.sim.clock import VirtualClock
from g6_pipelines.stages.candles import (
    REFUSED_MAX,
    TURN_PATIENCE_MS,
    UNVOUCHED,
    Asked,
    Broker,
    Part,
    ask,
    part_of,
    pieces,
)
from tests.pipelines.collecting import CLOSE, OPEN

END = CLOSE - MINUTE_MS


def minute(number: int) -> int:
    return OPEN + number * MINUTE_MS


def candle(number: int) -> Candle:
    return Candle(minute(number), 10.0, 10.0, 10.0, 10.0, 75, 900)


def question(first: int = 0, last: int = 9) -> Question:
    return Question("A", 1, minute(first), minute(last))


def span(first: int, last: int) -> tuple[int, int]:
    return minute(first), minute(last)


@pytest.mark.parametrize(
    ("candles", "recorded", "is_vouched", "windows"),
    [
        # A broker's whole answer stands as it is, or for its candles only.
        ((2, 3, 7), None, True, [(0, 9, "sim", [2, 3, 7])]),
        ((), None, True, [(0, 9, "sim", [])]),
        ((2, 3, 7), None, False, [(2, 3, "sim", [2, 3]), (7, 7, "sim", [7])]),
        ((), None, False, []),
        # A recording speaks for the minutes that it holds, vouched for or not, and of no other.
        ((2,), [(1, 3), (6, 9)], False, [
            (0, 0, NOT_RECORDED, []), (1, 3, "sim", [2]), (4, 5, NOT_RECORDED, []), (6, 9, "sim", []),
        ]),
        ((), [], True, [(0, 9, NOT_RECORDED, [])]),
        ((5,), [(0, 9)], True, [(0, 9, "sim", [5])]),
    ],
)  # fmt: skip
def test_an_answer_vouches_for_what_is_known(candles, recorded, is_vouched, windows) -> None:
    spans = None if recorded is None else tuple(span(*one) for one in recorded)
    found = pieces(question(), Answer(tuple(map(candle, candles)), spans), "sim", is_vouched=is_vouched)
    assert [(own, origin, [one.time_ms for one in held]) for own, held, origin in found] == [
        (question(first, last), origin, [minute(number) for number in held]) for first, last, origin, held in windows
    ]


def test_a_part_of_an_answer_has_its_own_candles_and_spans() -> None:
    whole = Answer((candle(1), candle(5), candle(8)), (span(0, 2), span(4, 6), span(8, 9)))
    assert part_of(whole, question(2, 5)) == Answer((candle(5),), (span(2, 2), span(4, 5)))
    assert part_of(whole, question(3, 3)) == Answer((), ())
    assert part_of(Answer((candle(1),)), question(0, 1)).recorded is None


class Scripted:
    """A client that answers by token; an exception is raised, a callable asked with the number of the call."""

    def __init__(self, says: dict[int, Any]) -> None:
        self.says, self.asked = says, list[int]()

    def _get(self, route: str, url_args: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        token = url_args["instrument_token"]
        self.asked.append(token)
        said = self.says.get(token, [])
        said = said(len(self.asked)) if callable(said) else said
        if isinstance(said, Exception):
            raise said
        stamps = [datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in said]
        return {"candles": [[stamp, 10.0, 10.0, 10.0, 10.0, 75, 900] for stamp in stamps]}


def put(path: Path, says: dict[int, Any], tokens: Sequence[int], **turns: Any) -> tuple[Asked, Scripted]:
    """Ask for the day of each token, in order; they have one close, except those of two digits."""
    clock, kite, asked = VirtualClock(CLOSE), Scripted(says), Asked()
    with CandleArchive.open(path) as archive:
        whole = [Question(f"N{token}", token, OPEN, END) for token in tokens]
        questions = [(one, (Part(archive, one, END if one.token < 10 else END - MINUTE_MS),)) for one in whole]
        make: Callable[[VirtualClock], CallSpacing] | None = turns.get("turns")
        broker = Broker.of(Market(kite, clock, history=make(clock) if make else None), "sim")  # type: ignore[arg-type]
        for wake_ms in ask(broker, questions, asked):
            clock.sleep_until(wake_ms)
    return asked, kite


def silent(path: Path) -> set[str]:
    """Whose silence is archived: an answer whose window is more than its candles."""
    rows = read_answers(path)
    windows = rows.filter((rows["to"] - rows["from"]).dt.total_minutes() > 0)
    return set(windows["symbol"])


@pytest.mark.parametrize(
    ("says", "tokens", "believed"),
    [
        # The control reached the end: what is silent after it is believed, before it not.
        ({1: [OPEN, END]}, (1, 2, 3), {"N1", "N2", "N3"}),
        ({2: [OPEN, END]}, (1, 2, 3), {"N2", "N3"}),
        # A history that is away, or ends before the close, vouches for nobody.
        ({}, (1, 2, 3), set()),
        ({1: [OPEN, END - MINUTE_MS]}, (1, 2, 3), set()),
        # Each close has its own control.
        ({1: [OPEN, END]}, (1, 10, 11), {"N1"}),
        ({1: [END], 10: [END - MINUTE_MS]}, (1, 10, 2, 11), {"N1", "N2", "N10", "N11"}),
    ],
)
def test_a_silence_is_believed_once_a_control_of_its_close_came_to_the_end(
    tmp_path: Path, says: dict[int, Any], tokens: tuple[int, ...], believed: set[str]
) -> None:
    asked, _ = put(tmp_path / "a.arrows", says, tokens)
    assert silent(tmp_path / "a.arrows") == believed
    assert asked.answered == len(tokens) and asked.reasons[UNVOUCHED] == len(tokens) - len(believed)
    kept = read_answers(tmp_path / "a.arrows")["open"].drop_nulls()
    assert len(kept) == sum(map(len, says.values())), "candles are kept in any case"


def test_the_same_question_again_is_believed_when_the_history_is_back(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    put(path, {}, (1, 2))
    assert read_answers(path).is_empty()
    put(path, {1: [OPEN, END]}, (1, 2))
    assert silent(path) == {"N1", "N2"}
    size = path.stat().st_size
    put(path, {1: [OPEN, END]}, (1, 2))
    assert path.stat().st_size == size, "the same answer is kept once"


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        # Asked three times each, then the rest is left. A contract that is refused as such holds up no other.
        (NetworkException("too many requests", code=429), 3 * REFUSED_MAX),
        (GeneralException("down", code=500), 3 * REFUSED_MAX),
        (InputException("invalid token", code=400), REFUSED_MAX + 5),
    ],
)
def test_a_broker_that_refuses_everything_is_left_in_peace(tmp_path: Path, error: Exception, calls: int) -> None:
    tokens = tuple(range(1, REFUSED_MAX + 6))
    asked, kite = put(tmp_path / "a.arrows", dict.fromkeys(tokens, error), tokens)
    assert (len(kite.asked), asked.calls, asked.answered) == (calls, calls, 0)
    left = [why for why in asked.reasons if why.startswith("not asked after")]
    assert bool(left) == (calls == 3 * REFUSED_MAX)


def test_a_passing_refusal_costs_a_call_and_nothing_else(tmp_path: Path) -> None:
    once = {2: lambda number: NetworkException("wait", code=429) if number == 2 else []}
    asked, kite = put(tmp_path / "a.arrows", {1: [END], **once}, (1, 2, 3))
    assert (kite.asked, asked.answered, dict(asked.reasons)) == ([1, 2, 2, 3], 3, {})


@pytest.mark.parametrize("held_ms", [20_000, 60 * MINUTE_MS])
def test_a_turn_that_cannot_be_told_is_waited_for_a_minute_and_counted(held_ms: int, tmp_path: Path) -> None:
    class Locked(CallSpacing):
        def due_ms(self) -> int:
            if self._clock.now_ms() < CLOSE + held_ms:
                raise TryLater("not sent: locked")
            return super().due_ms()

    tokens = tuple(range(1, REFUSED_MAX + 6))
    asked, _ = put(tmp_path / "a.arrows", {1: [END]}, tokens, turns=lambda clock: Locked(clock, CALL_INTERVAL_MS))
    if held_ms < TURN_PATIENCE_MS:
        assert (asked.calls, asked.answered) == (len(tokens), len(tokens))
    else:
        assert (asked.calls, asked.reasons["not sent: locked"]) == (0, REFUSED_MAX)
