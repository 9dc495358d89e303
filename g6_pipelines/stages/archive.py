"""The archive stage: a finished day, compacted, into the configured store, and back from there."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from g6_core.adapters.archive import files_of_day, read_manifest, restore_files, store_day
from g6_core.adapters.compaction import compact_lake
from g6_core.adapters.lake import lake_exists
from g6_core.adapters.lake_parquet import parquet_of
from g6_core.adapters.ledger import Ledger
from g6_core.adapters.ledger.export import export
from g6_core.adapters.object_store import ObjectStore, open_store
from g6_core.adapters.world import Simulated, mark_simulated, simulated_days
from g6_core.config import Settings
from g6_core.domain.errors import ConfigError, DataError
from g6_core.domain.ist import ist_clock
from g6_core.schema.archive import MANIFEST_VERSION, ArchivedAccount, MadeFrom, Manifest
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.stages.accounting import account_day


@dataclass(frozen=True, slots=True)
class Archived:
    """What lies in the archive of a day, where, and how many objects had to be sent for it."""

    manifest: Manifest
    where: str
    sent: int

    def line(self) -> str:
        """In one line."""
        made = self.manifest
        said = "complete" if made.complete else "NOT COMPLETE"
        return (
            f"{made.day}: {said}, {len(made.files)} files, {made.bytes:,} bytes in {self.where}, read back and equal; "
            f"{self.sent} objects sent now"
        )


def configured_store(settings: Settings) -> ObjectStore:
    """The store of the configuration. ConfigError when there is none; else errors as `open_store`."""
    if settings.archive is None:
        raise ConfigError(f"{settings.path}: archive.enabled is false; turn the archive on and name its place")
    return open_store(settings.archive)


def require_over(site: Site, day: date, now_ms: int) -> None:
    """DataError while an index of the configuration trades on the day, CalendarError for a day without a session."""
    close_ms = site.rules.joint_session(site.indices, day).close_ms
    if now_ms < close_ms:
        raise DataError(f"{day} is not over; archive it after {ist_clock(close_ms)}")


def archive_day(store: ObjectStore, site: Site, day: date) -> Archived:
    """Archive what is there of a day; the same day again sends nothing, but everything is read back again.

    The caller knows that the day is over. DataError when nothing of it was collected, or somebody is collecting; as
    `Ledger.of` when the ledger cannot be read.
    """
    site.rules.require_trading_day(day)
    days, paths, settings = [Day(site, day, name) for name in site.rules.underlyings], site.paths, site.settings
    days = [one for one in days if lake_exists(one.lake)]
    if not days:
        raise DataError(f"{paths.root}: nothing was collected on {day}; there is nothing to archive")
    for one in days:
        compact_lake(one.lake)
    csv = settings.archive is not None and settings.archive.csv
    contents = {
        path.relative_to(paths.root).as_posix(): path.read_bytes() for path in files_of_day(paths.root, day, csv=csv)
    }
    contents |= _ledger_of(paths, day)
    made = simulated_days(paths).get(day)
    accounts = {one.index: account_day(one).day for one in days}
    manifest = Manifest(
        version=MANIFEST_VERSION,
        day=day,
        simulated=None if made is None else MadeFrom(made.source, made.seed),
        accounts={name: ArchivedAccount(one.complete, one.line()) for name, one in accounts.items()},
        files=(),
    )
    manifest, sent = store_day(store, manifest, contents)
    return Archived(manifest, store.label, sent)


def restore_day(store: ObjectStore, day: date, into: Path) -> tuple[Manifest, int]:
    """Restore a day into a data directory; (its manifest, files that were not there yet).

    DataError when the day is not archived, an object is damaged, or something else lies in the way, a lake that was
    collected there included.
    """
    manifest = read_manifest(store, day)
    if manifest is None:
        raise DataError(f"{store.label}: {day} is not archived")
    paths = DataPaths(into)
    for name in manifest.accounts:
        stream = paths.lake(day, name)
        if stream.exists() and not parquet_of(stream).exists():
            raise DataError(f"{stream}: is there already and would hide what is restored; restore into another folder")
    count = restore_files(store, manifest, into)
    if manifest.simulated is not None:
        mark_simulated(paths, day, Simulated(manifest.simulated.source, manifest.simulated.seed))
    return manifest, count


def _ledger_of(paths: DataPaths, day: date) -> dict[str, bytes]:
    """The day's rows of the installation's ledger as CSV files, by path; the ledger itself is of all days.

    Errors as `Ledger.of`: a day must not be called archived while its ledger cannot be read.
    """
    if not Ledger.exists(paths):
        return {}
    with TemporaryDirectory() as folder, Ledger.of(paths) as ledger:
        return {f"ledger/{day}/{path.name}": path.read_bytes() for path in export(ledger, Path(folder), day)}
