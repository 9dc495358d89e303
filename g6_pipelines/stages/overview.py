"""Rebuilds the overview files of an index from its lake: the same rows, whatever happened to the files."""

from g6_core.adapters.csv_sink import overview_line
from g6_core.adapters.files import write_atomic
from g6_core.adapters.lake import hold_lake, lake_cycles
from g6_core.schema.options import OVERVIEW_COLUMNS, OptionRow, OverviewRow
from g6_core.site import Day
from g6_pipelines.collection.overview import overviews_of


def rebuild_overviews(day: Day) -> tuple[OverviewRow, ...]:
    """Write one file per expiry code anew and return the last row of each, in the order of the codes.

    Raises DataError when the day was not collected, or is being collected: its files are still growing.
    """
    lines: dict[str, list[str]] = {}
    last: dict[str, OverviewRow] = {}
    with hold_lake(day.lake):
        for cells in lake_cycles(day.lake):
            for row in overviews_of([OptionRow.of_cells(row) for row in cells]):
                lines.setdefault(row.expiry_code, [",".join(OVERVIEW_COLUMNS)]).append(overview_line(row))
                last[row.expiry_code] = row
        for code, kept in lines.items():
            path = day.site.paths.csv_overview(day.index, code, day.date)
            write_atomic(path, "".join(f"{line}\n" for line in kept).encode())
    return tuple(last.values())
