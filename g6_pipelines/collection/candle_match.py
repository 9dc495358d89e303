"""The lake against the broker's candles: two witnesses of the same market must tell of the same trades.

A live quote of a cycle is at most one interval older than the cycle and was answered before the next one. So its last
price is one of a candle of those minutes, or the close of the last candle before them; and what its volume grew by
since the quote before lies between what the candles between both certainly hold and what they hold at most. Only
minutes that the broker was asked about are compared. Frames in, frames out; nothing is read here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from g6_core.domain.ist import MINUTE_MS, ist_clock
from g6_core.schema.options import RowStatus

MATCH_COLUMNS = (
    "timestamp",
    *(f"{side}_{name}" for side in ("call", "put") for name in ("symbol", "status", "ltp", "volume", "oi")),
)
_MINUTE = pl.duration(minutes=1)
_EPSILON = 1e-6
_FIGURES = ("ltp", "volume", "oi")


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cycles of a day stand: from the open to the close, one an interval (ms since 1970)."""

    open_ms: int
    close_ms: int
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What disagrees, of one contract at one cycle."""

    symbol: str
    time_ms: int
    said: str

    def __str__(self) -> str:
        return f"{self.symbol} {ist_clock(self.time_ms)[:5]}: {self.said}"


@dataclass(frozen=True, slots=True)
class CandleMatch:
    """Contract-cycles that could be compared, and what differs, in order of contract and time.

    `prices` counts the compared ones by contract. Open interest is only told: the broker's quote and its candles are
    refreshed at different times.
    """

    contracts: int
    prices: Mapping[str, int]
    volumes: int
    open_interests: int
    price_differences: tuple[Difference, ...]
    volume_differences: tuple[Difference, ...]
    oi_differences: tuple[Difference, ...]


def asked_minutes(answers: pl.DataFrame) -> pl.DataFrame:
    """Every (symbol, minute) that the broker was asked about; `answers` as in `ANSWER_COLUMNS`."""
    windows = answers.select("symbol", "from", "to").unique()
    minutes = pl.datetime_ranges("from", "to", interval="1m", time_unit="ms", time_zone="UTC").alias("minute")
    return windows.select("symbol", minutes).explode("minute").unique()


def candles_of(answers: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Archived candles by symbol and minute; of two answers about the same minute the first counts."""
    told = answers.filter(pl.col("open").is_not_null()).with_columns(minute=pl.col("timestamp"))
    return told.unique(("symbol", "minute"), keep="first", maintain_order=True).select("symbol", "minute", *columns)


def witnesses(lake: pl.DataFrame, count: int, today: date) -> set[str]:
    """The contracts seen live that were traded most, without those that have expired before `today`: who was not asked
    in time is not replaced. Needs `expiry` as well."""

    def symbols(rows: pl.DataFrame) -> pl.Series:
        return pl.concat([rows["call_symbol"], rows["put_symbol"]]).drop_nulls().unique()

    seen = _live(lake, symbols(lake))
    most = seen.group_by("symbol").agg(pl.col("volume").max()).sort("volume", "symbol", descending=[True, False])
    return set(most.head(count)["symbol"]) - set(symbols(lake.filter(pl.col("expiry") < today)))


def heard(answers: pl.DataFrame, grid: Grid) -> set[str]:
    """Contracts of which every minute of the session was asked for."""
    minutes = asked_minutes(answers).filter(pl.col("minute").is_between(_time(grid.open_ms), _time(grid.close_ms - 1)))
    counted = minutes.group_by("symbol").len()
    return set(counted.filter(pl.col("len") >= (grid.close_ms - grid.open_ms) // MINUTE_MS)["symbol"])


def match_candles(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid) -> CandleMatch:
    """Compare every live quote of the lake (`MATCH_COLUMNS`) that the archived `answers` reach."""
    rows = _placed(lake, answers, grid)
    ranged = _ranged(rows, answers)
    priced = ranged.filter(_price_is_bound(grid) & pl.col("low").is_not_null() & pl.col("ltp").is_not_null())
    held = ranged.filter(pl.col("oi_low").is_not_null() & pl.col("oi").is_not_null())
    # Volumes that are 0 everywhere were not recorded.
    grown = (
        pl.concat([_growth(rows, grid), _growth_of_day(rows, grid)])
        if rows["volume"].sum()
        else _growth(rows.clear(), grid)
    )
    return CandleMatch(
        contracts=rows["symbol"].n_unique(),
        prices=dict(priced.group_by("symbol").len().sort("symbol").iter_rows()),
        volumes=grown.height,
        open_interests=held.height,
        price_differences=_told(
            priced.filter(~pl.col("ltp").is_between(pl.col("low") - _EPSILON, pl.col("high") + _EPSILON)),
            lambda row: f"last price {row['ltp']:.2f}, candles {row['low']:.2f} to {row['high']:.2f}",
        ),
        volume_differences=_told(
            grown.filter(~pl.col("growth").is_between("least", "most")), lambda row: _grew(row, grid)
        ),
        oi_differences=_told(
            held.filter(~pl.col("oi").is_between("oi_low", "oi_high")),
            lambda row: f"open interest {row['oi']:,}, candles {row['oi_low']:,} to {row['oi_high']:,}",
        ),
    )


def denied_minutes(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid, closing: pl.DataFrame) -> pl.DataFrame:
    """Minutes (symbol, minute) that the broker's history says were silent although the contract traded in them.

    Between two live quotes the volume grew by more than all candles around hold, and the minutes between have none: the
    history is not whole, so its silence is no answer. After the last quote `closing` (symbol, volume) tells what the
    volume came to. `lake` needs times, symbols, states and volumes only.
    """
    rows = _placed(lake, answers, grid)
    grown = _growth(rows, grid)
    minutes = pl.datetime_ranges("last_before", "minute", interval="1m", closed="none", time_unit="ms", time_zone="UTC")
    silent = pl.col("candles_until") == pl.col("candles_then")
    denied = grown.filter((pl.col("growth") > pl.col("most")) & silent).select("symbol", minutes.alias("minute"))
    return pl.concat([denied, _denied_at_the_end(rows, answers, grid, closing)]).explode("minute").drop_nulls().unique()


def _denied_at_the_end(rows: pl.DataFrame, answers: pl.DataFrame, grid: Grid, closing: pl.DataFrame) -> pl.DataFrame:
    """The same for what was asked for to the close and not seen any more: symbol and its list of minutes."""
    line = _timeline(answers)
    ends = line.group_by("span").agg(
        pl.col("minute").last().alias("end"), pl.col("traded", "candles").last().name.prefix("whole_")
    )
    last_minute = _time(grid.close_ms) - _MINUTE
    last = rows.group_by("span", maintain_order=True).last().join(ends.filter(pl.col("end") == last_minute), on="span")
    closed = last.join(closing.select("symbol", pl.col("volume").alias("final")), on="symbol")
    denied = closed.filter(
        (pl.col("final") - pl.col("volume") > pl.col("whole_traded") - pl.col("traded_before"))
        & (pl.col("whole_candles") == pl.col("candles"))
    )
    minutes = pl.datetime_ranges(
        "last", _time(grid.close_ms), interval="1m", closed="none", time_unit="ms", time_zone="UTC"
    )
    return denied.select("symbol", minutes.alias("minute"))


def _timeline(answers: pl.DataFrame) -> pl.DataFrame:
    """Every minute asked for, in spans without a hole: its candle, and what was there up to it and before it."""
    candles = candles_of(answers, ("close", "volume", "oi"))
    minutes = asked_minutes(answers).join(candles, on=("symbol", "minute"), how="left").sort("symbol", "minute")
    follows = (pl.col("minute").diff() == _MINUTE) & (pl.col("symbol") == pl.col("symbol").shift(1))
    has_candle = pl.col("close").is_not_null().cast(pl.Int64)
    return (
        minutes.with_columns(span=(~follows.fill_null(value=False)).cum_sum(), volume=pl.col("volume").fill_null(0))
        .with_columns(
            begins=pl.col("minute").first().over("span"),
            traded=pl.col("volume").cum_sum().over("span"),
            candles=has_candle.cum_sum().over("span"),
            close_before=pl.col("close").forward_fill().shift(1).over("span"),
            oi_before=pl.col("oi").forward_fill().shift(1).over("span"),
        )
        .with_columns(traded_before=pl.col("traded") - pl.col("volume"), candles_until=pl.col("candles") - has_candle)
    )


def _live(lake: pl.DataFrame, symbols: pl.Series) -> pl.DataFrame:
    """One row per live contract and cycle: symbol, timestamp and its figures, as far as the lake's columns go."""
    figures = [name for name in _FIGURES if f"call_{name}" in lake.columns]
    both = []
    for side in ("call", "put"):
        is_wanted = (pl.col(f"{side}_status") == RowStatus.LIVE) & pl.col(f"{side}_symbol").is_in(symbols.implode())
        columns = [pl.col(f"{side}_{name}").alias(name) for name in ("symbol", *figures)]
        both.append(lake.filter(is_wanted).select("timestamp", *columns))
    return pl.concat(both).unique(("symbol", "timestamp"), keep="first").sort("symbol", "timestamp")


def _placed(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Live quotes whose minutes, `first` to `last`, were asked for in one span, with what it says of these."""
    interval, instant = pl.duration(milliseconds=grid.interval_ms), pl.duration(milliseconds=1)
    rows = _live(lake, answers["symbol"].unique()).with_columns(
        minute=pl.col("timestamp").dt.truncate("1m"),
        first=pl.max_horizontal((pl.col("timestamp") - interval).dt.truncate("1m"), _time(grid.open_ms)),
        last=pl.min_horizontal(
            (pl.col("timestamp") + interval - instant).dt.truncate("1m"), _time(grid.close_ms) - _MINUTE
        ),
    )
    line = _timeline(answers)
    begin = line.select(
        "symbol", "span", "begins", "close_before", "oi_before", "traded_before", pl.col("minute").alias("first")
    )
    end = line.select("symbol", "traded", "candles", pl.col("minute").alias("last"), pl.col("span").alias("last_span"))
    here = line.select("symbol", "minute", "candles_until")
    joined = rows.join(begin, on=("symbol", "first")).join(end, on=("symbol", "last"))
    whole = joined.filter(pl.col("span") == pl.col("last_span"))
    return whole.join(here, on=("symbol", "minute")).sort("symbol", "timestamp")


def _ranged(rows: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Rows with the lowest and highest price and open interest that their candles and the ones before allow."""
    own = pl.datetime_ranges("first", "last", interval="1m", time_unit="ms", time_zone="UTC").alias("minute")
    candles = candles_of(answers, ("low", "high", "oi"))
    limits = (
        pl.col("low").min(),
        pl.col("high").max(),
        pl.col("oi").min().alias("oi_low"),
        pl.col("oi").max().alias("oi_high"),
    )
    around = rows.select("symbol", "timestamp", own).explode("minute").join(candles, on=("symbol", "minute"))
    return (
        rows.join(around.group_by("symbol", "timestamp").agg(limits), on=("symbol", "timestamp"), how="left")
        .with_columns(
            low=pl.min_horizontal("low", "close_before"),
            high=pl.max_horizontal("high", "close_before"),
            oi_low=pl.min_horizontal("oi_low", "oi_before"),
            oi_high=pl.max_horizontal("oi_high", "oi_before"),
        )
        .sort("symbol", "timestamp")
    )


def _price_is_bound(grid: Grid) -> pl.Expr:
    """Whether a last price cannot be older than what was asked for: a candle is before it, or all trades are known."""
    from_open = (pl.col("begins") == _time(grid.open_ms)) & (pl.col("volume") > 0)
    return pl.col("close_before").is_not_null() | from_open


def _growth(rows: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """What volumes grew by since the quote before in the same span, or since the open where it begins there."""
    from_open = pl.col("begins") == _time(grid.open_ms)

    def before(name: str, at_open: pl.Expr) -> pl.Expr:
        return pl.coalesce(pl.col(name).shift(1).over("span"), pl.when(from_open).then(at_open))

    nothing = pl.lit(0, pl.Int64)
    found = rows.with_columns(
        minute_before=before("minute", _time(grid.open_ms) - _MINUTE),
        last_before=before("last", _time(grid.open_ms) - _MINUTE),
        candles_then=before("candles", nothing),
        growth=pl.col("volume") - before("volume", nothing),
        most=pl.col("traded") - before("traded_before", nothing),
        least=(pl.col("traded_before") - before("traded", nothing)).clip(lower_bound=0),
    )
    return found.filter(pl.col("growth").is_not_null())


def _growth_of_day(rows: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """The same from the open to the last quote, where the contract was asked for from the open: small errors add up."""
    last = rows.filter(pl.col("begins") == _time(grid.open_ms)).group_by("span", maintain_order=True).last()
    return _growth(last.select(rows.columns), grid)


def _time(time_ms: int) -> pl.Expr:
    return pl.lit(time_ms).cast(pl.Datetime("ms", "UTC"))


def _told(rows: pl.DataFrame, say: Callable[[Mapping[str, Any]], str]) -> tuple[Difference, ...]:
    return tuple(
        Difference(row["symbol"], _ms(row["timestamp"]), say(row))
        for row in rows.sort("symbol", "timestamp").iter_rows(named=True)
    )


def _grew(row: Mapping[str, Any], grid: Grid) -> str:
    before_ms = _ms(row["minute_before"])
    since = "the open" if before_ms < grid.open_ms else ist_clock(before_ms)[:5]
    moved = f"{'grew' if row['growth'] >= 0 else 'fell'} by {abs(row['growth']):,}"
    return f"volume {moved} since {since}, candles hold {row['least']:,} to {row['most']:,}"


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
