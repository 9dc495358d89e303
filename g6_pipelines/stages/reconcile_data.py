"""Reconciles the collected data of a day: the lake and the CSV files tell the same story, minute by minute."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from g6_core.adapters.csv_sink import option_line, overview_line
from g6_core.adapters.files import write_atomic
from g6_core.adapters.lake import lake_cycles
from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError
from g6_core.domain.ist import ist_text, to_ms, utc_text
from g6_core.schema.options import OPTION_COLUMNS, OVERVIEW_COLUMNS, Kind, OptionRow, OverviewRow
from g6_core.site import Day
from g6_pipelines.collection.overview import overviews_of

EXAMPLES_MAX = 20
# What is kept beside the document; more than that is a file that is wrong as a whole.
KEPT_MAX = 1_000
COLUMNS_MAX = 5
_CHECKS: Final = {
    "csv_files_present": "every file is there and of this schema",
    "csv_values_match_lake": "every value is the lake's",
    "csv_counts_match_lake": "every file has as many rows as the lake",
    "overview_matches_lake": "every overview follows from the lake",
    "minutes_complete": "every cycle of the session is there",
    "no_duplicates": "no time comes twice",
    "time_monotone": "time never goes back",
}


def reconcile_data(day: Day) -> tuple[Check, ...]:
    """Named checks: every file there, every cycle once and in order, values and counts as in the lake.

    A lake that cannot be read is a failed check, not an error.
    """
    with ExitStack() as opened:
        options, overviews = _files_of(day, opened)
        files = [*options.values(), *overviews.values()]
        try:
            lake_rows = _compare(day.lake, options, overviews)
        except DataError as error:
            return (Check("lake_readable", False, str(error), {"rows": 0}),)
        for file in files:
            file.finish()
    csv_rows = sum(file.rows for file in options.values())
    lines = [f"{check}: {text}" for file in files for check, kept in file.examples.items() for text in kept]
    keep_differences(day.site.paths.differences(day.date, day.index), lines)
    return (
        Check("lake_readable", lake_rows > 0, f"{lake_rows} rows in the lake", {"rows": lake_rows}),
        Check(
            "csv_row_count",
            csv_rows == lake_rows,
            f"{csv_rows} CSV rows, {lake_rows} lake rows",
            {"csv_rows": csv_rows, "lake_rows": lake_rows},
        ),
        *(_check(name, files) for name in _CHECKS),
    )


def _files_of(day: Day, opened: ExitStack) -> tuple[dict[tuple[str, int], "_CsvFile"], dict[str, "_CsvFile"]]:
    """The files that the configuration asks for: options by (code, offset), overviews by code."""
    paths, date, index = day.site.paths, day.date, day.index
    expected = [utc_text(time_ms) for time_ms in day.cycles]
    options = {
        (str(code), offset): _CsvFile(paths.csv_options(index, code, offset, date), OPTION_COLUMNS, expected, opened)
        for code in day.settings.expiry_codes
        for offset in day.settings.offsets
    }
    overviews = {
        str(code): _CsvFile(paths.csv_overview(index, code, date), OVERVIEW_COLUMNS, expected, opened)
        for code in day.settings.expiry_codes
    }
    return options, overviews


def _compare(lake: Path, options: Mapping[tuple[str, int], "_CsvFile"], overviews: Mapping[str, "_CsvFile"]) -> int:
    """Walk the lake and the files side by side; returns the lake's rows."""
    count = 0
    for cells in lake_cycles(lake):
        rows = [OptionRow.of_cells(row) for row in cells]
        count += len(rows)
        for row in rows:
            file = options.get((row.expiry_code, row.offset))
            if file is not None:
                file.compare(option_line(row), "csv_values_match_lake", partial(_told_option, row))
        for overview in overviews_of(rows):
            file = overviews.get(overview.expiry_code)
            if file is not None:
                file.compare(overview_line(overview), "overview_matches_lake", partial(_told_overview, overview))
    return count


@dataclass(frozen=True, slots=True)
class _Told:
    """How to name a row: its minute, the row, and the contract of each side where there is one."""

    time_ms: int
    row: str
    symbols: Mapping[str, str] = field(default_factory=dict)

    def differing(self, columns: Sequence[str], line: str, wanted: str) -> str:
        """Minute, then contract, column and both values of what differs."""
        got, want = line.rstrip("\n").split(","), wanted.split(",")
        at = ist_text(self.time_ms)
        if len(got) != len(want):
            return f"at {at} {self.row}: {len(got)} cells, of the lake {len(want)}"
        differ = [
            f"{self.symbols.get(name.partition('_')[0], self.row)} {name} is {ours or 'empty'}, "
            f"in the lake {theirs or 'empty'}"
            for name, ours, theirs in zip(columns, got, want, strict=True)
            if ours != theirs
        ]
        more = f" and {len(differ) - COLUMNS_MAX} more columns" if len(differ) > COLUMNS_MAX else ""
        return f"at {at} {'; '.join(differ[:COLUMNS_MAX])}{more}"


def _told_option(row: OptionRow) -> _Told:
    strike = f" {row.strike:g}" if row.strike is not None else ""
    symbols = {name: side.symbol for name, side in (("call", row.call), ("put", row.put)) if side.symbol is not None}
    return _Told(row.time_ms, f"{row.index} {row.expiry_code} {row.offset:+d}{strike}", symbols)


def _told_overview(row: OverviewRow) -> _Told:
    return _Told(row.time_ms, f"{row.index} {row.expiry_code}")


def _minute(stamp: str) -> str:
    """The minute in India of a UTC stamp; the text itself when it is none."""
    try:
        return f"{ist_text(to_ms(datetime.fromisoformat(stamp)))} IST"
    except ValueError:
        return stamp


@dataclass(slots=True)
class _CsvFile:
    """One file, read line by line beside the lake; notes what is wrong, by check."""

    path: Path
    columns: dict[str, Kind]
    expected: Sequence[str]
    opened: ExitStack
    rows: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    _lines: Iterator[str] = field(default_factory=lambda: iter(()))
    _stamps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self._lines = iter(self.opened.enter_context(self.path.open(encoding="utf-8")))
        except OSError as error:
            self._fault("csv_files_present", f"cannot be read ({error.strerror})")
            return
        if next(self._lines, "") != ",".join(self.columns) + "\n":
            self._fault("csv_files_present", "has another header")

    def compare(self, wanted: str, check: str, told_of: Callable[[], _Told]) -> None:
        """Require that the next line is this one; `told_of` names its row where it is not."""
        line = self._next()
        if line is None:
            told = told_of()
            self._fault("csv_counts_match_lake", f"ends before {ist_text(told.time_ms)} IST, {told.row}")
        elif line != wanted + "\n":
            self._fault(check, told_of().differing(tuple(self.columns), line, wanted))

    def finish(self) -> None:
        """Nothing may be left; then the times of the whole file are judged."""
        while (line := self._next()) is not None:
            self._fault("csv_counts_match_lake", f"has more than the lake at {_minute(line.partition(',')[0])}")
        seen = Counter(self._stamps)
        lacking = [stamp for stamp in self.expected if stamp not in seen]
        for stamp in (*lacking, *sorted(seen.keys() - set(self.expected))):
            self._fault("minutes_complete", f"at {_minute(stamp)}")
        for stamp, count in seen.items():
            if count > 1:
                self._fault("no_duplicates", f"at {_minute(stamp)}")
        if self._stamps != sorted(self._stamps):
            self._fault("time_monotone", "goes back")

    def _next(self) -> str | None:
        line = next(self._lines, None)
        if line is not None:
            self.rows += 1
            self._stamps.append(line.partition(",")[0].rstrip("\n"))
        return line

    def _fault(self, check: str, what: str) -> None:
        self.faults[check] += 1
        kept = self.examples.setdefault(check, [])
        if len(kept) < KEPT_MAX:
            kept.append(f"{self.path} {what}")


def keep_differences(path: Path, lines: Sequence[str]) -> None:
    """Differences in one text, beside the document of their checks; no file where there is none."""
    if lines:
        write_atomic(path, ("\n".join(lines[:KEPT_MAX]) + "\n").encode())
    else:
        path.unlink(missing_ok=True)


def _check(name: str, files: Sequence[_CsvFile]) -> Check:
    """One check over all files, with the number of faults and the first of them."""
    faults = sum(file.faults[name] for file in files)
    wrong = [file.examples[name] for file in files if name in file.examples]
    examples = [text for kept in wrong for text in kept][:EXAMPLES_MAX]
    detail = f"{faults} faults in {len(wrong)} of {len(files)} files: {'; '.join(examples)}"
    if faults > len(examples):
        detail += f"; and {faults - len(examples)} more"
    return Check(name, faults == 0, detail if faults else _CHECKS[name], {"faults": faults, "files": len(files)})
