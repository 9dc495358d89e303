"""The dump of the day, fetched once: it is valid for one day, and Kite publishes the new one at about 08:00 IST."""

from dataclasses import dataclass, replace
from datetime import date, time

import msgspec

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.kite.client import KiteConnect
from g6_core.domain.errors import BrokerError, DataError
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at, utc_text
from g6_core.schema.paths import DataPaths
from g6_core.site import Site
from g6_pipelines.stages.prepare import StoredDump, store_dump, stored_dump

# Before that Kite still gives the dump of the day before.
PUBLISHED = time(8)
# A dump that is doubted is asked for again, but not more often than this.
DOUBTED_FOR_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class DumpNote:
    """What is known of a stored dump: when it was fetched (UTC), the hash of its file, and why it is doubted."""

    fetched: str
    sha256: str
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class DayDump:
    """The dump to work with. `hit` when it lay there already; `doubt` says why it may not be the one of the day."""

    dump: StoredDump
    hit: bool
    doubt: str


def day_dump(kite: KiteConnect, site: Site, day: date, now_ms: int) -> DayDump:
    """The stored dump of the configured indices while it is valid, else a new one.

    One that is doubted is good for ten minutes, and for as long as the broker gives no other that can be read; its
    doubt stays with it. Raises BrokerError or DataError when there is none to have.
    """
    stored = _stored(site, day, now_ms)
    if stored is not None and _is_fresh(read_note(site.paths, day), now_ms):
        return stored
    try:
        return fetched_dump(kite, site, day, now_ms)
    except BrokerError:
        if stored is None:
            raise
        return stored
    except DataError as error:
        if stored is None:
            raise
        return replace(stored, doubt=f"{stored.doubt}; the broker's new one cannot be used: {error}")


def _stored(site: Site, day: date, now_ms: int) -> DayDump | None:
    """The dump that is there with its doubt; None when it is not whole, or of before 08:00 and that has passed."""
    note = read_note(site.paths, day)
    if note is None or (note.fetched < utc_text(at(day, PUBLISHED)) <= utc_text(now_ms)):
        return None
    try:
        dump = stored_dump(site, day, site.indices)
    except DataError:
        return None
    return DayDump(dump, True, note.doubt) if dump.sha256 == note.sha256 else None


def _is_fresh(note: DumpNote | None, now_ms: int) -> bool:
    """Whether the broker need not be asked again."""
    if note is None:
        return False
    # Whole seconds: only texts of one length can be compared.
    now_ms -= now_ms % SECOND_MS
    return not note.doubt or utc_text(now_ms - DOUBTED_FOR_MS) < note.fetched[:19] + "Z" <= utc_text(now_ms)


def fetched_dump(kite: KiteConnect, site: Site, day: date, now_ms: int) -> DayDump:
    """A new dump, stored with a note of when it was fetched. Errors as `day_dump`."""
    dump = store_dump(kite, site, day, site.indices)
    doubt = _doubt(site.paths, day, dump.sha256, now_ms)
    write_atomic(site.paths.dump_note(day), canonical_json(DumpNote(utc_text(now_ms), dump.sha256, doubt)) + b"\n")
    return DayDump(dump, False, doubt)


def read_note(paths: DataPaths, day: date) -> DumpNote | None:
    """The note of a day's dump; None when there is none that can be read."""
    try:
        return msgspec.json.decode(paths.dump_note(day).read_bytes(), type=DumpNote)
    except (OSError, msgspec.MsgspecError):
        return None


def _doubt(paths: DataPaths, day: date, sha256: str, now_ms: int) -> str:
    """Why a fetched dump may be that of an earlier day."""
    if now_ms < at(day, PUBLISHED):
        return f"fetched before {PUBLISHED:%H:%M}, when Kite still gives the dump of the day before"
    earlier = [path.stem for path in paths.dump_note(day).parent.glob("*.json") if path.stem < str(day)]
    before = read_note(paths, date.fromisoformat(max(earlier))) if earlier else None
    if before is not None and before.sha256 == sha256:
        return f"the same as on {max(earlier)}: the broker has not published a new one"
    return ""
