"""Reads recorded snapshots for judging, whatever wrote them: an NSE chain, Kite snapshots, or the lake of G6."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from g6_core.adapters.lake import read_lake
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.sim.chain_day import Field, expiry_date, readable, underlying_name
from g6_core.sim.kite_chain import kite_frame, stamp_ms
from g6_core.sim.nse_chain import EXPIRY_COLUMNS, NAME_COLUMNS, NSE_FIELDS, STAMP, STRIKE, nse_stamp_ms
from g6_core.sim.recording import is_kite_chain, open_recording
from g6_pipelines.collection.snapshots import FIGURES, Snapshots, lake_snapshots

KITE_FIGURES = ("ltp", "volume", "oi")
NSE_SOURCE_STAMP = "Fetch_Time"
LAKE_MARKS = {"timestamp", "expiry_code", "call_ltp", "put_ltp"}


def read_snapshots(path: Path, rules: MarketRules) -> Snapshots:
    """A recording (Parquet, CSV, a folder of CSVs of one recorder) or a lake file of G6.

    DataError when it is missing, unreadable or of a foreign schema.
    """
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
    chain = kite_frame(frame)
    null = pl.lit(None, pl.Float64)
    with readable(path):
        raw = chain.select(
            "timestamp",
            pl.col("symbol").alias("index"),
            "expiry",
            "strike",
            "spot",
            *(
                (pl.col(f"{short}_{name}") if name in KITE_FIGURES else null).alias(f"{side}_{name}")
                for side, short in (("call", "ce"), ("put", "pe"))
                for name in FIGURES
            ),
        ).collect()
    rows = _mapped(raw, "timestamp", "time_ms", pl.Int64(), stamp_ms)
    rows = rows.with_columns(pl.lit(None, pl.Int64).alias("source_ms"))
    return Snapshots(
        frame=_named(path, rows, rules),
        kind="Kite snapshots",
        in_lots=False,
        has_touch=False,
        has_spot="spot" in raw.columns and raw["spot"].null_count() < raw.height,
        formats=_formats(raw["timestamp"]),
        headers=1,
    )


def _nse(path: Path, frame: pl.LazyFrame, rules: MarketRules) -> Snapshots:
    names = frame.collect_schema().names()
    source = pl.col(NSE_SOURCE_STAMP) if NSE_SOURCE_STAMP in names else pl.lit(None, pl.String)
    with readable(path):
        raw = frame.select(
            pl.col(STAMP),
            source.alias("source"),
            pl.col(next(name for name in NAME_COLUMNS if name in names)).alias("index"),
            pl.col(next(name for name in EXPIRY_COLUMNS if name in names)).alias("expiry"),
            pl.col(STRIKE).cast(pl.Float64, strict=False).alias("strike"),
            pl.lit(None, pl.Float64).alias("spot"),
            *(
                pl.col(f"{prefix}_{NSE_FIELDS[Field(name)]}").cast(pl.Float64, strict=False).alias(f"{side}_{name}")
                for side, prefix in (("call", "CALLS"), ("put", "PUTS"))
                for name in FIGURES
            ),
        ).collect()
    rows = _mapped(raw, STAMP, "time_ms", pl.Int64(), lambda one: nse_stamp_ms(path, one))
    rows = _mapped(rows, "source", "source_ms", pl.Int64(), stamp_ms)
    return Snapshots(
        frame=_named(path, rows, rules),
        kind="NSE chain",
        in_lots=True,
        has_touch=True,
        has_spot=False,
        formats=_formats(raw[STAMP]),
        headers=1,
    )


def _named(path: Path, rows: pl.DataFrame, rules: MarketRules) -> pl.DataFrame:
    """With typed expiry and our name of the index; only the columns of the module."""

    def expiry(raw: object) -> date | None:
        return None if raw is None else expiry_date(path, raw)

    rows = _mapped(rows, "expiry", "expiry", pl.Date(), expiry)
    rows = _mapped(
        rows, "index", "index", pl.String(), lambda raw: None if raw is None else underlying_name(rules, raw)
    )
    sides = [f"{side}_{name}" for side in ("call", "put") for name in FIGURES]
    return rows.select("time_ms", "source_ms", "index", "expiry", "strike", "spot", *sides)


def _mapped(
    rows: pl.DataFrame, column: str, into: str, kind: pl.DataType, value: Callable[[Any], object]
) -> pl.DataFrame:
    """A column worked out from the few distinct values of another one."""
    raw = [one for one in rows[column].unique().to_list() if one is not None]
    if not raw:
        return rows.with_columns(pl.lit(None, kind).alias(into))
    replaced = pl.col(column).replace_strict(raw, [value(one) for one in raw], default=None, return_dtype=kind)
    return rows.with_columns(replaced.alias(into))


def _formats(stamps: pl.Series) -> dict[str, int]:
    """Rows by the shape of their stamp, every digit as 9; typed stamps have one."""
    if stamps.dtype != pl.String:
        return {str(stamps.dtype): len(stamps)}
    shapes: Counter[str] = Counter()
    for stamp, count in stamps.value_counts().rows():
        if stamp is not None and stamp.strip():
            shapes[re.sub(r"\d", "9", stamp)] += count
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
