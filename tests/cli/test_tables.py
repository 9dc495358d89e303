"""Tables never cut a value, whatever the width."""

import pytest

from g6_core.cli.tables import lines_of

HEADS = ("trade", "contract", "units", "reason")
ROWS = (
    ("NIFTY-20261119-T001", "NIFTY26NOV24500CE", "75", "trailing_stop_3pct"),
    ("BANKNIFTY-20261119-T002", "BANKNIFTY26NOV52000PE", "1,050", "stop"),
)


@pytest.mark.parametrize("width", [10, 40, 60, 80, 120, None])
def test_every_value_is_there_and_no_line_is_wider_than_it_must_be(width: int | None) -> None:
    lines = list(lines_of(HEADS, ROWS, width, right=(2,)))
    said = " ".join(lines)
    assert all(value in said for row in ROWS for value in row)
    assert "…" not in said and "..." not in said
    longest = max(len(value) for row in ROWS for value in row) + 4
    assert width is None or max(map(len, lines)) <= max(width, longest)


def test_a_wide_or_absent_terminal_has_one_line_a_row_and_numbers_stand_to_the_right() -> None:
    lines = list(lines_of(HEADS, ROWS, None, right=(2,)))
    assert len(lines) == 1 + len(ROWS)
    assert [line.index(row[2]) + len(row[2]) for line, row in zip(lines[1:], ROWS, strict=True)] == [53, 53]


def test_a_narrow_terminal_has_two_lines_a_row_and_the_second_is_indented() -> None:
    lines = list(lines_of(HEADS, ROWS, 60))
    assert len(lines) == 2 * (1 + len(ROWS))
    assert [line.startswith("    ") for line in lines] == [False, True] * 3
