"""The account of a day: every minute of every expected contract ends as live, repaired, no_trade or unverified.

A contract is expected in a minute when the collection's universe holds it there: the configured offsets around the
money, for each configured expiry, as long as the expiry trades. Where the money of a minute is not known from the lake,
the broker's candle of the index says it; where that is silent too, the universes of the nearest minutes before and
after are both expected. So nothing that was collected before and after a gap can be lost in it. What is live is always
expected. Frames in, frames out; nothing is read here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from g6_core.domain.chain import atm_on_step
from g6_core.domain.ist import ist_clock
from g6_core.schema.accounting import Account
from g6_core.schema.options import RowStatus
from g6_pipelines.collection.candles import (
    Grid,
    candles_of,
    compared_volumes,
    falls_short,
    traded_volumes,
    unrecorded_minutes,
    vouched_minutes,
)

LAKE_COLUMNS = (
    *("timestamp", "expiry", "strike", "spot"),
    *("call_symbol", "call_status", "call_volume", "put_symbol", "put_status", "put_volume"),
)
KEY = ("minute", "expiry", "strike", "side")
CANDLE = ("open", "high", "low", "close", "volume", "oi", "answer_sha256")
_NOT_TRADED = (RowStatus.NO_CONTRACT.value, RowStatus.CLOSED.value)
_CONTRACT = {"expiry": pl.Date, "strike": pl.Float64, "side": pl.String, "symbol": pl.String}
_MINUTE = pl.Datetime("ms", "UTC")

Contract = tuple[date, float, str, str | None]
"""(expiry, strike in rupees, CE or PE, symbol): the symbol is None when it is not listed any more."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is expected of one index on one day.

    `grid` is where the cycles of the collection stand and `minutes` are theirs. `universe` gives the contracts around
    a strike in paise; None when no dump tells them. `shortfall_pct` is `completeness.shortfall_pct`.
    """

    index: str
    day: date
    index_symbol: str
    step_paise: int
    grid: Grid
    minutes: Sequence[int]
    universe: Callable[[int], Sequence[Contract]] | None
    shortfall_pct: float


@dataclass(frozen=True, slots=True)
class DayAccount:
    """Contract-minutes by how they ended.

    Of the unverified ones `not_recorded` are those that the source says it does not hold, and `short` those of
    contracts whose candles hold too little to believe a silence. `silent_minutes` are those in which not one expected
    contract has a quote or a candle.
    """

    index: str
    day: date
    live: int
    repaired: int
    no_trade: int
    unverified: int
    first_unverified: str | None
    silent_minutes: tuple[int, ...]
    not_recorded: int
    short: int

    @property
    def expected(self) -> int:
        """All contract-minutes."""
        return self.live + self.repaired + self.no_trade + self.unverified

    @property
    def complete(self) -> bool:
        """Something was expected, and nothing is unverified."""
        return self.expected > 0 and self.unverified == 0

    def counts(self) -> dict[str, int]:
        """Return the contract-minutes by how they ended; `open` is what `unverified` was called before."""
        names = ("expected", "live", "repaired", "no_trade", "unverified", "not_recorded")
        return {name: getattr(self, name) for name in names} | {"open": self.unverified}

    def line(self) -> str:
        """Return the answer to "is this day complete?"."""
        where = f"{self.index} {self.day}"
        if not self.expected:
            return f"{where}: INCOMPLETE: nothing was collected; materialise chain_repair for the day"
        if self.unverified:
            why = [f"{self.not_recorded:,} not recorded"] if self.not_recorded else []
            why += [f"{self.short:,} where candles hold less than was traded"] if self.short else []
            reasons = f" ({', '.join(why)})" if why else ""
            left = f"{self.unverified:,} of {self.expected:,} unverified{reasons}"
            return f"{where}: INCOMPLETE: {left}, first {self.first_unverified}"
        silent = len(self.silent_minutes)
        return (
            f"{where}: complete, {self.expected:,} contract-minutes: {self.live:,} live, {self.repaired:,} repaired, "
            f"{self.no_trade:,} no trade"
            + (f"; {silent} minutes without a quote or candle of any contract" if silent else "")
        )


def account(lake: pl.DataFrame, answers: pl.DataFrame, scope: Scope, closing: pl.DataFrame) -> pl.DataFrame:
    """Return one row per expected contract and minute, and the candle (`CANDLE`) where it is repaired.

    Its columns are `KEY`, symbol, account, `is_unrecorded` (the source does not hold the minute), `is_short` (the
    contract's candles hold too little) and `CANDLE`. `lake` has `LAKE_COLUMNS`; for the rest see
    `g6_pipelines.collection.candles`; all may be empty.
    """
    of_contract = ("symbol", "minute")
    expected = _expected(lake, answers, scope)
    compared = compared_volumes(answers, traded_volumes(lake, closing, scope.grid), scope.grid)
    short = compared.filter(falls_short(scope.shortfall_pct)).select("symbol", is_short=True)
    # Most of a day is live, and a candle of a minute that was seen live is no part of the account.
    rest = (
        expected.filter(~pl.col("live"))
        .join(candles_of(answers, CANDLE), on=of_contract, how="left")
        .join(vouched_minutes(answers).with_columns(is_vouched=True), on=of_contract, how="left")
        .join(unrecorded_minutes(answers).with_columns(is_unrecorded=True), on=of_contract, how="left")
        .join(short, on="symbol", how="left")
        .with_columns(pl.col("is_vouched", "is_unrecorded", "is_short").fill_null(value=False))
        .with_columns(
            pl.when(pl.col("is_unrecorded"))
            .then(pl.lit(Account.UNVERIFIED.value))
            .when(pl.col("open").is_not_null())
            .then(pl.lit(Account.REPAIRED.value))
            .when(pl.col("is_vouched") & ~pl.col("is_short"))
            .then(pl.lit(Account.NO_TRADE.value))
            .otherwise(pl.lit(Account.UNVERIFIED.value))
            .alias("account")
        )
    )
    live = expected.filter("live").with_columns(account=pl.lit(Account.LIVE.value))
    found = pl.concat([rest, live], how="diagonal").with_columns(
        pl.col("is_unrecorded", "is_short").fill_null(value=False)
    )
    return found.select(*KEY, "symbol", "account", "is_unrecorded", "is_short", *CANDLE).sort(KEY)


def summary(accounted: pl.DataFrame, scope: Scope) -> DayAccount:
    """Counts of what `account` gave."""
    counts = dict(accounted.group_by("account").len().iter_rows())
    left = accounted.filter(pl.col("account") == Account.UNVERIFIED)
    seen = pl.col("account").is_in([Account.LIVE.value, Account.REPAIRED.value])
    silent = accounted.group_by("minute").agg(seen.any().alias("seen")).filter(~pl.col("seen"))["minute"]
    return DayAccount(
        index=scope.index,
        day=scope.day,
        live=counts.get(Account.LIVE, 0),
        repaired=counts.get(Account.REPAIRED, 0),
        no_trade=counts.get(Account.NO_TRADE, 0),
        unverified=left.height,
        first_unverified=None if left.is_empty() else _named(scope, left.row(0, named=True)),
        silent_minutes=tuple(silent.dt.timestamp("ms").sort().to_list()),
        not_recorded=int(left["is_unrecorded"].sum()),
        short=left.filter("is_short").height,
    )


def minutes_to_ask(accounted: pl.DataFrame) -> dict[str, int]:
    """Return how many minutes of each contract the broker may still know of: not those that its recording lacks."""
    is_left = (pl.col("account") == Account.UNVERIFIED) & ~pl.col("is_unrecorded") & pl.col("symbol").is_not_null()
    return dict(accounted.filter(is_left).group_by("symbol").len().sort("symbol").iter_rows())


def dark_minutes(lake: pl.DataFrame, answers: pl.DataFrame, scope: Scope) -> tuple[int, ...]:
    """Expected minutes whose money the lake does not tell and the broker was not asked for; none without a dump."""
    if scope.universe is None:
        return ()
    own = answers.filter(pl.col("symbol") == scope.index_symbol)
    asked = pl.concat([vouched_minutes(own), unrecorded_minutes(own)])["minute"].dt.timestamp("ms").to_list()
    known = {*_known_minutes(lake), *asked}
    return tuple(minute for minute in scope.minutes if minute not in known)


def _sides(lake: pl.DataFrame) -> pl.DataFrame:
    """One row per contract and minute of the lake: KEY, symbol, live, wanted, known (the money was known then)."""
    both = [
        lake.select(
            pl.col("timestamp").dt.truncate("1m").alias("minute"),
            pl.col("expiry", "strike"),
            pl.lit(side).alias("side"),
            pl.col(f"{name}_symbol").alias("symbol"),
            pl.col(f"{name}_status").alias("status"),
            pl.col("spot").is_not_null().any().over("timestamp").alias("known"),
        )
        for name, side in (("call", "CE"), ("put", "PE"))
    ]
    listed = pl.concat(both).filter(pl.col("symbol").is_not_null())
    return listed.group_by(KEY).agg(
        pl.col("symbol").first(),
        (pl.col("status") == RowStatus.LIVE).any().alias("live"),
        (~pl.col("status").is_in(_NOT_TRADED)).fill_null(value=True).any().alias("wanted"),
        pl.col("known").any(),
    )


def _known_minutes(lake: pl.DataFrame) -> list[int]:
    """Minutes with a cycle that knew the money and asked for a contract."""
    asked = pl.any_horizontal(pl.col("call_symbol", "put_symbol").is_not_null())
    cycles = lake.group_by("timestamp").agg((pl.col("spot").is_not_null().any() & asked.any()).alias("known"))
    minutes = cycles.filter("known")["timestamp"].dt.truncate("1m")
    found: list[int] = minutes.unique().dt.timestamp("ms").to_list()
    return found


def _expected(lake: pl.DataFrame, answers: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """KEY, symbol, live: what was asked for or seen, and what should have been in minutes whose money was not known."""
    columns = (*KEY, "symbol")
    sides, known = _sides(lake), set(_known_minutes(lake))
    is_placed = pl.col("known") & pl.col("wanted")
    dark = sorted({*scope.minutes, *sides["minute"].unique().dt.timestamp("ms").to_list()} - known)
    by_candle = {minute: atm for minute, atm in _money(answers, scope).items() if minute not in known}
    around = _around(by_candle, scope).select(columns)
    placed = pl.concat([sides.filter(is_placed).select(columns), around])
    blind = [minute for minute in dark if minute not in by_candle]
    carried = _while_open(_carried(placed, blind).select(columns), scope)
    # A day has few dark minutes, and all of its rows: only these are compared with those.
    own = sides.filter(is_placed | pl.col("live")).select(*columns, "live")
    beyond = pl.concat([around, carried]).unique(KEY, keep="first", maintain_order=True)
    seen = own.filter(pl.col("minute").is_in(beyond["minute"].unique().implode()))
    return pl.concat([own, beyond.join(seen, on=KEY, how="anti").with_columns(live=False)])


def _money(answers: pl.DataFrame, scope: Scope) -> dict[int, int]:
    """Strike at the money in paise by minute, from archived candles of the index; empty without a dump."""
    if scope.universe is None:
        return {}
    own = answers.filter((pl.col("symbol") == scope.index_symbol) & pl.col("open").is_not_null())
    wanted = set(scope.minutes)
    pairs = zip(own["timestamp"].dt.timestamp("ms").to_list(), own["open"].to_list(), strict=True)
    return {minute: atm_on_step(round(level * 100), scope.step_paise) for minute, level in pairs if minute in wanted}


def _around(atm_by_minute: Mapping[int, int], scope: Scope) -> pl.DataFrame:
    """The universe of minutes whose money a candle tells."""
    strikes = sorted(set(atm_by_minute.values()))
    rows = [(atm, *one) for atm in strikes for one in (scope.universe(atm) if scope.universe else ())]
    universes = pl.DataFrame(rows, schema={"atm": pl.Int64, **_CONTRACT}, orient="row")
    minutes = pl.DataFrame(list(atm_by_minute.items()), schema={"minute": pl.Int64, "atm": pl.Int64}, orient="row")
    return _while_open(minutes.cast({"minute": _MINUTE}).join(universes, on="atm"), scope)


def _carried(placed: pl.DataFrame, blind: Sequence[int]) -> pl.DataFrame:
    """For minutes without any word of the money: what is expected in the nearest placed minutes on both sides."""
    minutes = pl.DataFrame({"minute": sorted(blind)}, schema={"minute": pl.Int64}).cast({"minute": _MINUTE})
    near = placed.select(pl.col("minute").alias("near")).unique().sort("near")
    both = [
        minutes.sort("minute").join_asof(near, left_on="minute", right_on="near", strategy=side, coalesce=False)
        for side in ("backward", "forward")
    ]
    pairs = pl.concat(both).filter(pl.col("near").is_not_null()).unique()
    return pairs.join(placed.rename({"minute": "near"}), on="near")


def _while_open(frame: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Without the minutes after an expiry has stopped trading."""
    closes = pl.DataFrame(
        list(scope.grid.closes_ms.items()), schema={"expiry": pl.Date, "closes": pl.Int64}, orient="row"
    ).cast({"closes": _MINUTE})
    return frame.join(closes, on="expiry").filter(pl.col("minute") < pl.col("closes")).select(frame.columns)


def _named(scope: Scope, row: Mapping[str, Any]) -> str:
    """The contract and the minute in India."""
    gone = f"{scope.index} {row['expiry']} {row['strike']:g} {row['side']} (not listed any more)"
    return f"{row['symbol'] or gone} {ist_clock(round(row['minute'].timestamp() * 1000))[:5]}"
