"""Why nothing is entered, in words: warming indicators with their hour, weak ones with their figures, refusals."""

from datetime import time

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.domain.records import DecisionRecord, Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_stream.outlook import Outlooks
from tests.engine.kit import DAY, ELEVEN, OPEN, Bench

UNKNOWN_ADX = Verdict("adx_confirmation", Outcome.UNKNOWN, True, None, 20.0, "not enough bars yet")
WEAK_ADX = Verdict("adx_primary", Outcome.FAIL, True, 14.25, 18.0)
APART = Verdict("supertrend_alignment", Outcome.FAIL, True, 0.0, None, "1 m and 5 m disagree")
COOLING = Verdict("cooldown", Outcome.FAIL, True, 120_000, 300_000, "120 s of 300 s since the last exit")
WIDE = Verdict("spread", Outcome.FAIL, True, 4.0, 3.0)
FINE = Verdict("mode_active", Outcome.PASS, False)


@pytest.fixture
def bench(rules: MarketRules, settings: Settings) -> Bench:
    """An engine at eleven o'clock that knows prices."""
    return Bench.scripted(rules, settings.engine_params())


def decided(*verdicts: Verdict, signal_id: str = "", approved: bool = False) -> DecisionRecord:
    """A decision of eleven o'clock."""
    direction = Direction.BULLISH if signal_id else Direction.AVOID
    name = "NIFTY2590224500CE" if approved else ""
    bought = (name, 75 * approved, 0, "", {}, "")
    return DecisionRecord("D", signal_id, "NIFTY", ELEVEN, direction, approved, verdicts, *bought)


def why(bench: Bench, latest: DecisionRecord | None, now_ms: int = ELEVEN) -> str:
    return Outlooks().of(bench.state, bench.inputs, latest, now_ms).why


def test_a_warming_indicator_says_until_when(bench: Bench) -> None:
    frame = bench.memory.confirmation
    frame.bars, frame.start_ms = 21, OPEN + 100 * MINUTE_MS
    said = why(bench, decided(UNKNOWN_ADX, FINE))
    assert "no signal yet" in said and "5-minute ADX warms until 11:35" in said and "21 of 28 bars" in said
    frame.bars, frame.start_ms = 0, 0
    assert "warms until 11:35" in why(bench, decided(UNKNOWN_ADX), OPEN + 2_000)
    late = at(DAY, time(13, 2))
    assert "warms until 15:20" in why(bench, decided(UNKNOWN_ADX), late), "started late: from then on"


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        (decided(WEAK_ADX, APART), ["no signal at 11:00", "1-minute ADX is 14.2, 18 are needed", "disagree"]),
        (decided(COOLING, WIDE, FINE, signal_id="S"), ["bullish signal, not entered", "120 s of 300 s", "spread: 4"]),
        (decided(FINE, signal_id="S", approved=True), ["entry of 75 NIFTY2590224500CE sent at 11:00"]),
        (None, ["first 1-minute bar closes at 11:01"]),
    ],
    ids=["weak", "refused", "entered", "no bar yet"],
)
def test_what_stands_in_the_way_is_named_with_its_figures(
    bench: Bench, latest: DecisionRecord | None, words: list[str]
) -> None:
    said = why(bench, latest)
    assert all(one in said for one in words), said


def test_outside_of_the_session_and_without_a_price_that_is_the_reason(bench: Bench) -> None:
    inputs = bench.state.inputs
    assert "opens at 09:15" in why(bench, None, inputs.open_ms - 1)
    assert "closed since 15:30" in why(bench, decided(WEAK_ADX), inputs.close_ms)
    bench.state.board.rows["exchange_ms"] = 0
    assert "no price of NIFTY 50" in why(bench, None)
