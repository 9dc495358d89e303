"""The quote board: newest tick wins, garbage never stays out for good, and there is always another row."""

import numpy as np
import pytest

from g6_core.engine.board import CAPACITY, FUTURE_MS, JUMP_MEMORY_MS, QuoteBoard
from tests.engine.kit import OPEN, SPOT, tick_rows

INDEX, OPTION = 256265, 9_000_001


def _board() -> QuoteBoard:
    board = QuoteBoard.of((INDEX,), OPEN)
    board.watch((OPTION,))
    return board


def _price(board: QuoteBoard, token: int) -> int:
    quote = board.quote(token)
    return quote.ltp_paise if quote is not None else 0


@pytest.mark.parametrize(
    ("token", "first", "second", "taken"),
    [
        pytest.param(OPTION, 100_00, 0, False, id="no price"),
        pytest.param(OPTION, 100_00, -5, False, id="negative price"),
        pytest.param(OPTION, 100_00, 2_000_00, True, id="option twenty times the last"),
        pytest.param(OPTION, 100_00, 2_000_05, False, id="option above twenty times"),
        pytest.param(OPTION, 100_00, 5_00, True, id="option a twentieth of the last"),
        pytest.param(OPTION, 100_00, 4_95, False, id="option below a twentieth"),
        pytest.param(OPTION, 5, 20_00, True, id="a cheap option may jump to 20 rupees"),
        pytest.param(INDEX, 20_000_00, 22_000_00, True, id="index up ten percent"),
        pytest.param(INDEX, 20_000_00, 22_000_05, False, id="index up more"),
        pytest.param(INDEX, 20_000_00, 17_999_95, False, id="index down more"),
    ],
)
def test_garbage_is_dropped_and_counted(token: int, first: int, second: int, taken: bool) -> None:
    board = _board()
    board.apply(tick_rows((token, OPEN, first)), OPEN)
    board.apply(tick_rows((token, OPEN + 1000, second)), OPEN + 1000)
    assert _price(board, token) == (second if taken else first)
    assert board.counters[0, 2] == (0 if taken else 1)


@pytest.mark.parametrize(
    ("stamp", "taken"),
    [
        (OPEN + FUTURE_MS, True),
        (OPEN + FUTURE_MS + 1, False),
        (0, False),
        (-19_800_000, False),
    ],
    ids=["two seconds ahead", "more than that", "1970 in UTC", "1970 in IST"],
)
def test_a_stamp_from_the_future_or_from_nowhere_is_garbage(stamp: int, taken: bool) -> None:
    board = _board()
    board.apply(tick_rows((OPTION, stamp, 100_00)), OPEN)
    assert (board.quote(OPTION) is not None) is taken
    assert board.counters[0, 2] == (0 if taken else 1)


def test_index_garbage_builds_no_bar() -> None:
    board = _board()
    board.apply(tick_rows((INDEX, OPEN, SPOT), (INDEX, OPEN + 500, SPOT * 2), (INDEX, OPEN + 600, 0)), OPEN + 600)
    assert board.close_bars(0, OPEN + 62_000)[0][2:6] == (SPOT, SPOT, SPOT, SPOT)


@pytest.mark.parametrize(("token", "old", "new"), [(OPTION, 30_00, 1_00), (INDEX, 100_00, SPOT)])
def test_a_jump_that_stays_is_believed_after_the_memory_of_the_last_good_tick(token: int, old: int, new: int) -> None:
    """Else one wrong first tick, or an outage on an expiry day, would blind the exits for the rest of the day."""
    board = _board()
    board.apply(tick_rows((token, OPEN, old)), OPEN)
    seen = []
    for after_ms in (1000, JUMP_MEMORY_MS, JUMP_MEMORY_MS + 1000):
        board.apply(tick_rows((token, OPEN + after_ms, new)), OPEN + after_ms)
        seen.append(_price(board, token))
    assert seen == [old, old, new]


def test_an_older_tick_never_replaces_a_newer_one_and_of_equals_the_later_wins() -> None:
    board = _board()
    frame = tick_rows((OPTION, OPEN + 2000, 101_00), (OPTION, OPEN + 1000, 99_00), (OPTION, OPEN + 2000, 102_00))
    assert board.apply(frame, OPEN + 2000) == 2
    assert _price(board, OPTION) == 102_00


def test_a_token_nobody_asked_for_is_passed_over_and_an_unseen_one_has_no_quote() -> None:
    board = _board()
    assert board.apply(tick_rows((OPTION - 1, OPEN, 100_00), (OPTION + 1, OPEN, 100_00)), OPEN) == 0
    assert board.quote(OPTION) is None
    assert board.quote(OPTION + 1) is None


def test_more_instruments_than_rows_make_the_board_grow_and_lose_nothing() -> None:
    board = _board()
    board.apply(tick_rows((INDEX, OPEN, SPOT), (OPTION, OPEN, 100_00)), OPEN)
    more = tuple(range(1, 2 * CAPACITY + 1))
    board.watch(more)
    applied = board.apply(tick_rows(*((token, OPEN, 1000 + token) for token in more)), OPEN)
    assert applied == len(more)
    assert (_price(board, INDEX), _price(board, OPTION)) == (SPOT, 100_00)
    assert [_price(board, token) for token in more] == [1000 + token for token in more]
    assert np.flatnonzero(board.index_of >= 0).tolist() == [board.slot_of[INDEX]]
