"""Reads the exchange's F&O bhavcopy in its UDiFF form: a zip or CSV as published (one day), or a Parquet of many days.

Of its 34 columns these count: `TradDt`, `FinInstrmTp` (IDO: index option), `TckrSymb`, `XpryDt`, `StrkPric`, `OptnTp`,
`LastPric` (0: never traded), `SttlmPric` (on expiry day that of the underlying), `OpnIntrst` (units), `TtlTradgVol`
(contracts, so times `NewBrdLotQty`). NSE and BSE publish the same form.
"""

from collections.abc import Iterable
from datetime import date
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import polars as pl

from g6_core.domain.end_of_day import ContractKey, Published
from g6_core.domain.errors import DataError
from g6_core.domain.money import paise

INDEX_OPTION = "IDO"
# What a bhavcopy may hold once unpacked: a whole day of all F&O contracts is 20 MB.
UNPACKED_BYTES_MAX = 200_000_000
COLUMNS = {
    "TradDt": pl.Date,
    "FinInstrmTp": pl.String,
    "TckrSymb": pl.String,
    "XpryDt": pl.Date,
    "StrkPric": pl.Float64,
    "OptnTp": pl.String,
    "LastPric": pl.Float64,
    "SttlmPric": pl.Float64,
    "OpnIntrst": pl.Int64,
    "TtlTradgVol": pl.Int64,
    "NewBrdLotQty": pl.Int64,
}


def read_bhavcopy(path: Path, day: date, underlyings: Iterable[str]) -> dict[ContractKey, Published]:
    """The index options of these underlyings on `day`.

    Raises DataError when the file is missing, unreadable, of another form, lists a contract twice or has no rows of
    that day.
    """
    try:
        frame = _opened(path)
        missing = [name for name in COLUMNS if name not in frame.collect_schema().names()]
        if missing:
            raise DataError(f"{path}: not a UDiFF bhavcopy: missing columns {', '.join(missing)}")
        rows = frame.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()).filter(pl.col("TradDt") == day)
        found = rows.filter(
            (pl.col("FinInstrmTp") == INDEX_OPTION) & pl.col("TckrSymb").is_in(list(underlyings))
        ).collect()
        if found.is_empty() and rows.select(pl.len()).collect().item() == 0:
            raise DataError(f"{path}: no rows of {day}; give the bhavcopy of that day")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the F&O bhavcopy of {day} (UDiFF)") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, BadZipFile) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a readable bhavcopy ({reason}); download it again") from error
    if found.select(pl.any_horizontal(pl.all().is_null().any())).item():
        raise DataError(f"{path}: rows of index options with empty cells; download it again")
    published: dict[ContractKey, Published] = {}
    for _, _, symbol, expiry, strike, side, last, settlement, oi, contracts, lot in found.rows():
        key = ContractKey(symbol, expiry, paise(strike), side)
        if key in published:
            raise DataError(f"{path}: {key} comes twice on {day}; keep one row per contract and day")
        published[key] = Published(paise(last), paise(settlement), contracts * lot, oi, lot)
    return published


def _opened(path: Path) -> pl.LazyFrame:
    match path.suffix.lower():
        case ".parquet":
            return pl.scan_parquet(path, glob=False)
        case ".csv":
            return pl.scan_csv(path, glob=False, schema_overrides=COLUMNS)
        case ".zip":
            return pl.read_csv(BytesIO(_unpacked(path)), schema_overrides=COLUMNS).lazy()
    raise DataError(f"{path}: not a bhavcopy; give the .zip or .csv of the exchange, or a .parquet of such rows")


def _unpacked(path: Path) -> bytes:
    """The one CSV in the archive."""
    with ZipFile(path) as archive:
        inside = [info for info in archive.infolist() if info.filename.lower().endswith(".csv")]
        if len(inside) != 1:
            raise DataError(f"{path}: {len(inside)} CSV files in the archive, a bhavcopy has one; download it again")
        if inside[0].file_size > UNPACKED_BYTES_MAX:
            raise DataError(
                f"{path}: {inside[0].file_size} bytes unpacked are more than any bhavcopy; download it again"
            )
        return archive.read(inside[0])
