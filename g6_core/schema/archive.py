"""What is archived of a day, and the manifest that says so."""

from dataclasses import dataclass, replace
from datetime import date

MANIFEST_VERSION = 1
# Below the data directory; `{day}` is the date. Files of all indices, of whatever the day has.
DAY_FILES = (
    "lake/options/*/{day}.parquet",
    "lake/cycles/*/{day}.jsonl",
    "lake/closing/*/{day}.parquet",
    "lake/answers/*/{day}.arrows",
    "lake/repaired/*/{day}.parquet",
    "lake/expired/*/{day}/*",
    "state/instruments/{day}.*",
    "state/instruments/listed_later/{day}.parquet",
    "state/day_pack/{day}.json",
    "state/picks/{day}.json",
    "state/scores/{day}.json",
    "state/trade_report/{day}.json",
    "state/paper/{day}.json",
    "state/reconciliation/*/{day}.json",
    "journal/{day}.g6j",
    "reports/{day}.html",
)
CSV_FILES = ("csv/*/*/*/*/{day}.csv",)
# Says of a folder by which columns its files were written, so it goes with them.
SCHEMA_FILE = "_schema.json"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file: its path below the data directory, its object below the day, and what it must be.

    `schema_version` is that of its folder; None where the file says itself what it is.
    """

    path: str
    object: str
    bytes: int
    sha256: str
    schema_version: int | None


@dataclass(frozen=True, slots=True)
class ArchivedAccount:
    """Whether every minute of an index was accounted for when the day was archived, and the line that says so."""

    complete: bool
    said: str


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What a simulated day was made from."""

    source: str
    seed: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A day in the archive. `sha256` covers the canonical JSON of all other fields; `simulated` is None for a real day.

    Holds no time of its own: the same day gives the same manifest.
    """

    version: int
    day: date
    simulated: MadeFrom | None
    accounts: dict[str, ArchivedAccount]
    files: tuple[ArchivedFile, ...]
    sha256: str = ""

    @property
    def complete(self) -> bool:
        """Whether every index was; a day without any is not."""
        return bool(self.accounts) and all(one.complete for one in self.accounts.values())

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(one.bytes for one in self.files)

    def unsealed(self) -> "Manifest":
        """What the hash is taken of."""
        return replace(self, sha256="")
