"""`data/state/expiries.json`: which expiry each code means today."""

from dataclasses import dataclass
from datetime import date

EXPIRIES_VERSION = 1


@dataclass(frozen=True, slots=True)
class IndexExpiries:
    """`codes` has no entry for a code without a listed expiry; `listed` is ascending."""

    codes: dict[str, date]
    listed: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Expiries:
    """Resolved from the dump of `trade_date`, whose content has the hash `dump_sha256`."""

    version: int
    trade_date: date
    source_label: str
    dump_sha256: str
    indices: dict[str, IndexExpiries]
