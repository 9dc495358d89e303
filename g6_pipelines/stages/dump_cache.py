"""The dump of the day, fetched once: it is valid for one day, and Kite publishes the new one at about 08:00 IST."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time

import msgspec
from kiteconnect import KiteConnect

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at, utc_text
from g6_core.schema.paths import DataPaths
from g6_pipelines.stages.prepare import StoredDump, store_dump, stored_dump

# Before that Kite still gives the dump of the day before.
PUBLISHED = time(8)


@dataclass(frozen=True, slots=True)
class DumpNote:
    """What is known of a stored dump: when it was fetched (UTC), and the hash of its file."""

    fetched: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DayDump:
    """The dump to work with. `hit` when it lay there already; `doubt` says why it may not be the one of the day."""

    dump: StoredDump
    hit: bool
    doubt: str


def day_dump(
    kite: KiteConnect, rules: MarketRules, paths: DataPaths, day: date, underlyings: Sequence[str], now_ms: int
) -> DayDump:
    """The stored dump while it is valid, else a new one. Raises BrokerError or DataError when there is none to have."""
    note = read_note(paths, day)
    if note is not None and note.fetched >= utc_text(at(day, PUBLISHED)):
        try:
            dump = stored_dump(rules, paths, day, underlyings)
            if dump.sha256 == note.sha256:
                return DayDump(dump, True, "")
        except DataError:
            """Fetched anew, as if there had been none."""
    return fetched_dump(kite, rules, paths, day, underlyings, now_ms)


def fetched_dump(
    kite: KiteConnect, rules: MarketRules, paths: DataPaths, day: date, underlyings: Sequence[str], now_ms: int
) -> DayDump:
    """A new dump, stored with a note of when it was fetched. Errors as `day_dump`."""
    dump = store_dump(kite, rules, paths, day, underlyings)
    write_atomic(paths.dump_note(day), canonical_json(DumpNote(utc_text(now_ms), dump.sha256)) + b"\n")
    return DayDump(dump, False, _doubt(paths, day, dump.sha256, now_ms))


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
