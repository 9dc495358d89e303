"""Tables on a terminal of any width: a row that is too long goes on in a second line, and no value is ever cut."""

import shutil
import sys
from collections.abc import Collection, Iterator, Sequence

GAP, INDENT = "  ", "    "


def lines_of(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, right: Collection[int] = ()
) -> Iterator[str]:
    """Yield the header and the rows, each in as many lines as it needs; `width` None is as wide as you like.

    `right` are the places of columns that stand to the right. A value wider than the terminal has a line of its own.
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = _columns_by_line(widths, width)
    for row in (heads, *rows):
        for number, places in enumerate(lines):
            cells = [
                row[place].rjust(widths[place]) if place in right else row[place].ljust(widths[place])
                for place in places
            ]
            yield ((INDENT if number else "") + GAP.join(cells)).rstrip()


def _columns_by_line(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Which columns share a line: as many as fit, in their order."""
    lines: list[list[int]] = [[]]
    used = 0
    for place, own in enumerate(widths):
        needed = own + (len(GAP) if lines[-1] else 0)
        if width is not None and lines[-1] and used + needed > width:
            lines.append([])
            used, needed = len(INDENT), own
        lines[-1].append(place)
        used += needed
    return lines


def terminal_width() -> int | None:
    """Return how wide stdout's terminal is; None when nobody looks (a pipe, a file): one row, one line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
