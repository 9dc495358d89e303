"""Reads the exchange's F&O bhavcopy in its UDiFF form: a zip or CSV as published (one day), or a Parquet of many days.

Of its 34 columns these count: `TradDt`, `FinInstrmTp` (IDO: index option), `TckrSymb`, `XpryDt`, `StrkPric`, `OptnTp`,
`LastPric` (0: never traded), `SttlmPric` (on expiry day that of the underlying), `OpnIntrst` (units), `TtlTradgVol`
(contracts, so times `NewBrdLotQty`). NSE and BSE publish the same form.
"""

import zlib
from collections.abc import Iterable
from datetime import date
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import polars as pl

from g6_core.domain.end_of_day import ContractKey, Published
from g6_core.domain.errors import DataError
from g6_core.domain.money import paise
from g6_core.sim.columns import days, figures, names
from g6_core.sim.table_file import open_table, readable

INDEX_OPTION = "IDO"
# What a bhavcopy may hold once unpacked: a whole day of all F&O contracts is 20 MB.
UNPACKED_BYTES_MAX = 200_000_000
TEXTS, DAYS = ("FinInstrmTp", "TckrSymb", "OptnTp"), ("TradDt", "XpryDt")
COUNTS = ("OpnIntrst", "TtlTradgVol", "NewBrdLotQty")
FIGURES = ("StrkPric", "LastPric", "SttlmPric", *COUNTS)
# More than any price in rupees, any open interest in units or any volume in contracts.
FIGURE_MAX = 1e12


def read_bhavcopy(path: Path, day: date, underlyings: Iterable[str]) -> dict[ContractKey, Published]:
    """The index options of these underlyings on `day`.

    Raises DataError when the file is missing, unreadable, of another form, lists a contract twice or has no rows of
    that day.
    """
    frame = _opened(path, day)
    missing = [name for name in (*TEXTS, *DAYS, *FIGURES) if name not in frame.collect_schema().names()]
    if missing:
        raise DataError(f"{path}: not a UDiFF bhavcopy: missing columns {', '.join(missing)}")
    rows = frame.select(
        *(names(name).str.strip_chars().alias(name) for name in TEXTS),
        *(days(path, frame, name).alias(name) for name in DAYS),
        *(figures(path, frame, name).alias(name) for name in FIGURES),
    ).filter(pl.col("TradDt") == day)
    options = (pl.col("FinInstrmTp") == INDEX_OPTION) & pl.col("TckrSymb").is_in(list(underlyings))
    with readable(path):
        found = rows.filter(options).collect()
        if found.is_empty() and rows.select(pl.len()).collect().item() == 0:
            raise DataError(f"{path}: no rows of {day}; give the bhavcopy of that day")
    if found.select(pl.any_horizontal(pl.all().is_null().any())).item():
        raise DataError(f"{path}: rows of index options with empty cells; download it again")
    _require_possible(path, found)
    published: dict[ContractKey, Published] = {}
    for symbol, side, expiry, *numbers in found.select("TckrSymb", "OptnTp", "XpryDt", *FIGURES).rows():
        strike, last, settlement, oi, contracts, lot = numbers
        key = ContractKey(symbol, expiry, paise(strike), side)
        if key in published:
            raise DataError(f"{path}: {key} comes twice on {day}; keep one row per contract and day")
        published[key] = Published(paise(last), paise(settlement), int(contracts * lot), int(oi), int(lot))
    return published


def _require_possible(path: Path, rows: pl.DataFrame) -> None:
    """DataError for figures that no exchange publishes."""
    for name in FIGURES:
        values = rows[name]
        if not values.is_finite().all():
            raise DataError(f"{path}: column {name} holds something that is not a number; download it again")
        whole = name in COUNTS
        if len(values) and not (
            values.is_between(0, FIGURE_MAX).all() and (not whole or (values.floor() == values).all())
        ):
            raise DataError(f"{path}: column {name} has impossible values; download it again")


def _opened(path: Path, day: date) -> pl.LazyFrame:
    if path.is_file() and path.suffix.lower() == ".zip":
        with readable(path):
            return pl.read_csv(BytesIO(_unpacked(path)), infer_schema=False).lazy()
    if path.is_file() and path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"{path}: not a bhavcopy; give the .zip or .csv of the exchange, or a .parquet of such rows")
    return open_table(path, f"give the F&O bhavcopy of {day} (UDiFF)")


def _unpacked(path: Path) -> bytes:
    """The one CSV in the archive."""
    try:
        with ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if info.filename.lower().endswith(".csv")]
            if len(inside) != 1:
                raise DataError(
                    f"{path}: {len(inside)} CSV files in the archive, a bhavcopy has one; download it again"
                )
            if inside[0].file_size > UNPACKED_BYTES_MAX:
                raise DataError(
                    f"{path}: {inside[0].file_size} bytes unpacked are more than any bhavcopy; download it again"
                )
            return archive.read(inside[0])
    # A password, an unknown compression, damaged data: each is an error of its own kind in the library.
    except (BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a readable zip file ({error}); download it again") from error
