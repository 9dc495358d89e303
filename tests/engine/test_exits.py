"""Price exits: where the stop stands, what a price means, and that the stop only ever rises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g6_core.domain.records import ExitReason
from g6_core.engine.exits import HOLD, REASONS, STOP, TARGET, TRAIL, exit_code, lock_level, stop_level

# Stop 30 %, target 60 %, lock at 10 %, trail 3 %.
STOP_PCT, TARGET_PCT, LOCK_PCT, TRAIL_PCT = 30.0, 60.0, 10.0, 3.0
ENTRIES = st.integers(1, 400_000).map(lambda ticks: float(5 * ticks))


def _code(last: float, entry: float, mark: float) -> int:
    return int(exit_code(last, entry, mark, STOP_PCT, TARGET_PCT, LOCK_PCT, TRAIL_PCT))


def _stop(entry: float, mark: float) -> float:
    return float(stop_level(entry, mark, STOP_PCT, LOCK_PCT, TRAIL_PCT))


@pytest.mark.parametrize(
    ("mark", "stop"),
    [
        pytest.param(100_00, 70_00, id="at the entry"),
        pytest.param(109_95, 70_00, id="a tick below the lock"),
        pytest.param(110_00, 106_70, id="exactly at the lock: 3 % below the mark is above break-even"),
        pytest.param(120_00, 116_40, id="trailing"),
        pytest.param(159_95, 155_15.15, id="just below the target"),
    ],
)
def test_where_the_stop_stands(mark: float, stop: float) -> None:
    assert _stop(100_00, mark) == pytest.approx(stop, abs=1e-6)


def test_a_wide_trail_never_locks_less_than_break_even() -> None:
    assert stop_level(100_00, 112_00, STOP_PCT, LOCK_PCT, 20.0) == 100_00


@pytest.mark.parametrize(
    ("last", "mark", "code"),
    [
        pytest.param(100_00, 100_00, HOLD, id="nothing happened"),
        pytest.param(70_05, 100_00, HOLD, id="a tick above the stop"),
        pytest.param(70_00, 100_00, STOP, id="at the stop"),
        pytest.param(5, 105_00, STOP, id="through the stop"),
        pytest.param(159_95, 159_95, HOLD, id="a tick below the target"),
        pytest.param(160_00, 160_00, TARGET, id="at the target"),
        pytest.param(300_00, 300_00, TARGET, id="beyond the target"),
        pytest.param(106_75, 110_00, HOLD, id="above the trail"),
        pytest.param(106_70, 110_00, TRAIL, id="at the trail"),
        pytest.param(50_00, 110_00, TRAIL, id="through the trail and the first stop at once"),
        pytest.param(70_05, 109_95, HOLD, id="the lock was missed by a tick"),
    ],
)
def test_what_a_price_means(last: float, mark: float, code: int) -> None:
    assert _code(last, 100_00, mark) == code


def test_each_code_has_its_reason() -> None:
    assert REASONS == {
        STOP: ExitReason.STOP_LOSS,
        TARGET: ExitReason.TAKE_PROFIT,
        TRAIL: ExitReason.TRAILING_STOP,
    }


@pytest.mark.parametrize("entry", [0.0, -1.0])
def test_without_an_average_price_there_is_nothing_to_judge_by(entry: float) -> None:
    assert _code(100_00, entry, 100_00) == HOLD


@given(entry=st.integers(1, 40_000).map(lambda rupees: 100 * rupees))
def test_a_level_that_is_a_whole_paisa_is_met_exactly(entry: int) -> None:
    """No price is missed because 1.1 has no exact double."""
    target, lock = entry * 160 // 100, entry * 110 // 100
    assert lock_level(entry, LOCK_PCT) == lock
    assert (_code(target, entry, target), _code(target - 5, entry, target - 5)) == (TARGET, HOLD)
    assert _stop(entry, lock) > entry * 0.7
    assert _stop(entry, lock - 1) == entry * 70 / 100
    assert _code(entry * 70 // 100, entry, entry) == STOP


@given(entry=ENTRIES, marks=st.lists(st.floats(1.0, 3.0), min_size=2, max_size=30))
def test_the_stop_never_falls_while_the_high_water_mark_rises(entry: float, marks: list[float]) -> None:
    stops = [_stop(entry, entry * mark) for mark in sorted(marks)]
    assert stops == sorted(stops)
    assert all(stop <= entry * mark for stop, mark in zip(stops, sorted(marks), strict=True))


@given(entry=ENTRIES, share=st.floats(0.0, 3.0), above=st.floats(0.0, 1.0))
def test_a_price_holds_exactly_between_stop_and_target(entry: float, share: float, above: float) -> None:
    last = entry * share
    mark = max(entry, last) * (1 + above)
    assert (_code(last, entry, mark) == HOLD) == (_stop(entry, mark) < last < entry * 160 / 100)
