"""Recorded option-chain snapshots in one shape for judging, from any schema G6 knows, dirty rows included.

A row is one snapshot, expiry and strike. Columns: `time_ms` (when it was taken), `source_ms` (the source's own stamp),
`index`, `expiry`, `strike` (rupees), `spot` (rupees), and for `call_` and `put_` each `ltp`, `bid`, `ask` (rupees),
`bid_qty`, `ask_qty` (units), `volume`, `oi` (lots where `in_lots`, else units). Null is what the file does not have;
nothing is mended or left out.
"""

from dataclasses import dataclass

import polars as pl

LAKE = "lake"
FIGURES = ("ltp", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi")


@dataclass(frozen=True, slots=True)
class Snapshots:
    """`frame` as the module says; `formats` counts rows by how the file writes its stamps, `headers` by its header."""

    frame: pl.DataFrame
    kind: str
    in_lots: bool
    has_touch: bool
    has_spot: bool
    formats: dict[str, int]
    headers: int


def lake_snapshots(rows: pl.DataFrame) -> Snapshots:
    """Collected rows of the lake (columns of `OPTION_COLUMNS`); expiries with several codes come once."""
    frame = (
        rows.filter(pl.col("strike").is_not_null())
        .unique(["timestamp", "index", "expiry", "strike"])
        .select(
            pl.col("timestamp").dt.timestamp("ms").alias("time_ms"),
            pl.col("exchange_time").dt.timestamp("ms").alias("source_ms"),
            "index",
            "expiry",
            "strike",
            "spot",
            *(pl.col(f"{side}_{name}").cast(pl.Float64) for side in ("call", "put") for name in FIGURES),
        )
    )
    return Snapshots(frame, LAKE, False, True, True, {}, 1)
