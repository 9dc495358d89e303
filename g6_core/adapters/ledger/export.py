"""The ledger as CSV files in a fixed order: two equal days give equal bytes."""

import csv
import io
from datetime import date
from pathlib import Path

from g6_core.adapters.ledger.ledger import Ledger
from g6_core.adapters.ledger.tables import METADATA
from g6_core.domain.errors import DataError
from g6_core.domain.ist import utc_text


def export(ledger: Ledger, out: Path, day: date | None = None) -> tuple[Path, ...]:
    """Write one CSV per table below `out` (created when missing), of one day or of all; the files, by name.

    Columns are the table's; each `*_ms` column is followed by its UTC text (`*_utc`, empty for 0). Unknown
    figures are empty cells. Raises DataError when `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        written = []
        for name in sorted(METADATA.tables):
            path = out / f"{name}.csv"
            path.write_text(_table_csv(ledger, name, day), encoding="utf-8", newline="")
            written.append(path)
    except OSError as error:
        raise DataError(f"cannot write the export to {out}: {error.strerror}; choose a writable folder") from error
    return tuple(written)


def _table_csv(ledger: Ledger, name: str, day: date | None) -> str:
    columns = [column.name for column in METADATA.tables[name].columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([head for column in columns for head in _heads(column)])
    for row in ledger.table(name, day):
        writer.writerow([cell for column in columns for cell in _cells(column, row[column])])
    return text.getvalue()


def _heads(column: str) -> list[str]:
    return [column, f"{column.removesuffix('_ms')}_utc"] if column.endswith("_ms") else [column]


def _cells(column: str, value: object) -> list[object]:
    if isinstance(value, int) and column.endswith("_ms"):
        return [value, utc_text(value) if value else ""]
    return [value]
