"""Questions about what the stream does not bring: what counts as an answer, and what they may cost the loop."""

from collections.abc import Callable

import numpy as np
import pytest
from kiteconnect.exceptions import NetworkException
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.market import TICK
from g6_stream.gateway import KiteGateway
from g6_stream.quote_reads import STAMPS_RETRY_MS, TURNS_MISSED_MAX, QuoteReads
from tests.sim.kit import bench

TOKENS = (256265,)
NO_TURN = NetworkException("not sent: the limit of 1 quote calls a second is used up", code=429)


class Gateway(KiteGateway):
    """A gateway whose quotes take as long and end as the test says."""

    takes_ms = 0
    error: Exception | None = None

    def quotes(self, tokens: tuple[int, ...]) -> NDArray[np.void]:
        self._clock.sleep_until(self._clock.now_ms() + self.takes_ms)
        if self.error is not None:
            raise self.error
        found = np.zeros(len(tokens), TICK)
        found["token"], found["exchange_ms"] = tokens, self._clock.now_ms()
        return found


class Desk:
    """Asks each second."""

    def __init__(self, rules: MarketRules) -> None:
        sim = bench(rules)
        self.clock: Callable[[], int] = sim.clock.now_ms
        self.later: Callable[[int], None] = lambda by_ms: sim.clock.sleep_until(sim.clock.now_ms() + by_ms)
        self.gateway = Gateway(sim.kite, sim.clock, InstrumentBook.of(()))
        self.reads = QuoteReads(self.gateway, lambda _: None)

    def ask(self) -> str:
        self.later(SECOND_MS)
        asked, stamps_ms = self.reads.stamps(TOKENS, self.clock(), self.clock)
        return "answered" if stamps_ms else "unanswered" if asked else "not asked"


@pytest.fixture
def desk(rules: MarketRules) -> Desk:
    return Desk(rules)


def test_a_turn_that_is_not_to_be_had_is_no_question_but_several_in_a_row_are_one(desk: Desk) -> None:
    desk.gateway.error = NO_TURN
    assert [desk.ask() for _ in range(TURNS_MISSED_MAX)] == ["not asked"] * (TURNS_MISSED_MAX - 1) + ["unanswered"]
    desk.gateway.error = None
    assert desk.ask() == "answered"
    desk.gateway.error = NO_TURN
    assert desk.ask() == "not asked"


@pytest.mark.parametrize(("error", "takes_ms"), [(TimeoutError("read timed out"), 0), (None, SECOND_MS + 1)])
def test_after_a_failure_or_a_slow_answer_nobody_is_asked_for_a_while(
    desk: Desk, error: Exception | None, takes_ms: int
) -> None:
    desk.gateway.error, desk.gateway.takes_ms = error, takes_ms
    assert desk.ask() == ("unanswered" if error else "answered")
    desk.gateway.error, desk.gateway.takes_ms = None, 0
    assert desk.ask() == "unanswered"
    desk.later(STAMPS_RETRY_MS)
    assert desk.ask() == "answered"


def test_a_second_that_has_used_its_turn_for_prices_asks_nothing(desk: Desk) -> None:
    desk.later(SECOND_MS)
    assert desk.reads.frames(TOKENS, desk.clock())
    assert desk.reads.stamps(TOKENS, desk.clock(), desk.clock) == ((), None)
    assert desk.ask() == "answered"
