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
    "expiry",
    *(f"{side}_{name}" for side in ("call", "put") for name in ("symbol", "status", "ltp", "volume", "oi")),
)
_MINUTE = pl.duration(minutes=1)
_EPSILON = 1e-6
# Candles may hold so much less than was traded, or the broker's habits would deny every silence.
LACKING_MAX = 0.01
# A day of all contracts side by side would take tens of MB.
CONTRACTS_AT_ONCE = 50
# So long before the close the options of an index may be quiet, all of them.
QUIET_MAX_MS = 5 * MINUTE_MS
# A quote comes up to six seconds after its minute's start, and what was traded until then is not known.
_LATE_SHARE = 0.1
_GROWN = (
    *("symbol", "timestamp", "minute", "last", "begins", "span", "is_closing", "is_late"),
    *("volume", "traded", "traded_before", "until", "edge_likely", "edge_most"),
)
_FIGURES = ("ltp", "volume", "oi")


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cycles of a day stand: from the open to the close, one an interval (ms since 1970).

    `closes_ms` is the end of trading by expiry, which may be before the close of the session.
    """

    open_ms: int
    close_ms: int
    interval_ms: int
    closes_ms: Mapping[date, int]


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


def told_candles(answers: pl.DataFrame) -> pl.DataFrame:
    """The rows of archived answers that are a candle, one a symbol and minute: of several the one with most volume, for
    what was traded cannot be taken back, and of equal ones the last in the archive."""
    told = answers.filter(pl.col("open").is_not_null()).sort("volume", maintain_order=True)
    return told.unique(("symbol", "timestamp"), keep="last", maintain_order=True)


def candles_of(answers: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Archived candles by symbol and minute."""
    needed = dict.fromkeys(("symbol", "timestamp", "open", "volume", *columns))
    return told_candles(answers.select(*needed)).select("symbol", pl.col("timestamp").alias("minute"), *columns)


def witnesses(lake: pl.DataFrame, count: int, today: date) -> set[str]:
    """The contracts seen live that were traded most, without those that have expired before `today`: who was not asked
    in time is not replaced. Needs `expiry` as well."""
    seen = _by_volume(live_quotes(lake)).head(count)
    return set(seen.filter(pl.col("expiry") >= today)["symbol"])


def most_traded(lake: pl.DataFrame, today: date) -> list[str]:
    """The contracts seen live that have not expired before `today`, by volume, the most first."""
    return _by_volume(live_quotes(lake)).filter(pl.col("expiry") >= today)["symbol"].to_list()


def _by_volume(quotes: pl.DataFrame) -> pl.DataFrame:
    most = quotes.group_by("symbol").agg(pl.col("volume").max(), pl.col("expiry").last())
    return most.sort("volume", "symbol", descending=[True, False])


def heard(answers: pl.DataFrame, grid: Grid) -> set[str]:
    """Contracts of which every minute of the session was asked for."""
    minutes = asked_minutes(answers).filter(pl.col("minute").is_between(_time(grid.open_ms), _time(grid.close_ms - 1)))
    counted = minutes.group_by("symbol").len()
    return set(counted.filter(pl.col("len") >= (grid.close_ms - grid.open_ms) // MINUTE_MS)["symbol"])


def match_candles(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid, closing: pl.DataFrame) -> CandleMatch:
    """Compare every live quote of the lake (`MATCH_COLUMNS`) that the archived `answers` reach, and the volumes of the
    `closing` state (symbol, expiry, exchange_time, volume)."""
    rows = _placed(lake, answers, grid, closing)
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
            grown.filter((pl.col("growth") < pl.col("least")) | (pl.col("growth") > pl.col("most") + pl.col("spare"))),
            lambda row: _grew(row, grid),
        ),
        oi_differences=_told(
            held.filter(~pl.col("oi").is_between("oi_low", "oi_high")),
            lambda row: f"open interest {row['oi']:,}, candles {row['oi_low']:,} to {row['oi_high']:,}",
        ),
    )


def denied_minutes(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid, closing: pl.DataFrame) -> pl.DataFrame:
    """Minutes (symbol, minute) that the broker's history says were silent although the contract may have traded then.

    The volume grew between two quotes by more than the candles between them hold: that history is not whole, so its
    silence there is no answer. What came before the first quote is told by the open, what after the last by the
    `closing` state. A day of candles that adds up to its closing state is whole, whatever single quotes said; of one
    that holds less it is known that something is lacking, and less is enough to say where. What a quote saw before its
    minute's candle counts it is in that candle at the next quote, so it has to be lacking there as well, unless that
    quote is wrong. `lake` needs times, expiries, symbols, states and volumes only; `closing` is as in `match_candles`.
    """
    symbols = answers["symbol"].unique().sort()
    some = [symbols.slice(start, CONTRACTS_AT_ONCE).implode() for start in range(0, len(symbols), CONTRACTS_AT_ONCE)]
    found = [_denied(lake, answers.filter(pl.col("symbol").is_in(part)), grid, closing) for part in some]
    return pl.concat([answers.clear().select("symbol", pl.col("timestamp").alias("minute")), *found])


def _denied(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid, closing: pl.DataFrame) -> pl.DataFrame:
    """The same of some contracts."""
    grown = _growth(_placed(lake, answers, grid, closing), grid)
    # A closing state of less than the last quote says nothing.
    is_end = pl.col("is_closing") & (pl.col("growth") >= 0)
    of_day = grown.filter(is_end & (pl.col("begins") == _time(grid.open_ms)))
    whole = of_day.filter(pl.col("volume") == pl.col("traded"), pl.col("is_late"))["symbol"]
    short = of_day.filter(pl.col("volume") > pl.col("traded"))["symbol"]
    is_short, allowed = pl.col("symbol").is_in(short.implode()), LACKING_MAX * pl.col("growth")

    def lacks_next(edges: str) -> pl.Expr:
        return (pl.col("lacking_two") > allowed + pl.col(edges)).fill_null(value=True) | ~pl.col("next_says")

    certain = (pl.col("lacking") > allowed + pl.col("edges_most")) & lacks_next("edge_most_before")
    likely = is_short & (pl.col("lacking") > allowed + pl.col("edges_likely")) & lacks_next("edges_likely_two")
    minutes = pl.datetime_ranges("last_before", "minute", interval="1m", closed="none", time_unit="ms", time_zone="UTC")
    doubted = grown.filter((certain | likely) & ~pl.col("symbol").is_in(whole.implode()))
    named = doubted.select("symbol", minutes.alias("minute")).explode("minute").drop_nulls().unique()
    return named.join(candles_of(answers, ()), on=("symbol", "minute"), how="anti")


def final_volumes(lake: pl.DataFrame, closing: pl.DataFrame, grid: Grid) -> dict[str, int]:
    """What was traded of a contract on the whole day, by symbol, as its closing state says. One of less than the last
    quote says nothing, nor one that the exchange stamped long before the contract's close."""
    closed = _closed(closing, closing["symbol"].unique(), grid).filter("is_late")
    last = live_quotes(lake, closed["symbol"]).group_by("symbol").agg(pl.col("volume").max().alias("seen"))
    known = closed.join(last, on="symbol", how="left").filter(pl.col("volume") >= pl.col("seen").fill_null(0))
    return dict(known.select("symbol", "volume").iter_rows())


def _timeline(answers: pl.DataFrame) -> pl.DataFrame:
    """Every minute asked for, in spans without a hole: its candle, and what was there up to it and before it."""
    candles = candles_of(answers, ("close", "volume", "oi"))
    minutes = asked_minutes(answers).join(candles, on=("symbol", "minute"), how="left").sort("symbol", "minute")
    follows = (pl.col("minute").diff() == _MINUTE) & (pl.col("symbol") == pl.col("symbol").shift(1))
    return (
        minutes.with_columns(span=(~follows.fill_null(value=False)).cum_sum(), volume=pl.col("volume").fill_null(0))
        .with_columns(
            begins=pl.col("minute").first().over("span"),
            traded=pl.col("volume").cum_sum().over("span"),
            close_before=pl.col("close").forward_fill().shift(1).over("span"),
            oi_before=pl.col("oi").forward_fill().shift(1).over("span"),
        )
        .with_columns(traded_before=pl.col("traded") - pl.col("volume"))
    )


def live_quotes(lake: pl.DataFrame, symbols: pl.Series | None = None) -> pl.DataFrame:
    """One row per live contract and cycle, of some `symbols` or all: symbol, expiry, timestamp and its figures, as far
    as the lake has them."""
    figures = [name for name in _FIGURES if f"call_{name}" in lake.columns]
    both = []
    for side in ("call", "put"):
        is_wanted = pl.col(f"{side}_status") == RowStatus.LIVE
        if symbols is not None:
            is_wanted &= pl.col(f"{side}_symbol").is_in(symbols.implode())
        columns = [pl.col(f"{side}_{name}").alias(name) for name in ("symbol", *figures)]
        both.append(lake.filter(is_wanted).select("timestamp", "expiry", *columns))
    return pl.concat(both).unique(("symbol", "timestamp"), keep="first").sort("symbol", "timestamp")


def _closed(closing: pl.DataFrame, symbols: pl.Series, grid: Grid) -> pl.DataFrame:
    """The closing state as a last quote at the close: symbol, expiry, volume, and whether it is of the close or older
    (`is_late`). Who has not been quoted since the open says nothing of the day."""
    of_today = closing.filter(
        (pl.col("exchange_time") >= _time(grid.open_ms)) & pl.col("symbol").is_in(symbols.implode()),
        pl.col("volume").is_not_null(),
    )
    closes = pl.col("expiry").replace_strict(dict(grid.closes_ms), default=grid.close_ms, return_dtype=pl.Int64)
    is_late = pl.col("exchange_time").dt.timestamp("ms") >= closes - QUIET_MAX_MS
    return of_today.select("symbol", "expiry", "volume", is_closing=True, is_late=is_late)


def _placed(lake: pl.DataFrame, answers: pl.DataFrame, grid: Grid, closing: pl.DataFrame) -> pl.DataFrame:
    """Quotes whose minutes, `first` to `last`, were asked for in one span, with what it says of these."""
    interval, instant = pl.duration(milliseconds=grid.interval_ms), pl.duration(milliseconds=1)
    closes = pl.DataFrame(list(grid.closes_ms.items()), schema={"expiry": pl.Date, "closes": pl.Int64}, orient="row")
    symbols = answers["symbol"].unique()
    quotes = pl.concat([live_quotes(lake, symbols), _closed(closing, symbols, grid)], how="diagonal_relaxed")
    rows = (
        quotes.join(closes.cast({"closes": pl.Datetime("ms", "UTC")}), on="expiry", how="left")
        .with_columns(
            closes=pl.col("closes").fill_null(_time(grid.close_ms)),
            is_closing=pl.col("is_closing").fill_null(value=False),
            is_late=pl.col("is_late").fill_null(value=False),
        )
        .with_columns(timestamp=pl.col("timestamp").fill_null(pl.col("closes")))
        .with_columns(
            minute=pl.col("timestamp").dt.truncate("1m"),
            first=pl.max_horizontal((pl.col("timestamp") - interval).dt.truncate("1m"), _time(grid.open_ms)),
            last=pl.min_horizontal(
                (pl.col("timestamp") + interval - instant).dt.truncate("1m"), pl.col("closes") - _MINUTE
            ),
        )
    )
    line = _timeline(answers)
    begin = line.select(
        "symbol", "span", "begins", "close_before", "oi_before", "traded_before", pl.col("minute").alias("first")
    )
    end = line.select("symbol", "traded", pl.col("minute").alias("last"), pl.col("span").alias("last_span"))
    here = line.select("symbol", "minute", pl.col("traded_before").alias("until_minute"), pl.col("volume").alias("own"))
    joined = rows.join(begin, on=("symbol", "first")).join(end, on=("symbol", "last"))
    whole = joined.filter(pl.col("span") == pl.col("last_span")).join(here, on=("symbol", "minute"), how="left")
    # Of its own minute a quote has seen about the share that had passed.
    share = (pl.col("timestamp") - pl.col("minute")).dt.total_milliseconds() / MINUTE_MS
    likely = pl.col("own") * (_LATE_SHARE + pl.min_horizontal(share, 1 - share))
    return whole.with_columns(
        until=pl.when("is_closing").then("traded").otherwise(pl.col("until_minute") + share * pl.col("own")),
        edge_likely=pl.when("is_closing").then(0.0).otherwise(likely),
        edge_most=pl.when("is_closing").then(0.0).otherwise(pl.col("own").cast(pl.Float64)),
    ).sort("symbol", "timestamp")


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

    def after(name: str) -> pl.Expr:
        return pl.col(name).shift(-1).over("span")

    found = (
        rows.select(*_GROWN)
        .filter(pl.col("volume").is_not_null())
        .with_columns(
            minute_before=before("minute", _time(grid.open_ms) - _MINUTE),
            last_before=before("last", _time(grid.open_ms) - _MINUTE),
            growth=pl.col("volume") - before("volume", nothing),
            most=pl.col("traded") - before("traded_before", nothing),
            held=pl.col("until") - before("until", pl.lit(0.0)),
            edges_likely=pl.col("edge_likely") + before("edge_likely", pl.lit(0.0)),
            edge_most_before=before("edge_most", pl.lit(0.0)),
            lacking_two=after("volume") - before("volume", nothing) - after("until") + before("until", pl.lit(0.0)),
            edges_likely_two=after("edge_likely") + before("edge_likely", pl.lit(0.0)),
            # A closing state that was asked for early is short of the last trades.
            least=pl.when("is_closing")
            .then(0)
            .otherwise((pl.col("traded_before") - before("traded", nothing)).clip(0)),
        )
    )
    # What is less than the candles before it hold; what falls back for one quote only, unless the next one tells of no
    # more than candles hold, so that it was the one before that was wrong; and what closes below the last quote without
    # being what they add up to.
    sure = pl.when("is_closing").then("traded").otherwise("traded_before")
    fell = pl.col("growth") < 0
    is_held = from_open & (after("volume") <= after("traded"))
    comes_back = (after("volume") >= pl.col("volume").shift(1).over("span")) & ~is_held
    is_wrong = (
        (from_open & (pl.col("volume") < sure))
        | (fell & comes_back.fill_null(value=False))
        | (pl.col("is_closing") & fell & (pl.col("volume") != pl.col("traded")))
    )
    return found.filter(pl.col("growth").is_not_null()).with_columns(
        lacking=pl.col("growth") - pl.col("held"),
        edges_most=pl.col("edge_most") + pl.col("edge_most_before"),
        next_says=(~is_wrong).shift(-1).over("span").fill_null(value=True),
        # From the open on it adds up.
        spare=pl.when(pl.col("is_closing") | (pl.col("minute_before") < _time(grid.open_ms)))
        .then(LACKING_MAX * pl.col("growth"))
        .otherwise(0.0),
    )


def _growth_of_day(rows: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """The same from the open to the last live quote and to the closing state, where the contract was asked for from the
    open: small errors add up."""
    whole = rows.filter(pl.col("begins") == _time(grid.open_ms))
    kinds = [whole.filter(pl.col("is_closing") == kind) for kind in (False, True)]
    lasts = [kind.group_by("span", maintain_order=True).last().select(rows.columns) for kind in kinds]
    return pl.concat([_growth(last, grid) for last in lasts])


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
