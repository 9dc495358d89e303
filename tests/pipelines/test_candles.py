"""Asking for candles when the broker's turns do not come."""

import pytest
from kiteconnect import KiteConnect

from g6_core.adapters.candle_archive import Question
from g6_core.adapters.kite_history import CALL_INTERVAL_MS
from g6_core.adapters.kite_market import CallSpacing
from g6_core.domain.errors import TryLater
from g6_core.domain.ist import MINUTE_MS
from g6_core.sim.clock import VirtualClock
from g6_pipelines.stages.candles import REFUSED_MAX, TURN_PATIENCE_MS, ask
from tests.pipelines.collecting import OPEN

QUESTIONS = 3 * REFUSED_MAX
# From either end.
REFUSED = 2 * REFUSED_MAX


@pytest.mark.parametrize("held_ms", [20_000, 60 * MINUTE_MS])
def test_a_turn_that_cannot_be_told_is_waited_for_a_minute_and_counted(held_ms: int, monkeypatch) -> None:
    clock = VirtualClock(OPEN)

    class Locked(CallSpacing):
        def due_ms(self) -> int:
            if clock.now_ms() < OPEN + held_ms:
                raise TryLater("not sent: locked")
            return super().due_ms()

    monkeypatch.setattr("g6_pipelines.stages.candles.fetch_candles", lambda *_: ())
    questions = [(Question(f"NIFTY{n}", n, OPEN, OPEN + MINUTE_MS), ()) for n in range(QUESTIONS)]
    stage = ask(KiteConnect("g6"), clock, Locked(clock, CALL_INTERVAL_MS), questions, "broker")
    while True:
        try:
            clock.sleep_until(next(stage))
        except StopIteration as end:
            asked = end.value
            break
    if held_ms < TURN_PATIENCE_MS:
        assert (asked.calls, asked.answered, dict(asked.reasons)) == (QUESTIONS, QUESTIONS, {})
    else:
        assert (asked.calls, asked.reasons["not sent: locked"]) == (0, REFUSED)
        assert clock.now_ms() <= OPEN + REFUSED * TURN_PATIENCE_MS
