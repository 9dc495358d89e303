"""CSV files of the collected rows: one file per pair and per expiry overview, appended once a cycle under one lock."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from g6_core.adapters.files import claim_schema, unwritable, write_all
from g6_core.adapters.lake import remove_lake
from g6_core.domain.errors import DataError
from g6_core.domain.ist import utc_text
from g6_core.schema.options import OPTION_COLUMNS, OPTIONS_VERSION, OVERVIEW_COLUMNS, Kind, OptionRow, OverviewRow
from g6_core.schema.paths import DataPaths

LOCK_TIMEOUT_S = 10.0
_TAIL_BYTES = 65_536

# Overviews of before do not say of how many strikes they are.
_OVERVIEW_BEFORE = tuple(name for name in OVERVIEW_COLUMNS if name != "strikes")

# A cycle writes the same few stamps into hundreds of lines.
_utc_text = lru_cache(maxsize=1024)(utc_text)

_FORMATS: Final = {
    Kind.TIME_MS: "%s",
    Kind.DATE: "%s",
    Kind.TEXT: "%s",
    Kind.COUNT: "%s",
    Kind.RUPEES: "%.2f",
    Kind.NUMBER: "%.6f",
}
# The places of the times among the known cells, and the format of a line with these cells known.
_Template = tuple[tuple[int, ...], str]


def option_line(row: OptionRow) -> str:
    """The line of a row, without its end."""
    return _line(row.cells(), _option_template)


def overview_line(row: OverviewRow) -> str:
    """The line of an overview, without its end."""
    return _line(row.cells(), _overview_template)


def _line(cells: Sequence[Any], template_of: Callable[[tuple[bool, ...]], _Template]) -> str:
    """None is an empty cell; no cell of ours needs quoting."""
    times, template = template_of(tuple([cell is not None for cell in cells]))
    known = [cell for cell in cells if cell is not None]
    for place in times:
        known[place] = _utc_text(known[place])
    return template % tuple(known)


def _template(kinds: Iterable[Kind], known: tuple[bool, ...]) -> _Template:
    formats = [_FORMATS[kind] if there else "" for kind, there in zip(kinds, known, strict=True)]
    kept = [kind for kind, there in zip(kinds, known, strict=True) if there]
    return tuple(place for place, kind in enumerate(kept) if kind is Kind.TIME_MS), ",".join(formats)


# Rows differ little in which of their cells are known, and one format a line is several times as fast as one a cell.
_option_template = lru_cache(maxsize=512)(partial(_template, OPTION_COLUMNS.values()))
_overview_template = lru_cache(maxsize=512)(partial(_template, OVERVIEW_COLUMNS.values()))


@dataclass(slots=True, eq=False)
class _File:
    """A file, and the stamp (UTC text) of its last line; "" before the first."""

    path: Path
    last: str


class CsvSink:
    """Appends rows to the files of one day; each file is checked, and healed if torn, before its first append."""

    def __init__(self, paths: DataPaths, day: date) -> None:
        self._paths = paths
        self._day = day
        self._files: dict[tuple[str, str, int | None], _File] = {}
        self._lock = FileLock(paths.root / "csv" / ".lock", timeout=LOCK_TIMEOUT_S)
        self.healed_files = 0
        schema: dict[str, object] = {
            "version": OPTIONS_VERSION,
            "options": {name: kind.value for name, kind in OPTION_COLUMNS.items()},
            "overview": {name: kind.value for name, kind in OVERVIEW_COLUMNS.items()},
        }
        before = schema | {"overview": {name: OVERVIEW_COLUMNS[name].value for name in _OVERVIEW_BEFORE}}
        claim_schema(paths.root / "csv" / "_schema.json", schema, continues=(before,))

    def append(self, options: Iterable[OptionRow], overviews: Iterable[OverviewRow]) -> None:
        """Add the rows of one or more cycles; a row not newer than the last of its file is already there.

        Raises DataError when a file cannot be written, is not of this schema, or another process holds the lock.
        """
        with self._held():
            lines: dict[_File, list[str]] = {}
            for row in options:
                file = self._file((row.index, row.expiry_code, row.offset))
                if _utc_text(row.time_ms) > file.last:
                    lines.setdefault(file, []).append(option_line(row))
            for overview in overviews:
                file = self._file((overview.index, overview.expiry_code, None))
                if _utc_text(overview.time_ms) > file.last:
                    lines.setdefault(file, []).append(overview_line(overview))
            for file, added in lines.items():
                _append(file.path, "\n".join([*added, ""]))
                file.last = added[-1].partition(",")[0]

    def newest_of_all(self, index: str, pairs: Iterable[tuple[str, int]]) -> str:
        """Up to which stamp (UTC text) every file of these (expiry code, offset), and of their overviews, has its rows.

        "" when one of them has none, as an overview of before has after it was emptied. Errors as `append`.
        """
        with self._held():
            known = list(pairs)
            files = [self._file((index, *pair)) for pair in known]
            files += [self._file((index, code, None)) for code in dict.fromkeys(code for code, _ in known)]
            return min([file.last for file in files], default="")

    def _file(self, key: tuple[str, str, int | None]) -> _File:
        """File of (index, expiry code, offset), of the overview when the offset is None; prepared when it is new."""
        found = self._files.get(key)
        if found is None:
            index, code, offset = key
            if offset is None:
                path, columns = self._paths.csv_overview(index, code, self._day), OVERVIEW_COLUMNS
            else:
                path, columns = self._paths.csv_options(index, code, offset, self._day), OPTION_COLUMNS
            last, healed = _prepare_file(path, columns)
            self.healed_files += healed
            found = self._files[key] = _File(path, last)
        return found

    def _held(self) -> AbstractContextManager[Any]:
        try:
            return self._lock.acquire()
        except Timeout as error:
            raise DataError(
                f"{self._lock.lock_file} is held by another process; stop the other collector of this data directory"
            ) from error


def clear_day(paths: DataPaths, day: date, underlyings: Iterable[str]) -> None:
    """Remove what an earlier run of a simulated day collected and asked of these indices: lakes, candles, CSV files."""
    for name in underlyings:
        try:
            remove_lake(paths.lake(day, name))
            for path_of in (paths.cycle_log, paths.closing, paths.answers, paths.repaired):
                path_of(day, name).unlink(missing_ok=True)
            if paths.expired(name, day).exists():
                shutil.rmtree(paths.expired(name, day))
            for path in sorted((paths.root / "csv").glob(f"*/{name}/*/*/{day}.csv")):
                path.unlink()
        except OSError as error:
            raise unwritable(paths.lake(day, name), error) from error


def _prepare_file(path: Path, columns: Mapping[str, Kind]) -> tuple[str, int]:
    """(stamp of the last whole line or '', 1 if a torn line was cut off); a new or torn-empty file gets its header.

    An overview of before is emptied: it is written again from the lake, of which it is a view.
    """
    header = ",".join(columns) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size if path.exists() else 0
        with path.open("r+b" if size else "w+b") as file:
            start = max(size - _TAIL_BYTES, 0)
            file.seek(start)
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            file.seek(0)
            if start + whole == 0:
                if not header.encode().startswith(tail):
                    raise DataError(f"{path}: not a file of this schema; move it away")
                file.truncate(0)
                file.write(header.encode())
                return "", int(size > 0)
            found = file.readline()
            if columns is OVERVIEW_COLUMNS and found == (",".join(_OVERVIEW_BEFORE) + "\n").encode():
                file.seek(0)
                file.truncate()
                file.write(header.encode())
                return "", 0
            if found != header.encode():
                raise DataError(f"{path}: not a file of this schema; move it away")
            file.truncate(start + whole)
    except OSError as error:
        raise unwritable(path, error) from error
    stamp = tail[:whole].splitlines()[-1].partition(b",")[0].decode()
    return ("" if stamp == next(iter(columns)) else stamp), int(whole < len(tail))


def _append(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            write_all(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error
