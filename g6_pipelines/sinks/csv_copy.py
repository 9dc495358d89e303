"""Keeps the CSV files level with the lakes: a cycle at a time, or from where the files end, many cycles at a time.

Only what the files lack is read again, and what is much is written in parts, so that no cycle has to wait for it.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from g6_core.adapters.csv_sink import CsvSink
from g6_core.adapters.lake import Lake, lake_cycles, read_lake
from g6_core.domain.ist import utc_text
from g6_core.ports import Clock
from g6_core.schema.options import OptionRow
from g6_pipelines.collection.overview import overviews_of

# Cycles of an index that are written at once: a fraction of a second.
CYCLES_AT_ONCE = 50


@dataclass(slots=True)
class LakeDay:
    """What the lake of an index has: times (ms) of its cycles in order, and rows in all.

    `csv_cycles` of them are in every CSV file, `atm_strike` (rupees) is the last known money.
    """

    path: Path
    times: list[int]
    rows: int
    csv_cycles: int
    atm_strike: float | None


def lake_day(lake: Lake, index: str, sink: CsvSink) -> LakeDay:
    """What is there at the start. DataError as `read_lake` and `CsvSink.append`."""
    rows = read_lake(lake.path, ["timestamp", "expiry_code", "offset", "atm_strike"])
    times: list[int] = rows["timestamp"].dt.timestamp("ms").unique(maintain_order=True).to_list()
    known = rows["atm_strike"].drop_nulls()
    csv_cycles = 0
    if len(times) == lake.healed.batches:
        newest = sink.newest_of_all(index, rows.select("expiry_code", "offset").unique().sort("*").iter_rows())
        csv_cycles = bisect_right(times, newest, key=utc_text)
    return LakeDay(lake.path, times, rows.height, csv_cycles, known[-1] if len(known) else None)


class CsvCopy:
    """The CSV files of several indices. The lakes are first: what is not in them is not written."""

    def __init__(self, sink: CsvSink, lakes: Mapping[str, LakeDay]) -> None:
        self._sink = sink
        self._lakes = lakes
        self._reading: dict[str, Iterator[list[tuple[object, ...]]]] = {}

    @property
    def behind(self) -> bool:
        """Whether a lake has a cycle that the files lack."""
        return any(lake.csv_cycles < len(lake.times) for lake in self._lakes.values())

    def keep(self, rows: Mapping[str, Sequence[OptionRow]]) -> None:
        """The newest cycle, by index, which is in the lakes. Where older ones lack it comes in its turn."""
        level = [name for name in rows if self._lakes[name].csv_cycles == len(self._lakes[name].times) - 1]
        written = [row for name in level for row in rows[name]]
        if written:
            self._sink.append(written, overviews_of(written))
        for name in level:
            self._lakes[name].csv_cycles += 1

    def catch_up(self, clock: Clock, until_ms: int | None = None) -> Generator[int, None, None]:
        """Write what lacks, as far as the time before `until_ms` is enough for another part.

        Yields between two parts, at which a run can be ended.
        """
        part_ms = 0
        while self.behind and (until_ms is None or clock.now_ms() + part_ms < until_ms):
            yield clock.now_ms()
            began_ms = clock.now_ms()
            self._part(max(self._lakes, key=lambda name: len(self._lakes[name].times) - self._lakes[name].csv_cycles))
            part_ms = max(part_ms, clock.now_ms() - began_ms)

    def _part(self, name: str) -> None:
        lake = self._lakes[name]
        reading = self._reading.setdefault(name, lake_cycles(lake.path, lake.csv_cycles))
        cycles = list(islice(reading, CYCLES_AT_ONCE))
        if len(cycles) < CYCLES_AT_ONCE:
            # It has what was there when it was opened; what came since is found by the next.
            del self._reading[name]
        rows = [OptionRow.of_cells(cells) for cycle in cycles for cells in cycle]
        self._sink.append(rows, overviews_of(rows))
        lake.csv_cycles += len(cycles)
