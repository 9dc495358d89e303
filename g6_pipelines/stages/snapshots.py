"""Reads recorded snapshots for judging, whatever wrote them: an NSE chain, Kite snapshots, or the lake of G6."""

import re
from collections import Counter
from pathlib import Path

import polars as pl

from g6_core.adapters.lake import read_lake
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import IST_OFFSET_MS
from g6_core.sim.chain_day import Field, all_expired, underlying_name
from g6_core.sim.columns import days, figures, moments, names
from g6_core.sim.kite_chain import kite_column, kite_frame
from g6_core.sim.nse_chain import EXPIRY_COLUMNS, NAME_COLUMNS, NSE_FIELDS, STAMP, STRIKE
from g6_core.sim.recording import is_kite_chain, open_recording
from g6_core.sim.table_file import readable
from g6_pipelines.collection.snapshots import FIGURES, LAKE, Snapshots, lake_snapshots

KITE_FIGURES = ("ltp", "volume", "oi")
NSE_SOURCE_STAMP = "Fetch_Time"
LAKE_MARKS = {"timestamp", "expiry_code", "call_ltp", "put_ltp"}


def read_snapshots(path: Path, rules: MarketRules) -> Snapshots:
    """Return a recording (Parquet, CSV, a folder of CSVs of one recorder) or a lake file of G6.

    DataError when it is missing, unreadable, of a foreign schema or without a row that has a stamp.
    """
    snapshots = _read_all(path, rules)
    if not snapshots.frame.height:
        raise DataError(f"{path}: the file has no rows; record it again")
    if snapshots.frame["time_ms"].null_count() == snapshots.frame.height:
        raise DataError(f"{path}: no row has a time stamp; record it again")
    if snapshots.kind != LAKE:
        _require_possible(path, snapshots.frame)
    return snapshots


def _require_possible(path: Path, rows: pl.DataFrame) -> None:
    """DataError for figures that are no numbers, and for days that cannot be those of the recording."""
    for name in ("strike", "spot", *(f"{side}_{figure}" for side in ("call", "put") for figure in FIGURES)):
        if rows[name].is_infinite().any():
            raise DataError(f"{path}: {name.replace('_', ' ')} holds something that is not a number; correct that row")
    day = pl.from_epoch(pl.col("time_ms") + IST_OFFSET_MS, "ms").dt.date()
    if rows.select((pl.col("expiry") < day).all(ignore_nulls=True) & pl.col("expiry").is_not_null().any()).item():
        raise all_expired(path, rows.select(day.min()).item())


def _read_all(path: Path, rules: MarketRules) -> Snapshots:
    if path.is_dir():
        files = sorted(path.glob("*.csv"))
        if not files:
            raise DataError(f"{path}: no CSV file in the folder; give a recording, or a folder of CSV snapshots")
        return _together([_read(file, rules) for file in files], [_header(file) for file in files])
    return _read(path, rules)


def _read(path: Path, rules: MarketRules) -> Snapshots:
    if path.suffix == ".arrows":
        return lake_snapshots(read_lake(path))
    frame = open_recording(path)
    if LAKE_MARKS.issubset(frame.collect_schema().names()):
        with readable(path):
            return lake_snapshots(frame.collect())
    return _kite(path, frame, rules) if is_kite_chain(path, frame) else _nse(path, frame, rules)


def _kite(path: Path, frame: pl.LazyFrame, rules: MarketRules) -> Snapshots:
    null = pl.lit(None, pl.Float64)
    chain = kite_frame(path, frame).select(
        pl.col("stamp_ms").alias("time_ms"),
        pl.lit(None, pl.Int64).alias("source_ms"),
        pl.col("symbol").alias("index"),
        "expiry",
        "strike",
        "spot",
        *(
            (pl.col(f"{short}_{name}") if name in KITE_FIGURES else null).alias(f"{side}_{name}")
            for side, short in (("call", "ce"), ("put", "pe"))
            for name in FIGURES
        ),
    )
    rows = _collected(path, chain, rules)
    stamp = kite_column(path, frame, "timestamp")
    assert stamp is not None, "is_kite_chain has found it"
    return Snapshots(
        frame=rows,
        kind="Kite snapshots",
        in_lots=False,
        has_touch=False,
        has_spot=rows["spot"].null_count() < rows.height,
        formats=_formats(path, frame, stamp),
        headers=1,
    )


def _nse(path: Path, frame: pl.LazyFrame, rules: MarketRules) -> Snapshots:
    held = frame.collect_schema().names()
    has_source = NSE_SOURCE_STAMP in held
    chain = frame.select(
        moments(path, frame, STAMP).alias("time_ms"),
        (moments(path, frame, NSE_SOURCE_STAMP) if has_source else pl.lit(None, pl.Int64)).alias("source_ms"),
        names(next(name for name in NAME_COLUMNS if name in held)).alias("index"),
        days(path, frame, next(name for name in EXPIRY_COLUMNS if name in held)).alias("expiry"),
        figures(path, frame, STRIKE).alias("strike"),
        pl.lit(None, pl.Float64).alias("spot"),
        *(
            figures(path, frame, f"{prefix}_{NSE_FIELDS[Field(name)]}").alias(f"{side}_{name}")
            for side, prefix in (("call", "CALLS"), ("put", "PUTS"))
            for name in FIGURES
        ),
    )
    return Snapshots(
        frame=_collected(path, chain, rules),
        kind="NSE chain",
        in_lots=True,
        has_touch=True,
        has_spot=False,
        formats=_formats(path, frame, STAMP),
        headers=1,
    )


def _collected(path: Path, chain: pl.LazyFrame, rules: MarketRules) -> pl.DataFrame:
    """The rows, with our names of the indices."""
    with readable(path):
        rows = chain.collect()
    index = {raw: underlying_name(rules, raw) for raw in rows["index"].unique().drop_nulls().to_list()}
    if not index:
        return rows
    return rows.with_columns(pl.col("index").replace_strict(index, default=None, return_dtype=pl.String))


def _formats(path: Path, frame: pl.LazyFrame, column: str) -> dict[str, int]:
    """Rows by the shape of their stamp, every digit as 9 and both halves of a day alike; typed stamps have one."""
    kind = frame.collect_schema()[column]
    with readable(path):
        if kind.is_temporal():
            return {str(kind): frame.select(pl.len()).collect().item()}
        counts = frame.select(names(column).alias("stamp")).group_by("stamp").len().collect()
    shapes: Counter[str] = Counter()
    for stamp, count in counts.sort("stamp").rows():
        if stamp is not None and stamp.strip():
            shapes[re.sub(r"(?i)(?<![a-z])[ap](?=\.?m)", "A", re.sub(r"\d", "9", stamp))] += count
    return dict(shapes.most_common())


def _header(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline().strip()


def _together(parts: list[Snapshots], headers: list[str]) -> Snapshots:
    first = parts[0]
    formats: Counter[str] = Counter()
    for part in parts:
        formats.update(part.formats)
    return Snapshots(
        frame=pl.concat([part.frame for part in parts]),
        kind=first.kind,
        in_lots=first.in_lots,
        has_touch=first.has_touch,
        has_spot=any(part.has_spot for part in parts),
        formats=dict(formats),
        headers=len(set(headers)),
    )
