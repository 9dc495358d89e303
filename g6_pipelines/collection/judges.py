"""Is the collected chain believable? Each judge looks for one defect in the rows of a day and can name where it is.

Rows come in the lake's order with `JUDGED_COLUMNS`. Markets quote oddly now and then, so most judges allow a small
share; on the recorded day of August 2025 and on modelled days they find a tenth of it or nothing. Pure: frames in,
checks out.
"""

from datetime import date

import polars as pl

from g6_core.domain.calendar import Session
from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_clock
from g6_core.schema.options import RowStatus
from g6_pipelines.collection.price_judges import (
    NEAR_OFFSETS,
    forwards_agree,
    last_price_in_touch,
    later_costs_more,
    not_crossed,
    parity_holds,
    prices_in_their_place,
    two_sided_near_the_money,
)
from g6_pipelines.collection.rows import STAMP_AHEAD_MAX_MS
from g6_pipelines.collection.verdicts import follows, none_of, share_and_runs, share_of

_SIDES = {"call": "CE", "put": "PE"}
_CELLS = ("status", "symbol", "ltp", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi")
JUDGED_COLUMNS = (
    *("timestamp", "exchange_time", "expiry_code", "expiry", "offset", "strike", "spot", "forward"),
    *(f"{side}_{cell}" for side in _SIDES for cell in _CELLS),
)
OI_JUMP_PCT = 50.0
OI_JUMP_FLOOR = 25_000
OI_JUMPS_MAX_PCT = 0.1
REPEATED_CONTRACTS_PCT = 80.0
REPEATED_MAX_PCT = 2.0
STAMPED_OUTSIDE_MAX_PCT = 0.5


def judge_chain(rows: pl.DataFrame, session: Session, day: date, interval_ms: int) -> tuple[Check, ...]:
    """Every judge on the rows of one index and day."""
    live = live_sides(rows)
    return (
        time_goes_on(rows),
        no_cycle_twice(rows),
        cycles_in_session(rows, session, interval_ms),
        stamps_of_the_day(rows, day),
        live_is_fresh(rows, interval_ms),
        content_moves(live),
        figures_possible(live),
        not_crossed(live),
        two_sided_near_the_money(live),
        parity_holds(live),
        forwards_agree(rows),
        later_costs_more(live),
        last_price_in_touch(live, interval_ms),
        prices_in_their_place(live),
        volume_grows(live),
        open_interest_steady(live, interval_ms),
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
    return none_of(back, "time_goes_on", "rows older than the one before")


def no_cycle_twice(rows: pl.DataFrame) -> Check:
    """A pair comes once a cycle."""
    twice = rows.filter(pl.struct("timestamp", "expiry_code", "offset").is_duplicated())
    return none_of(twice, "no_cycle_twice", "rows of a cycle, code and offset that come more than once")


def cycles_in_session(rows: pl.DataFrame, session: Session, interval_ms: int) -> Check:
    """Fresh to the end: nothing outside of the session, and the last cycle is the session's last."""
    ms = pl.col("timestamp").dt.timestamp("ms")
    outside = rows.filter((ms < session.open_ms) | (ms >= session.close_ms))
    if len(outside):
        return none_of(outside, "cycles_in_session", "rows outside of the session")
    last = rows.select(ms.max()).item()
    until = "nothing was collected" if last is None else f"the last cycle is of {ist_clock(last)}"
    fresh = last is not None and last + interval_ms >= session.close_ms
    said = f"{until}, the session ends at {ist_clock(session.close_ms)}"
    return Check("cycles_in_session", fresh, said, {"outside": 0})


def stamps_of_the_day(rows: pl.DataFrame, day: date) -> Check:
    """No quote is stamped with another day: a holiday's data is the day before's."""
    stamped = rows.filter(pl.col("exchange_time").is_not_null())
    foreign = stamped.filter(pl.col("exchange_time").dt.convert_time_zone("Asia/Kolkata").dt.date() != day)
    return none_of(foreign, "stamps_of_the_day", f"rows stamped with another day than {day}")


def live_is_fresh(rows: pl.DataFrame, interval_ms: int) -> Check:
    """What is called live was stamped within its cycle: a stamp that stands still, or one ahead of time, is not."""
    called = rows.filter(pl.any_horizontal(pl.col(f"{side}_status") == RowStatus.LIVE for side in _SIDES))
    age_ms = (pl.col("timestamp") - pl.col("exchange_time")).dt.total_milliseconds()
    fresh = (age_ms < interval_ms) & (age_ms > -interval_ms - STAMP_AHEAD_MAX_MS)
    wrong = called.filter(~fresh.fill_null(value=False))
    return share_of(
        wrong, len(called), "live_is_fresh", "live rows are stamped outside of their cycle", STAMPED_OUTSIDE_MAX_PCT
    )


def content_moves(live: pl.DataFrame) -> Check:
    """Near the money of the nearest expiry something changes in every contract: the same figures are a stale snapshot.

    Judged is the share of contracts that repeat their cycle before: one that moves proves nothing of the rest.
    """
    near = live.filter((pl.col("expiry") == pl.col("expiry").min()) & (pl.col("offset").abs() <= NEAR_OFFSETS))
    cycle = near.with_columns(cycle=pl.col("timestamp").rank("dense").cast(pl.Int64)).sort("symbol", "timestamp")
    prints = pl.struct(one for one in _CELLS if one not in ("status", "symbol")).hash()
    seen = cycle.with_columns(print=prints).with_columns(
        same=pl.col("print") == pl.col("print").shift().over("symbol"),
        follows=pl.col("cycle").diff().over("symbol") == 1,
    )
    cycles = seen.filter("follows").group_by("timestamp").agg(repeated_pct=pl.col("same").mean() * 100)
    judged = cycles.sort("timestamp").with_columns(wrong=pl.col("repeated_pct") >= REPEATED_CONTRACTS_PCT)
    what = f"cycles repeat {REPEATED_CONTRACTS_PCT:g} % of the contracts near the money to the last figure"
    return share_and_runs(judged, (), "content_moves", what, REPEATED_MAX_PCT)


def figures_possible(live: pl.DataFrame) -> Check:
    """Prices stand above nothing, quantities not below it."""
    prices = pl.any_horizontal(pl.col("ltp", "bid", "ask") <= 0)
    counts = pl.any_horizontal(pl.col("bid_qty", "ask_qty", "volume", "oi") < 0)
    wrong = live.filter(prices.fill_null(value=False) | counts.fill_null(value=False))
    return none_of(wrong, "figures_possible", "quotes with a price of nothing or a negative figure")


def volume_grows(live: pl.DataFrame) -> Check:
    """The volume of a day only grows. One that falls and comes back was late; one that stays below was not its own."""
    known = live.filter(pl.col("volume").is_not_null()).sort("symbol", "timestamp")
    ends = known.group_by("symbol", maintain_order=True).agg(
        pl.col("timestamp").get(pl.col("volume").arg_max()),
        highest=pl.col("volume").max(),
        last=pl.col("volume").last(),
    )
    return none_of(ends.filter(pl.col("last") < pl.col("highest")), "volume_grows", "contracts end below their volume")


def open_interest_steady(live: pl.DataFrame, interval_ms: int) -> Check:
    """Open interest moves by positions that are opened and closed: most of it never comes and goes in some cycles.

    Compared are consecutive cycles: within minutes more is possible on an expiry day. A jump that stays is news. One
    that is taken back was never there, except a nothing, which is how exchanges say that they do not know just now.
    """
    known = live.filter(pl.col("oi").is_not_null()).sort("symbol", "timestamp")
    known = known.with_columns(before=pl.col("oi").shift().over("symbol"), follows=follows(interval_ms))
    change = (pl.col("oi") - pl.col("before")).abs()
    jumped = (change > OI_JUMP_FLOOR) & (change * 100 > pl.max_horizontal("oi", "before") * OI_JUMP_PCT)
    compared = known.filter("follows")
    jumps = compared.filter(jumped)
    told = jumps.filter((pl.col("oi") > 0) & (pl.col("before") > 0))
    afterwards = pl.col("oi").shift(-1).over("symbol")
    taken_back = told.filter((afterwards - pl.col("before")).abs() * 2 < change)
    what = f"changes of open interest are above {OI_JUMP_PCT:g} % and {OI_JUMP_FLOOR:,} units"
    found = share_of(jumps, len(compared), "open_interest_steady", what, OI_JUMPS_MAX_PCT)
    if taken_back.is_empty():
        return found
    named = none_of(taken_back, found.name, "jumps of open interest are taken back")
    return Check(found.name, False, f"{named.detail}; {found.detail}", {**found.figures, "taken_back": len(taken_back)})


def candles_possible(repaired: pl.DataFrame) -> Check:
    """Of the broker's candles: low and high enclose open and close, and no figure is negative."""
    told = repaired.filter(pl.col("open").is_not_null())
    outside = (pl.min_horizontal("open", "close") < pl.col("low")) | (
        pl.max_horizontal("open", "close") > pl.col("high")
    )
    wrong = told.filter(outside | (pl.col("low") <= 0) | (pl.col("volume") < 0) | (pl.col("oi") < 0))
    return none_of(wrong, "candles_possible", "candles with impossible prices or figures")


def schema_is_ours(found: pl.Schema, wanted: pl.Schema) -> Check:
    """Columns and types of a lake are those of this version, in their order."""
    differs = [name for name in dict.fromkeys((*wanted, *found)) if found.get(name) != wanted.get(name)]
    same = list(found.items()) == list(wanted.items())
    said = f"{len(wanted)} columns" if same else f"differs in {', '.join(differs) or 'the order of its columns'}"
    return Check("schema_is_ours", same, said, {"columns": len(found), "different": len(differs)})
