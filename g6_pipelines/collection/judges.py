"""Is the collected chain believable? Each judge looks for one defect in the rows of a day and can name where it is.

Rows come in the lake's order with `JUDGED_COLUMNS`. Markets quote oddly now and then, so most judges allow a small
share; on the recorded day of August 2025 and on modelled days they find a tenth of it or nothing. Pure: frames in,
checks out.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from g6_core.domain.calendar import Session
from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_clock
from g6_core.schema.options import RowStatus

_SIDES = {"call": "CE", "put": "PE"}
_CELLS = ("status", "symbol", "ltp", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi")
JUDGED_COLUMNS = (
    *("timestamp", "exchange_time", "expiry_code", "expiry", "offset", "strike", "spot", "forward"),
    *(f"{side}_{cell}" for side in _SIDES for cell in _CELLS),
)
NEAR_OFFSETS = 3
CROSSED_MAX_PCT = 0.5
ONE_SIDED_MAX_PCT = 5.0
OI_JUMP_PCT = 50.0
OI_JUMP_FLOOR = 100_000
OI_JUMPS_MAX_PCT = 0.1
PARITY_DISTANCE_PCT = 0.5
PARITY_MAX_PCT = 1.0
# A contract is misplaced in a cycle when its price lies beyond both neighbours by more than this part of the forward.
MISPLACED_PCT = 0.05
MISPLACED_MAX_PCT = 5.0
REPEATED_MAX_PCT = 2.0


def judge_chain(rows: pl.DataFrame, session: Session, day: date, interval_ms: int) -> tuple[Check, ...]:
    """Every judge on the rows of one index and day."""
    live = live_sides(rows)
    return (
        time_goes_on(rows),
        no_cycle_twice(rows),
        cycles_in_session(rows, session, interval_ms),
        stamps_of_the_day(rows, day),
        content_moves(rows),
        figures_possible(live),
        not_crossed(live),
        two_sided_near_the_money(live),
        parity_holds(live),
        prices_in_their_place(live),
        open_interest_steady(live),
    )


def live_sides(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per live contract and cycle; an expiry under two codes counts once."""
    head = ("timestamp", "expiry", "offset", "strike", "forward")
    both = [
        rows.select(*head, pl.lit(kind).alias("side"), *(pl.col(f"{side}_{cell}").alias(cell) for cell in _CELLS))
        for side, kind in _SIDES.items()
    ]
    live = pl.concat(both).filter(pl.col("status") == RowStatus.LIVE)
    return live.unique(("timestamp", "symbol"), keep="first", maintain_order=True)


def time_goes_on(rows: pl.DataFrame) -> Check:
    """Cycles stand in the order of their times."""
    back = rows.filter(pl.col("timestamp").diff().dt.total_milliseconds() < 0)
    return _none_of(back, "time_goes_on", "rows older than the one before")


def no_cycle_twice(rows: pl.DataFrame) -> Check:
    """A pair comes once a cycle."""
    twice = rows.filter(pl.struct("timestamp", "expiry_code", "offset").is_duplicated())
    return _none_of(twice, "no_cycle_twice", "rows of a cycle, code and offset that come more than once")


def cycles_in_session(rows: pl.DataFrame, session: Session, interval_ms: int) -> Check:
    """Fresh to the end: nothing outside of the session, and the last cycle is the session's last."""
    ms = pl.col("timestamp").dt.timestamp("ms")
    outside = rows.filter((ms < session.open_ms) | (ms >= session.close_ms))
    if len(outside):
        return _none_of(outside, "cycles_in_session", "rows outside of the session")
    last = rows.select(ms.max()).item()
    until = "nothing was collected" if last is None else f"the last cycle is of {ist_clock(last)}"
    fresh = last is not None and last + interval_ms >= session.close_ms
    said = f"{until}, the session ends at {ist_clock(session.close_ms)}"
    return Check("cycles_in_session", fresh, said, {"outside": 0})


def stamps_of_the_day(rows: pl.DataFrame, day: date) -> Check:
    """No quote is stamped with another day: a holiday's data is the day before's."""
    stamped = rows.filter(pl.col("exchange_time").is_not_null())
    foreign = stamped.filter(pl.col("exchange_time").dt.convert_time_zone("Asia/Kolkata").dt.date() != day)
    return _none_of(foreign, "stamps_of_the_day", f"rows stamped with another day than {day}")


def content_moves(rows: pl.DataFrame) -> Check:
    """A chain that is live changes from cycle to cycle: the same figures everywhere are a stale snapshot."""
    cells = [f"{side}_{cell}" for side in _SIDES for cell in _CELLS if cell not in ("status", "symbol")]
    any_live = pl.any_horizontal(pl.col(f"{side}_status") == RowStatus.LIVE for side in _SIDES)
    prints = (
        rows.filter(any_live)
        .select("timestamp", content=pl.struct("expiry_code", "strike", *cells).hash())
        .group_by("timestamp", maintain_order=True)
        .agg(pl.col("content").sum())
    )
    same = prints.filter(pl.col("content") == pl.col("content").shift())
    return _share(
        same, len(prints), "content_moves", "cycles repeat the one before to the last figure", REPEATED_MAX_PCT
    )


def figures_possible(live: pl.DataFrame) -> Check:
    """Prices stand above nothing, quantities not below it."""
    prices = pl.any_horizontal(pl.col("ltp", "bid", "ask") <= 0)
    counts = pl.any_horizontal(pl.col("bid_qty", "ask_qty", "volume", "oi") < 0)
    wrong = live.filter(prices.fill_null(value=False) | counts.fill_null(value=False))
    return _none_of(wrong, "figures_possible", "quotes with a price of nothing or a negative figure")


def not_crossed(live: pl.DataFrame) -> Check:
    """The bid stands below the ask."""
    quoted = live.filter(pl.col("bid").is_not_null() & pl.col("ask").is_not_null())
    crossed = quoted.filter(pl.col("bid") >= pl.col("ask"))
    return _share(crossed, len(quoted), "not_crossed", "quotes have a bid at or above the ask", CROSSED_MAX_PCT)


def two_sided_near_the_money(live: pl.DataFrame) -> Check:
    """Near the money somebody buys and somebody sells; a recording without any touch is not judged."""
    near = live.filter(pl.col("offset").abs() <= NEAR_OFFSETS)
    lacking = near.filter(pl.col("bid").is_null() | pl.col("ask").is_null())
    return _share(
        lacking, len(near), "two_sided_near_the_money", "quotes near the money lack bid or ask", ONE_SIDED_MAX_PCT
    )


def parity_holds(live: pl.DataFrame) -> Check:
    """Near the money call less put is forward less strike; a price of another contract breaks it."""
    near = live.filter((pl.col("offset").abs() <= NEAR_OFFSETS) & pl.col("forward").is_not_null())
    mids = near.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2).filter(pl.col("mid").is_not_null())
    key = ("timestamp", "expiry", "strike")
    calls, puts = (mids.filter(pl.col("side") == kind) for kind in _SIDES.values())
    pairs = calls.join(puts.select(*key, pl.col("mid").alias("put_mid")), on=key)
    distance = (pl.col("mid") - pl.col("put_mid") - pl.col("forward") + pl.col("strike")).abs() / pl.col("forward")
    far = pairs.filter(distance * 100 > PARITY_DISTANCE_PCT)
    what = f"pairs near the money are more than {PARITY_DISTANCE_PCT:g} % of the forward off parity"
    return _share(far, len(pairs), "parity_holds", what, PARITY_MAX_PCT)


def prices_in_their_place(live: pl.DataFrame) -> Check:
    """Calls get cheaper and puts dearer with the strike: a price far beyond both neighbours is another instrument's."""
    mids = live.with_columns(mid=((pl.col("bid") + pl.col("ask")) / 2).fill_null(pl.col("ltp")))
    placed = mids.filter(pl.col("mid").is_not_null() & pl.col("forward").is_not_null()).sort(
        "timestamp", "expiry", "strike"
    )
    chain = ("timestamp", "expiry", "side")
    sign = pl.when(pl.col("side") == "CE").then(1.0).otherwise(-1.0)
    slack = pl.col("forward") * MISPLACED_PCT / 100
    below, above = (pl.col("mid").shift(step).over(chain) for step in (1, -1))
    beyond = ((pl.col("mid") - below) * sign > slack) | ((above - pl.col("mid")) * sign > slack)
    judged = placed.with_columns(beyond=beyond.fill_null(value=False))
    # Of two prices out of order either may be the wrong one, so neighbours of a misplaced contract are named with it.
    by_contract = judged.group_by("symbol").agg(pl.col("beyond").mean() * 100)
    wrong = by_contract.filter(pl.col("beyond") > MISPLACED_MAX_PCT).sort("beyond", "symbol", descending=[True, False])
    said = f"{len(by_contract)} contracts are priced between their neighbours"
    if len(wrong):
        named = [f"{symbol} in {share:.0f} %" for symbol, share in wrong.select("symbol", "beyond").head(3).iter_rows()]
        said = f"{len(wrong)} contracts are priced like another instrument or beside one: {', '.join(named)} of cycles"
    return Check("prices_in_their_place", wrong.is_empty(), said, {"contracts": len(by_contract), "wrong": len(wrong)})


def open_interest_steady(live: pl.DataFrame) -> Check:
    """Open interest moves by positions that are opened and closed: most of it never comes or goes in one cycle."""
    known = live.filter(pl.col("oi").is_not_null()).sort("symbol", "timestamp")
    before = pl.col("oi").shift().over("symbol")
    change = (pl.col("oi") - before).abs()
    jumps = known.filter((change > OI_JUMP_FLOOR) & (change * 100 > pl.max_horizontal("oi", before) * OI_JUMP_PCT))
    what = f"changes of open interest are above {OI_JUMP_PCT:g} % and {OI_JUMP_FLOOR:,} units"
    return _share(jumps, len(known), "open_interest_steady", what, OI_JUMPS_MAX_PCT)


def candles_possible(repaired: pl.DataFrame) -> Check:
    """Of the broker's candles: low and high enclose open and close, and no figure is negative."""
    told = repaired.filter(pl.col("open").is_not_null())
    outside = (pl.min_horizontal("open", "close") < pl.col("low")) | (
        pl.max_horizontal("open", "close") > pl.col("high")
    )
    wrong = told.filter(outside | (pl.col("low") <= 0) | (pl.col("volume") < 0) | (pl.col("oi") < 0))
    return _none_of(wrong, "candles_possible", "candles with impossible prices or figures")


def schema_is_ours(found: pl.Schema, wanted: pl.Schema) -> Check:
    """Columns and types of a lake are those of this version, in their order."""
    differs = [name for name in dict.fromkeys((*wanted, *found)) if found.get(name) != wanted.get(name)]
    same = list(found.items()) == list(wanted.items())
    said = f"{len(wanted)} columns" if same else f"differs in {', '.join(differs) or 'the order of its columns'}"
    return Check("schema_is_ours", same, said, {"columns": len(found), "different": len(differs)})


def _none_of(wrong: pl.DataFrame, name: str, what: str) -> Check:
    return Check(name, wrong.is_empty(), f"{len(wrong):,} {what}{_first(wrong)}", {"wrong": len(wrong)})


def _share(wrong: pl.DataFrame, of: int, name: str, what: str, allowed_pct: float) -> Check:
    share = 100 * len(wrong) / of if of else 0.0
    said = f"{len(wrong):,} of {of:,} {what} ({share:.2f} %, {allowed_pct:g} % allowed){_first(wrong)}"
    return Check(name, share <= allowed_pct, said, {"wrong": len(wrong), "of": of, "share_pct": round(share, 4)})


def _first(wrong: pl.DataFrame) -> str:
    """Where the first one is; nothing where there is none."""
    if wrong.is_empty():
        return ""
    row = wrong.row(0, named=True)
    names: Sequence[str] = [str(row[name]) for name in ("symbol", "expiry_code", "expiry") if row.get(name)][:1]
    return f", first {' '.join([*names, ist_clock(round(row['timestamp'].timestamp() * 1000))])}"
