"""The retention stage: what the configuration wants to be gone, and may go because its rows are kept elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

from g6_core.adapters.archive import damaged_objects, read_manifest
from g6_core.adapters.compaction import compact_lake
from g6_core.adapters.files import sha256_hex, unwritable
from g6_core.adapters.hints import command
from g6_core.adapters.object_store import ObjectStore
from g6_core.domain.errors import DataError
from g6_core.schema.archive import CSV_FILES, Manifest
from g6_core.schema.paths import DataPaths
from g6_core.site import Site

STREAM_FILES = "lake/options/*/{day}.arrows"


class Kind(StrEnum):
    """What may be removed of a day."""

    STREAMS = "streams"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Due:
    """Files of one kind and day that are older than wanted; `kept_because` says why they stay nevertheless."""

    day: date
    kind: Kind
    files: tuple[Path, ...]
    bytes: int
    kept_because: str = ""

    def line(self, removed: bool) -> str:
        """In one line."""
        what = f"{self.day} {self.kind}: {len(self.files)} files, {self.bytes:,} bytes"
        return f"{what}, kept: {self.kept_because}" if self.kept_because else f"{what}{', removed' if removed else ''}"


def due(site: Site, store: ObjectStore | None, today: date) -> list[Due]:
    """What is older than the configuration keeps, oldest first; nothing is changed.

    With a `store`, a day must be complete in it: its manifest there, every object read and equal, every minute
    accounted for. Raises the errors of the store.
    """
    found = sorted(_old(site, today), key=lambda one: (one.day, one.kind))
    if store is None:
        return found
    why = {day: _not_archived(site.paths, store, day) for day in dict.fromkeys(one.day for one in found)}
    return [Due(one.day, one.kind, one.files, one.bytes, why[one.day]) for one in found]


def remove(paths: DataPaths, store: ObjectStore | None, wanted: list[Due]) -> list[Due]:
    """Remove what is due, and say of each what became of it. A stream goes after its rows were compared once more."""
    return [one if one.kept_because else _removed(paths, store, one) for one in wanted]


def _old(site: Site, today: date) -> Iterator[Due]:
    wanted = {
        Kind.STREAMS: (site.settings.retention.stream_days, (STREAM_FILES,)),
        Kind.CSV: (site.settings.retention.csv_days, CSV_FILES),
    }
    for kind, (days, patterns) in wanted.items():
        by_day: dict[date, list[Path]] = {}
        for pattern in patterns if days is not None else ():
            for path in sorted(site.paths.root.glob(pattern.format(day="*"))):
                day = _day_of(path)
                assert days is not None
                if day is not None and day < today - timedelta(days=days):
                    by_day.setdefault(day, []).append(path)
        for day, files in by_day.items():
            yield Due(day, kind, tuple(files), sum(path.stat().st_size for path in files))


def _day_of(path: Path) -> date | None:
    """The day a file is named after; None for any other file."""
    try:
        return date.fromisoformat(path.stem)
    except ValueError:
        return None


def _archive_command(paths: DataPaths, day: date) -> str:
    return command("data", "archive", "--date", day, "--data-dir", paths.root)


def _not_archived(paths: DataPaths, store: ObjectStore, day: date) -> str:
    """Why nothing of a day may go; empty when it is complete in the archive."""
    try:
        manifest = read_manifest(store, day)
        if manifest is None:
            return f"not archived; run {_archive_command(paths, day)}"
        open_indices = [name for name, one in manifest.accounts.items() if not one.complete]
        if not manifest.complete:
            return f"archived, but not complete: {', '.join(open_indices) or 'nothing was collected'}"
        damaged = damaged_objects(store, manifest)
        return f"{len(damaged)} files of the archive are damaged, first {damaged[0]}" if damaged else ""
    except DataError as error:
        return str(error)


def _removed(paths: DataPaths, store: ObjectStore | None, one: Due) -> Due:
    try:
        manifest = read_manifest(store, one.day) if store is not None else None
        for path in one.files:
            if one.kind is Kind.STREAMS:
                compacted = compact_lake(path)
                if store is not None and not _holds(manifest, compacted, paths.root):
                    raise DataError(f"the archive has other rows; run {_archive_command(paths, one.day)}")
                compact_lake(path, drop_stream=True)
            else:
                path.unlink(missing_ok=True)
    except DataError as error:
        return Due(one.day, one.kind, one.files, one.bytes, str(error))
    except OSError as error:
        raise unwritable(one.files[0], error) from error
    return one


def _holds(manifest: Manifest | None, file: Path, root: Path) -> bool:
    """Whether the archive has exactly this file."""
    path, digest = file.relative_to(root).as_posix(), sha256_hex(file.read_bytes())
    return manifest is not None and any((one.path, one.sha256) == (path, digest) for one in manifest.files)
