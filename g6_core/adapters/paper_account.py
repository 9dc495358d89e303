"""The paper account on disk: the books of the simulated broker that paper orders go to, replaced as a whole.

Two lines of JSON: what it is and whose (the journal's header, and the SHA-256 of all that follows), then the books.
Never half written: the file is that of before a change or that of after it.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from g6_core.adapters.files import canonical_json, sha256_hex, write_atomic
from g6_core.adapters.journal import read_header
from g6_core.domain.errors import DataError
from g6_core.schema.journal import Header
from g6_core.schema.paths import DataPaths
from g6_core.sim.books import Books
from g6_core.sim.kite_shapes import Json, order_row, position_row, trade_row

VERSION = 1
PAPER = "paper "
FIX = "move it and the journal away to begin the paper day anew"


@dataclass(frozen=True, slots=True)
class _Head:
    header: Header
    sha256: str
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class PaperAccountFile:
    """The account that belongs to the journal with this header. One writer: the caller holds the sidecar's lease."""

    path: Path
    header: Header

    def save(self, books: Books) -> None:
        """Replace what is kept; it is on the disk when this returns. DataError when the disk does not take it."""
        body = canonical_json(books) + b"\n"
        write_atomic(self.path, canonical_json(_Head(self.header, sha256_hex(body))) + b"\n" + body)

    def load(self) -> Books | None:
        """What was kept last; None when nothing ever was. DataError when it is damaged or belongs elsewhere."""
        try:
            first, _, body = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); mend it, or {FIX}") from error
        try:
            version = msgspec.json.decode(first)["version"]
            if version != VERSION:
                raise DataError(
                    f"{self.path}: paper account version {version!r}, this program reads {VERSION}; use its own "
                    f"release, or {FIX}"
                )
            head = msgspec.json.decode(first, type=_Head)
            if head.sha256 != sha256_hex(body) or first != canonical_json(head):
                raise DataError(f"{self.path}: the paper account does not match its sha256, it was damaged; {FIX}")
            if not head.header.belongs_with(self.header):
                raise DataError(
                    f"{self.path}: the paper account of another day, broker, configuration or day pack; {FIX}, or go "
                    "on as it was begun"
                )
            return msgspec.json.decode(body, type=Books)
        except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError) as error:
            raise DataError(f"{self.path}: not a paper account, or damaged ({error}); {FIX}") from error


@dataclass(frozen=True, slots=True)
class PaperBooks:
    """A kept account in the words of `kiteconnect.KiteConnect`, for whoever compares a day with its broker."""

    books: Books | None

    def orders(self) -> list[Json]:
        """Order book of the day."""
        return [order_row(order) for order in self.books.orders] if self.books else []

    def trades(self) -> list[Json]:
        """Trade book of the day."""
        return [trade_row(trade) for trade in self.books.trades] if self.books else []

    def positions(self) -> dict[str, list[Json]]:
        """Positions of the day. No market is here, so what is open has no last price (0) and no profit to speak of."""
        rows = [position_row(one, 0, 0) for one in self.books.account.positions] if self.books else []
        return {"net": rows, "day": rows}


def paper_books(paths: DataPaths, day: date) -> PaperBooks | None:
    """The books of a day that was traded with paper money; None for any other day. DataError for a damaged file."""
    journal = paths.journal(day)
    if not journal.exists() or not (header := read_header(journal)).money.startswith(PAPER):
        return None
    return PaperBooks(PaperAccountFile(paths.paper_account(day), header).load())
