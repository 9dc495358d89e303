"""Reads holiday lists as others write them: the exchange's JSON, a CSV, our YAML. One line for what cannot be read."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from g6_core.adapters import market_schema as schema
from g6_core.config_types import Day, Strictly, Text
from g6_core.config_yaml import read_yaml, validate
from g6_core.domain.errors import DataError
from g6_core.domain.holiday_lists import Dated, HolidayList

FILE_BYTES_MAX = 1_000_000
ROWS_MAX = 500
# Options are traded in the segment of futures and options.
SEGMENT = "FO"
DATE_COLUMNS = ("date", "tradingdate", "holidaydate")
NAME_COLUMNS = ("holiday", "description", "name", "holidays")
WEEKDAY_COLUMNS = ("weekday", "day")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_DAY_FIRST = re.compile(r"(\d{1,2})[- ]([A-Za-z]{3,9})[- ,]+(\d{4})")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9}) (\d{1,2}), ?(\d{4})")


@dataclass(frozen=True, slots=True)
class ReadList:
    """A list with what only our own YAML says: when it became public, rows with dates of their own, sessions."""

    holidays: HolidayList
    published: date | None = None
    rows: Mapping[date, schema.HolidayRow] = field(default_factory=dict)
    special: Mapping[date, schema.SpecialRow] = field(default_factory=dict)


class _OwnList(Strictly):
    """Our YAML: a year's file, the base file, or only its holidays."""

    source: Text | None = None
    certainty: schema.Certainty | None = None
    published: Day | dict[int, Day] | None = None
    covers: schema.Covers | None = None
    fixed: list[Text] | None = None
    holidays: schema.Holidays
    special_days: dict[Day, schema.SpecialRow] | None = None


def read_holiday_list(path: Path) -> ReadList:
    """Return the list in a file, by its ending: .json, .csv, .yaml or .yml. DataError or ConfigError with one line."""
    ending = path.suffix.lower()
    if ending in (".yaml", ".yml"):
        return _own(path)
    if ending not in (".json", ".csv"):
        raise DataError(f"{path}: not a .json, .csv or .yaml file; save the list as one of them")
    text = _text(path)
    rows = _json_rows(path, text) if ending == ".json" else _csv_rows(path, text)
    return ReadList(HolidayList(path.name, _days(path, rows)))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DataError(f"{path}: larger than {FILE_BYTES_MAX} bytes; this is no holiday list")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name the list that you saved") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; save it as UTF-8") from None


def _json_rows(path: Path, text: str) -> list[tuple[str, str, str]]:
    """Return date, weekday and name of each row of the segment."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); fetch it again") from None
    rows = document.get(SEGMENT) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise DataError(f'{path}: no rows under "{SEGMENT}" (futures and options); fetch the list of trading holidays')
    if not all(isinstance(row, dict) and isinstance(row.get("tradingDate"), str) for row in rows):
        raise DataError(f'{path}: a row under "{SEGMENT}" has no "tradingDate"; fetch it again')
    return [(row["tradingDate"], str(row.get("weekDay") or ""), str(row.get("description") or "")) for row in rows]


def _csv_rows(path: Path, text: str) -> list[tuple[str, str, str]]:
    try:
        table = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: not readable as CSV ({error}); save it again") from None
    table = [row for row in table if any(cell.strip() for cell in row)]
    columns = [re.sub(r"[^a-z]", "", cell.lower()) for cell in table[0]] if table else []
    places = [
        next((place for place, name in enumerate(columns) if name in names), None)
        for names in (DATE_COLUMNS, WEEKDAY_COLUMNS, NAME_COLUMNS)
    ]
    day, weekday, name = places
    if day is None or name is None:
        raise DataError(f"{path}: no columns date and holiday in its first line; write them there")
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(columns):
            raise DataError(f"{path}: row {number} has {len(row)} cells, the first line {len(columns)}; read by half?")
    return [(row[day], row[weekday] if weekday is not None else "", row[name]) for row in table[1:]]


def _days(path: Path, rows: Iterable[tuple[str, str, str]]) -> dict[date, str]:
    days: dict[date, str] = {}
    for number, (text, weekday, name) in enumerate(rows, 1):
        if number > ROWS_MAX:
            raise DataError(f"{path}: more than {ROWS_MAX} rows; this is no holiday list")
        day = _date(path, number, text)
        if weekday.strip() and weekday.strip().lower()[:3] != WEEKDAYS[day.weekday()]:
            raise DataError(
                f"{path}: row {number}: {day} is a {day:%A}, the file says {weekday.strip()}; check its dates"
            )
        said = " ".join(name.split()).rstrip("*# ")
        if not said:
            raise DataError(f"{path}: row {number}: {day} has no name; read by half?")
        days[day] = said if days.get(day, said) == said else f"{days[day]} and {said}"
    if not days:
        raise DataError(f"{path}: holds no holiday; fetch it again")
    return days


def _date(path: Path, number: int, text: str) -> date:
    """Return the date of ``2027-01-26``, ``26-Jan-2027``, ``26 January 2027`` or ``January 26, 2027``."""
    said = text.strip()
    try:
        if match := _ISO.fullmatch(said):
            return date(int(match[1]), int(match[2]), int(match[3]))
        if match := _DAY_FIRST.fullmatch(said):
            return date(int(match[3]), MONTHS.index(match[2].lower()[:3]) + 1, int(match[1]))
        if match := _MONTH_FIRST.fullmatch(said):
            return date(int(match[3]), MONTHS.index(match[1].lower()[:3]) + 1, int(match[2]))
    except ValueError:
        pass
    raise DataError(f"{path}: row {number}: {said!r} is not a date; write it like 26-Jan-2027 or 2027-01-26")


def _own(path: Path) -> ReadList:
    if not path.is_file():
        raise DataError(f"{path}: no such file; name the list that you saved")
    parsed = validate(_OwnList, read_yaml(path), path)
    days = {day: row.name for day, row in parsed.holidays.items() if row.withdrawn is None}
    if not parsed.holidays and not parsed.special_days:
        raise DataError(f"{path}: holds no holiday; write at least one below `holidays`")
    dated = {
        day: row for day, row in parsed.holidays.items() if row.known_from is not None or row.withdrawn is not None
    }
    published = parsed.published if isinstance(parsed.published, date) else None
    own = {day: Dated(row.name, row.known_from, row.withdrawn) for day, row in dated.items()}
    return ReadList(HolidayList(path.name, days, own), published, dated, parsed.special_days or {})
