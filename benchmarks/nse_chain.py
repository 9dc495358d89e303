"""A recorded NSE option chain as contracts: middles of two-sided quotes on the parity forward of their expiry."""

from datetime import date, datetime, time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.iv_peers import Contracts, Floats
from g6_core.domain.chain import parity_forward
from g6_core.domain.options import YEAR_MS

_CLOSE = time(15, 30)
_TOUCH = [f"{side}_{name}_Price" for side in ("CALLS", "PUTS") for name in ("Bid", "Ask")]


def stamps(path: Path) -> list[str]:
    """The times of all snapshots, oldest first."""
    return pl.read_parquet(path, columns=["collection_timestamp"])["collection_timestamp"].unique().sort().to_list()


def two_sided(path: Path, wanted: list[str]) -> Contracts:
    """Every quote with a bid below its ask in the wanted snapshots, expiry by expiry; with or without a solution."""
    chain = (
        pl.read_parquet(path, columns=["collection_timestamp", "expiry", "Strike_Price", *_TOUCH])
        .filter(pl.col("collection_timestamp").is_in(wanted))
        .with_columns(pl.col(_TOUCH).cast(pl.Float64).fill_null(0.0))
        .sort("collection_timestamp", "expiry", "Strike_Price")
    )
    parts = [
        _quoted(part, stamp, expiry)
        for (stamp, expiry), part in chain.group_by("collection_timestamp", "expiry", maintain_order=True)
    ]
    return Contracts.of(np.concatenate(parts, axis=1))


def _quoted(part: pl.DataFrame, stamp: object, expiry: object) -> Floats:
    """Rows: middle, forward, strike, years, discount (1: the interest is in the forward), is a call."""
    assert isinstance(stamp, str) and isinstance(expiry, date), "the columns of a recording"
    strikes = part["Strike_Price"].to_numpy().astype(np.float64)
    touch = [part[name].to_numpy() for name in _TOUCH]
    middles = [
        np.where((bid > 0) & (ask > bid), (bid + ask) / 2, np.nan)
        for bid, ask in ((touch[0], touch[1]), (touch[2], touch[3]))
    ]
    forward = parity_forward(np.rint(strikes * 100).astype(np.int64), middles[0] * 100, middles[1] * 100) / 100
    left = datetime.combine(expiry, _CLOSE) - datetime.strptime(stamp, "%Y%m%d_%H%M%S")  # noqa: DTZ007 - both Indian
    years = left.total_seconds() * 1000 / YEAR_MS
    count = len(strikes)
    rows = [
        np.concatenate(middles),
        np.full(2 * count, forward),
        np.tile(strikes, 2),
        np.full(2 * count, years),
        np.ones(2 * count),
        np.repeat([1.0, 0.0], count),
    ]
    known = np.isfinite(rows[0]) & np.isfinite(forward)
    return np.array(rows)[:, known]
