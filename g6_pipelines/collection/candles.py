"""Archived candles beside live quotes: what they vouch for, hold of a day's volume, and allow of a price.

Frames in, frames out; `answers` have `g6_core.schema.accounting.ANSWER_COLUMNS`, `closing` has
`g6_core.schema.closing.CLOSING_COLUMNS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.accounting import NOT_RECORDED
from g6_core.schema.options import RowStatus

PRICED_COLUMNS = (
    "timestamp",
    "expiry",
    *(f"{side}_{name}" for side in ("call", "put") for name in ("symbol", "status", "ltp", "volume")),
)
_FIGURES = ("ltp", "volume")
_MINUTE = pl.duration(minutes=1)
_TIME = pl.Datetime("ms", "UTC")
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cycles of a day stand: from the open to the close, one an interval (ms since 1970).

    `closes_ms` is the end of trading by expiry, which may be before the close of the session.
    """

    open_ms: int
    close_ms: int
    interval_ms: int
    closes_ms: Mapping[date, int]


def vouched_minutes(answers: pl.DataFrame) -> pl.DataFrame:
    """Return every (symbol, minute) that an answer vouches for: without a candle nothing was traded in it."""
    return _minutes(answers.filter(pl.col("origin") != NOT_RECORDED))


def unrecorded_minutes(answers: pl.DataFrame) -> pl.DataFrame:
    """Return every (symbol, minute) of which the source said that it does not hold it."""
    return _minutes(answers.filter(pl.col("origin") == NOT_RECORDED))


def _minutes(answers: pl.DataFrame) -> pl.DataFrame:
    windows = answers.select("symbol", "from", "to").unique()
    minutes = pl.datetime_ranges("from", "to", interval="1m", time_unit="ms", time_zone="UTC").alias("minute")
    return windows.select("symbol", minutes).explode("minute").unique()


def answered(answers: pl.DataFrame, grid: Grid) -> set[str]:
    """Return the contracts of which every minute of the session has an answer, be it that it was not recorded."""
    counted = _minutes(answers).filter(_is_in_session("minute", grid)).group_by("symbol").len()
    return set(counted.filter(pl.col("len") >= (grid.close_ms - grid.open_ms) // MINUTE_MS)["symbol"])


def told_candles(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of archived answers that are a candle, one a symbol and minute.

    Of several the one with most volume, for what was traded cannot be taken back, and of equal ones the last.
    """
    told = answers.filter(pl.col("open").is_not_null()).sort("volume", maintain_order=True)
    return told.unique(("symbol", "timestamp"), keep="last", maintain_order=True)


def candles_of(answers: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the archived candles by symbol and minute."""
    needed = dict.fromkeys(("symbol", "timestamp", "open", "volume", *columns))
    return told_candles(answers.select(*needed)).select("symbol", pl.col("timestamp").alias("minute"), *columns)


def live_quotes(lake: pl.DataFrame, symbols: pl.Series | None = None) -> pl.DataFrame:
    """Return one row per live contract and cycle, of some `symbols` or all: symbol, expiry, timestamp, and last price
    and volume as far as the lake has them."""
    figures = [name for name in _FIGURES if f"call_{name}" in lake.columns]
    both = []
    for side in ("call", "put"):
        is_wanted = pl.col(f"{side}_status") == RowStatus.LIVE
        if symbols is not None:
            is_wanted &= pl.col(f"{side}_symbol").is_in(symbols.implode())
        columns = [pl.col(f"{side}_{name}").alias(name) for name in ("symbol", *figures)]
        both.append(lake.filter(is_wanted).select("timestamp", "expiry", *columns))
    return pl.concat(both).unique(("symbol", "timestamp"), keep="first").sort("symbol", "timestamp")


def traded_volumes(lake: pl.DataFrame, closing: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return symbol, expiry and what was traded of it on the day, by the closing state, else as far as it was seen."""
    seen = live_quotes(lake).group_by("symbol").agg(pl.col("expiry").last(), pl.col("volume").max())
    both = pl.concat([closed_volumes(closing, grid), seen.filter(pl.col("volume").is_not_null())])
    return both.unique("symbol", keep="first", maintain_order=True)


def closed_volumes(closing: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return symbol, expiry and volume of the closing state. Who was not quoted since the open says nothing."""
    is_of_today = pl.col("exchange_time").dt.timestamp("ms") >= grid.open_ms
    return closing.filter(is_of_today, pl.col("volume").is_not_null()).select("symbol", "expiry", "volume")


def witnesses(volumes: pl.DataFrame, count: int, today: date) -> list[str]:
    """Return the most traded contracts, without those that have expired before `today`: they cannot be asked for."""
    ranked = volumes.sort("volume", "symbol", descending=[True, False]).head(count)
    return ranked.filter(pl.col("expiry") >= today)["symbol"].to_list()


def compared_volumes(answers: pl.DataFrame, volumes: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return symbol, traded `volume` and what its candles of the session hold (`held`), of contracts vouched for
    from the open to their own close, which may be before that of the session."""
    ends = volumes.select("symbol", _closes(grid).alias("closes"))
    times = pl.col("minute").dt.timestamp("ms")
    counted = (
        vouched_minutes(answers)
        .join(ends, on="symbol")
        .filter(times >= grid.open_ms, times < pl.col("closes"))
        .group_by("symbol", "closes")
        .len()
    )
    whole = counted.filter(pl.col("len") >= (pl.col("closes") - grid.open_ms) // MINUTE_MS)["symbol"].sort().to_list()
    candles = candles_of(answers, ("volume",)).filter(_is_in_session("minute", grid))
    held = candles.group_by("symbol").agg(pl.col("volume").sum().alias("held"))
    both = volumes.filter(pl.col("symbol").is_in(whole)).join(held, on="symbol", how="left")
    return both.select("symbol", "volume", pl.col("held").fill_null(0)).sort("symbol")


def falls_short(pct: float) -> pl.Expr:
    """Return whether the candles hold so much less than was traded that their silences are not believed."""
    return pl.col("held") < (1 - pct / 100) * pl.col("volume")


def priced(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return the live quotes (`PRICED_COLUMNS`) that can be compared: symbol, timestamp, ltp, and the `low` and `high`
    of its candles; `is_outside` where it is none of their prices.

    A quote of a cycle is at most one interval older than the cycle and was answered before the next one. Where each of
    these minutes has a candle, its last price is of one of them.
    """
    interval, instant = pl.duration(milliseconds=grid.interval_ms), pl.duration(milliseconds=1)
    candles = candles_of(answers, ("low", "high"))
    minutes = pl.datetime_ranges("first", "last", interval="1m", time_unit="ms", time_zone="UTC").alias("minute")
    quotes = live_quotes(lake, candles["symbol"].unique()).filter(pl.col("volume") > 0, pl.col("ltp").is_not_null())
    quotes = quotes.with_columns(
        first=pl.max_horizontal((pl.col("timestamp") - interval).dt.truncate("1m"), _time(grid.open_ms)),
        last=pl.min_horizontal(
            (pl.col("timestamp") + interval - instant).dt.truncate("1m"), _closes(grid).cast(_TIME) - _MINUTE
        ),
    ).with_columns(minutes=minutes)
    around = quotes.explode("minutes").join(candles, left_on=("symbol", "minutes"), right_on=("symbol", "minute"))
    limits = around.group_by("symbol", "timestamp").agg(
        pl.col("low").min(), pl.col("high").max(), pl.len().alias("found")
    )
    whole = quotes.join(limits, on=("symbol", "timestamp")).filter(pl.col("found") == pl.col("minutes").list.len())
    is_low, is_high = pl.col("ltp") < pl.col("low") - _EPSILON, pl.col("ltp") > pl.col("high") + _EPSILON
    named = whole.select("symbol", "timestamp", "ltp", "low", "high", (is_low | is_high).alias("is_outside"))
    return named.sort("symbol", "timestamp")


def _time(time_ms: int) -> pl.Expr:
    return pl.lit(time_ms).cast(_TIME)


def _closes(grid: Grid) -> pl.Expr:
    """When each row's contract stops trading (ms)."""
    return pl.col("expiry").replace_strict(dict(grid.closes_ms), default=grid.close_ms, return_dtype=pl.Int64)


def _is_in_session(column: str, grid: Grid) -> pl.Expr:
    return pl.col(column).dt.timestamp("ms").is_between(grid.open_ms, grid.close_ms - 1)
