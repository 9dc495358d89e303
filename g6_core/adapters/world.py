"""Which days of a data directory are simulated, and what a simulated run may fill or replace there."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from g6_core.adapters.csv_sink import clear_day
from g6_core.adapters.files import held, write_atomic
from g6_core.adapters.lake import lake_exists
from g6_core.domain.errors import DataError
from g6_core.schema.paths import DataPaths

MODELLED = "modelled"


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulated day was made from."""

    source: str
    seed: int


@contextmanager
def only_run(paths: DataPaths) -> Iterator[None]:
    """Keep every other simulated run out of this data directory. DataError when one is at work there."""
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        with FileLock(paths.run_lock, blocking=False):
            yield
    except Timeout:
        raise DataError(f"{paths.root}: another run is at work here; let it end or choose another --data-dir") from None
    except OSError as error:
        raise DataError(f"{paths.root}: {error.strerror or error}; choose a --data-dir you can write to") from error


def simulated_days(paths: DataPaths) -> dict[date, Simulated]:
    """The days of a data directory that are simulated. DataError when the marker is damaged."""
    marker = paths.simulated
    try:
        known = json.loads(marker.read_text())
        return {date.fromisoformat(day): Simulated(**made) for day, made in known.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{marker}: not a list of simulated days ({error}); remove it or choose another directory"
        ) from error


def mark_simulated(paths: DataPaths, day: date, made: Simulated) -> None:
    """Note that `day` is simulated: only such a day may be cleared and made anew."""
    with held(paths.shared_lock):
        known = simulated_days(paths) | {day: made}
        document = {str(day): {"source": one.source, "seed": one.seed} for day, one in known.items()}
        write_atomic(paths.simulated, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def clear_collected(paths: DataPaths, day: date, underlyings: Iterable[str], made: Simulated) -> None:
    """Make room for a simulated collection of these indices. DataError when what lies there was not simulated."""
    names = tuple(underlyings)
    real = _kept(paths, day, names)
    if real and day not in simulated_days(paths):
        raise DataError(
            f"{real[0]}: from a real market, a simulated day must not replace it; use another data directory"
        )
    mark_simulated(paths, day, made)
    clear_day(paths, day, names)


def claim_answers(paths: DataPaths, day: date, underlyings: Iterable[str], made: Simulated | None) -> None:
    """A day is completed from the market it was collected from. `made` is None for a real broker.

    DataError when the day lies there from another market; a simulated day of which nothing lies there is marked.
    """
    _claim(paths, day, underlyings, made, "candles of {} must not complete it")


def claim_quotes(paths: DataPaths, day: date, underlyings: Iterable[str], made: Simulated | None) -> None:
    """A day is collected from one market. `made` is None for a real broker. As `claim_answers`."""
    _claim(paths, day, underlyings, made, "quotes of {} must not continue it; use another data directory")


def _claim(paths: DataPaths, day: date, underlyings: Iterable[str], made: Simulated | None, why_not: str) -> None:
    known = simulated_days(paths).get(day)
    if known != made and (known is not None or _kept(paths, day, underlyings)):
        kept, asked = ("a real market" if one is None else f"{one.source}, seed {one.seed}" for one in (known, made))
        raise DataError(f"{paths.root}: {day} is from {kept}; {why_not.format(asked)}")
    if made is not None and known is None:
        mark_simulated(paths, day, made)


def _kept(paths: DataPaths, day: date, underlyings: Iterable[str]) -> list[Path]:
    """What lies there of a day: quotes, candles, and what was captured because it expired on it."""
    found = []
    for name in underlyings:
        lake = paths.lake(day, name)
        others = (paths.closing(day, name), paths.answers(day, name), paths.repaired(day, name))
        found += [lake] if lake_exists(lake) else []
        found += [path for path in (*others, paths.expired(name, day)) if path.exists()]
    return found


def claim_day(paths: DataPaths, day: date, made: Simulated, underlyings: Iterable[str]) -> None:
    """Make the whole of a simulated `day` ours: an earlier simulated run's journal and rows are removed.

    DataError when a real day lies there or the directory cannot be written.
    """
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        if paths.journal(day).exists() and day not in simulated_days(paths):
            raise DataError(
                f"{paths.root}: holds a journal of {day} that no simulated day wrote; choose another --data-dir"
            )
        clear_collected(paths, day, underlyings, made)
        for left in (paths.journal(day), paths.paper_account(day), paths.summary, paths.report):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{paths.root}: {error.strerror or error}; choose a --data-dir you can write to") from error
