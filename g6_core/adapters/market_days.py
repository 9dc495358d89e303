"""Reads holidays and special sessions: `holidays.yaml`, `overrides.yaml` and the `holidays_<year>.yaml` beside them."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from g6_core.adapters import market_schema as schema
from g6_core.adapters.market_files import MarketFiles
from g6_core.domain.errors import ConfigError
from g6_core.domain.trading_days import Holiday, Hours, SpecialDay, TradingDays

BASE, OVERRIDES = "holidays.yaml", "overrides.yaml"
_YEAR_FILE = re.compile(r"holidays_(\d{4})\.yaml")


def year_file(year: int) -> str:
    """Return the name of the file that holds a later year's list or the changes of a known year."""
    return f"holidays_{year}.yaml"


def year_files(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield year and name of the year files of a folder, ascending."""
    for path in sorted(folder.glob("holidays_*.yaml")):
        match = _YEAR_FILE.fullmatch(path.name)
        if match is None:
            raise ConfigError(f"{path}: no year in its name; call it like holidays_2027.yaml or remove it")
        yield int(match[1]), path.name


def read_trading_days(files: MarketFiles) -> TradingDays:
    """Return the trading days of the market files; a year file adds to the base and wins where both name a day.

    ConfigError with one line when a file is missing or wrong.
    """
    base = files.read(BASE, schema.HolidaysFile)
    published, holidays = dict(base.published), dict(base.holidays)
    special = dict(files.read(OVERRIDES, schema.OverridesFile).special_days)
    first, last = base.covers.first, base.covers.last
    if first > last:
        raise ConfigError(f"{files.path(BASE)}: covers: {first} is after {last}; swap from and to")
    for name, days in ((BASE, holidays), (OVERRIDES, special)):
        outside = [day for day in days if not first <= day <= last]
        if outside:
            raise ConfigError(
                f"{files.path(name)}: {outside[0]} is outside covers {first} to {last} of holidays.yaml; "
                "widen covers or remove the day"
            )
    unpublished = {day.year for day in base.holidays} - set(base.published)
    if unpublished:
        raise ConfigError(
            f"{files.path(BASE)}: published: {min(unpublished)} is missing; add the day that year's list became public"
        )
    for year, name in year_files(files.folder):
        file = files.read(name, schema.YearFile)
        _require_year(files.path(name), year, (*file.holidays, *file.special_days))
        if file.published is not None:
            if year > last.year + 1:
                raise ConfigError(f"{files.path(name)}: {last.year + 1}'s list comes first; add it")
            published[year] = file.published
            last = max(last, date(year, 12, 31))
        holidays |= file.holidays
        special |= file.special_days
    return TradingDays(
        first=first,
        last=last,
        holidays={day: _holiday(files, day, row, published) for day, row in sorted(holidays.items())},
        special={day: _special(day, row, published) for day, row in sorted(special.items())},
        published=published,
        fixed=_fixed(base),
        file=files.path(BASE),
    )


def _require_year(file: str, year: int, days: tuple[date, ...]) -> None:
    for day in days:
        if day.year != year:
            raise ConfigError(f"{file}: {day} is not in {year}; put it into {year_file(day.year)}")


def _holiday(files: MarketFiles, day: date, row: schema.HolidayRow, published: Mapping[int, date]) -> Holiday:
    known_from = row.known_from or published.get(day.year)
    if known_from is None:
        raise ConfigError(
            f"{files.path(year_file(day.year))}: holidays.{day}: known_from is missing; "
            f"add the day of its notice, or `published` with the day {day.year}'s list became public"
        )
    return Holiday(row.name, known_from, row.withdrawn)


def _special(day: date, row: schema.SpecialRow, published: Mapping[int, date]) -> SpecialDay:
    return SpecialDay(
        row.name,
        Hours(row.open, row.close, row.close, row.close),
        row.mis_cutoff,
        row.expiry_day,
        row.known_from or published.get(day.year, date.min),
    )


def _fixed(base: schema.HolidaysFile) -> dict[tuple[int, int], str]:
    """Return the holidays that come every year, by the name they had last."""
    names = {(day.month, day.day): row.name for day, row in sorted(base.holidays.items())}
    keys = [(int(text[:2]), int(text[3:])) for text in base.fixed]
    return {key: names.get(key, "fixed holiday") for key in keys}
