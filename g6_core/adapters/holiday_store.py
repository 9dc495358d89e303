"""Writes what a holiday list changes as `holidays_<year>.yaml`, proven by loading the rules that come of it."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from g6_core.adapters import market_schema as schema
from g6_core.adapters.files import write_atomic
from g6_core.adapters.holiday_files import ReadList
from g6_core.adapters.market_days import BASE, year_file
from g6_core.adapters.market_files import MarketFiles
from g6_core.adapters.market_rules import load_market_rules
from g6_core.domain.calendar import MarketRules
from g6_core.domain.holiday_lists import Change, ChangeKind

HEADER = """\
# Written by `g6 market refresh`, which rewrites this file as a whole: put remarks elsewhere. Added to holidays.yaml and
# overrides.yaml, and wins where both name a day. The fields are explained there.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: the source in words, how certain it is, and the day it became public."""

    source: str
    certainty: schema.Certainty
    known_from: date


def year_with(
    config_dir: Path, year: int, given: ReadList, changes: Iterable[Change], origin: Origin, *, new_list: bool
) -> schema.YearFile:
    """Return the year's file with the changes in it. `new_list`: the year's list becomes public with them."""
    files = MarketFiles(config_dir / "market")
    current = files.read(year_file(year), schema.YearFile) if (files.folder / year_file(year)).exists() else None
    known = {**files.read(BASE, schema.HolidaysFile).holidays, **(current.holidays if current else {})}
    rows = dict(current.holidays) if current else {}
    for change in changes:
        before, own = known.get(change.day), given.rows.get(change.day)
        if new_list and before is None and own is None:
            rows[change.day] = schema.HolidayRow(name=change.name)
        else:
            rows[change.day] = _notice(change, before, own, origin)
    special = dict(current.special_days) if current else {}
    for day, row in given.special.items():
        if day.year == year:
            late = row.known_from is None and not new_list
            special[day] = row.model_copy(update={"known_from": origin.known_from}) if late else row
    keeps = current is not None and not new_list
    return schema.YearFile(
        source=current.source if keeps and current else origin.source,
        certainty=current.certainty if keeps and current else origin.certainty,
        published=origin.known_from if new_list else (current.published if current else None),
        holidays=dict(sorted(rows.items())),
        special_days=dict(sorted(special.items())),
    )


def _notice(
    change: Change, before: schema.HolidayRow | None, own: schema.HolidayRow | None, origin: Origin
) -> schema.HolidayRow:
    """Return a day that was declared or taken back by itself; `before` as it was known, `own` as the list has it."""
    known_from: date | None = change.known_from
    if change.kind is ChangeKind.WITHDRAWN:
        declared = before or own
        known_from = declared.known_from if declared else None
    return schema.HolidayRow(
        name=change.name,
        known_from=known_from,
        withdrawn=change.known_from if change.kind is ChangeKind.WITHDRAWN else None,
        source=own.source if own else origin.source,
        certainty=own.certainty if own else origin.certainty,
    )


def rules_with(config_dir: Path, years: Mapping[int, schema.YearFile]) -> MarketRules:
    """Return the rules as they would be with these years' files. ConfigError when they could not be loaded."""
    with TemporaryDirectory() as folder:
        market = Path(folder) / "market"
        shutil.copytree(config_dir / "market", market)
        for year, file in years.items():
            (market / year_file(year)).write_bytes(_text(file))
        return load_market_rules(Path(folder))


def write_year(config_dir: Path, year: int, file: schema.YearFile) -> Path:
    """Replace the year's file as a whole and return its path. DataError when it cannot be written."""
    path = config_dir / "market" / year_file(year)
    write_atomic(path, _text(file))
    return path


class _Plain(yaml.SafeDumper):
    """Writes a date in full wherever it stands: our files have no references from one place to another."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(file: schema.YearFile) -> bytes:
    document: dict[str, Any] = {"source": file.source, "certainty": file.certainty}
    if file.published is not None:
        document["published"] = file.published
    document["holidays"] = {day: _row(row) for day, row in file.holidays.items()}
    if file.special_days:
        document["special_days"] = {day: _plain(row.model_dump()) for day, row in file.special_days.items()}
    return (HEADER + yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1_000)).encode()


def _row(row: schema.HolidayRow) -> str | dict[str, Any]:
    dated = _plain(row.model_dump())
    return row.name if set(dated) == {"name"} else dated


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in fields.items() if value is not None}
    return {key: f"{value:%H:%M}" if isinstance(value, time) else value for key, value in given.items()}
