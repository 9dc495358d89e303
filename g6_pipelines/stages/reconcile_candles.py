"""The broker's candles beside what was collected: prices by the minute, volumes by the day."""

import polars as pl

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.lake import read_lake
from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_clock
from g6_core.site import Day
from g6_pipelines.collection.candles import PRICED_COLUMNS, compared_volumes, falls_short, priced, traded_volumes
from g6_pipelines.stages.accounting import grid_of, interval_of
from g6_pipelines.stages.closing import read_closing

EXAMPLES_MAX = 5
# A contract that differs from its candles in more of its minutes than this, and in so many, is not that contract.
STRANGE_MAX_PCT = 5.0
STRANGE_MIN = 3


def reconcile_candles(day: Day) -> tuple[Check, ...]:
    """Return named checks over the candles that `chain_repair` archived; differences are named.

    Prices must agree, and the candles of a contract hold its volume of the day, but for `completeness.shortfall_pct`.
    Where nothing was collected or answered one check says so. Raises CalendarError when `day` is no trading day,
    DataError when a file is damaged.
    """
    prices, volumes = _compared(day)
    contracts = prices["symbol"].n_unique()
    if not contracts:
        said = "no minute has both a live quote and candles; materialise chain_repair while the contracts are listed"
        return (Check("candles_known", day.site.settings.collection.witnesses == 0, said, {"contracts": 0}),)
    return (
        Check("candles_known", True, f"{contracts} contracts have candles", {"contracts": contracts}),
        _prices(prices),
        _volumes(volumes, day.site.settings.completeness.shortfall_pct),
        Check(
            "candle_open_interest",
            True,
            "not compared: a candle has that of its minute's end, a quote that of some second",
            {"compared": 0, "differences": 0},
        ),
    )


def priced_by_candles(day: Day) -> Check:
    """Return whether each contract's prices are its own: one that leaves its candles again and again is another one.

    A single difference costs nothing and is named by `reconcile_candles`. Without candles nothing is judged.
    """
    prices, _ = _compared(day)
    counts = prices.group_by("symbol").agg(pl.col("is_outside").sum(), pl.len())
    is_strange = (pl.col("is_outside") >= STRANGE_MIN) & (100 * pl.col("is_outside") > STRANGE_MAX_PCT * pl.col("len"))
    strange = [
        f"{symbol} in {count} of {minutes} minutes"
        for symbol, count, minutes in counts.filter(is_strange).sort("is_outside", descending=True).iter_rows()
    ]
    said = f"{counts.height} contracts are priced like their candles"
    if strange:
        said = f"{len(strange)} contracts are not priced like their candles: {'; '.join(strange[:EXAMPLES_MAX])}"
    return Check("priced_by_candles", not strange, said, {"contracts": counts.height, "wrong": len(strange)})


def _compared(day: Day) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices and volumes beside their candles."""
    lake, answers = read_lake(day.lake, PRICED_COLUMNS), read_answers(day.answers)
    grid = grid_of(day, lake["expiry"].drop_nulls().unique(), interval_of(lake) or day.site.interval_ms)
    traded = traded_volumes(lake, read_closing(day), grid)
    return priced(lake, answers, grid), compared_volumes(answers, traded, grid)


def _prices(prices: pl.DataFrame) -> Check:
    outside = prices.filter("is_outside")
    examples = "; ".join(
        f"{row['symbol']} {ist_clock(round(row['timestamp'].timestamp() * 1000))[:5]}: last price {row['ltp']:.2f}, "
        f"candles {row['low']:.2f} to {row['high']:.2f}"
        for row in outside.head(EXAMPLES_MAX).iter_rows(named=True)
    )
    said = f"{outside.height} of {prices.height} differ: {examples}" if outside.height else f"all {prices.height} agree"
    return Check("candle_prices", not outside.height, said, {"compared": prices.height, "differences": outside.height})


def _volumes(volumes: pl.DataFrame, shortfall_pct: float) -> Check:
    """Whether the candles of each contract hold what was traded; what they hold more or a little less is told."""
    short = volumes.filter(falls_short(shortfall_pct))
    differ = volumes.filter(pl.col("held") != pl.col("volume")).height
    said = f"of {volumes.height} contracts {differ} differ from the day's volume, none lacks {shortfall_pct:g} % of it"
    if not volumes.height:
        said = "not compared: of no contract every minute of the session was answered"
    if short.height:
        rows = short.head(EXAMPLES_MAX).iter_rows(named=True)
        named = "; ".join(f"{row['symbol']}: {row['held']:,} of {row['volume']:,}" for row in rows)
        said = f"candles of {short.height} of {volumes.height} contracts lack more than {shortfall_pct:g} %: {named}"
    return Check("candle_volumes", not short.height, said, {"compared": volumes.height, "differences": differ})
