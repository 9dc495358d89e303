"""Are the prices of a chain possible together? Each judge compares quotes with what must hold between them.

Limits are the half spreads of what is compared and a part of the forward for what moves between two quotes; a defect
that stays for some cycles in a row fails, however small its share of the day is. Pure: live sides (`live_sides`) in,
checks out.
"""

import polars as pl

from g6_core.domain.checks import Check
from g6_pipelines.collection.verdicts import RUN_MAX, follows, runs_of, share_and_runs

NEAR_OFFSETS = 3
CROSSED_MAX_PCT = 0.5
ONE_SIDED_MAX_PCT = 5.0
# Far months are quoted from time to time; a quarter of an hour near the money is long for any of them.
ONE_SIDED_RUN_MAX = 15
# A bid of half the ask is nobody's price; what is allowed for spreads elsewhere must not grow without an end.
WIDE_PCT = 50.0
# What is worth less than this part of the forward (2.5 points of 25,000) finds no buyer before it expires.
WORTHLESS_PCT = 0.01
# Call and put are not quoted in the same second; an index moves by this part of itself in a busy one.
QUOTED_APART_PCT = 0.06
PARITY_MAX_PCT = 1.0
# A forward is its spot (or the forward of the expiry before) and the cost of carry between: Indian indices pay it at
# 5 to 8 % a year, less what dividends take in July and August. Prints of spot and options of different seconds, and
# the half hour average that is settled to on an expiry day, add a part that does not depend on time.
CARRY_APART_PCT = 0.4
CARRY_YEAR_PCT = (-5.0, 15.0)
CARRY_MAX_PCT = 1.0
LATER_MAX_PCT = 1.0
LAST_PRICE_MAX_PCT = 1.0
# A contract is misplaced in a cycle when its price lies beyond both neighbours by more than this part of the forward.
MISPLACED_PCT = 0.05
MISPLACED_MAX_PCT = 5.0


def not_crossed(live: pl.DataFrame) -> Check:
    """The bid stands below the ask."""
    quoted = live.filter(pl.col("bid").is_not_null() & pl.col("ask").is_not_null())
    judged = quoted.with_columns(wrong=pl.col("bid") >= pl.col("ask"))
    return share_and_runs(judged, ("symbol",), "not_crossed", "quotes have a bid at or above the ask", CROSSED_MAX_PCT)


def two_sided_near_the_money(live: pl.DataFrame) -> Check:
    """Near the money somebody buys and somebody sells what is worth anything."""
    near = live.filter(pl.col("offset").abs() <= NEAR_OFFSETS)
    apart = pl.col("ask") - pl.col("bid")
    wide = (apart > pl.col("ask") * WIDE_PCT / 100) & (apart * 100 > pl.col("forward") * QUOTED_APART_PCT)
    lacking = pl.col("bid").is_null() | pl.col("ask").is_null() | wide.fill_null(value=False)
    traded = pl.col("volume") > 0
    worth = pl.col("ltp") * 100 > pl.col("forward").fill_null(pl.col("strike")) * WORTHLESS_PCT
    return share_and_runs(
        near.filter(traded & worth.fill_null(value=True)).with_columns(wrong=lacking),
        ("symbol",),
        "two_sided_near_the_money",
        f"quotes near the money lack bid or ask, or have them {WIDE_PCT:g} % of the price apart",
        ONE_SIDED_MAX_PCT,
        run_max=ONE_SIDED_RUN_MAX,
    )


def parity_holds(live: pl.DataFrame) -> Check:
    """Call less put is forward less strike, within the half spreads of both; a price of another contract breaks it."""
    pairs = _pairs(live)
    distance = (pl.col("mid") - pl.col("put_mid") - pl.col("forward") + pl.col("strike")).abs()
    allowed = pl.col("half") + pl.col("put_half") + pl.col("aged") + pl.col("forward") * QUOTED_APART_PCT / 100
    what = f"pairs near the money are off parity by more than half spreads and {QUOTED_APART_PCT:g} % of the forward"
    return share_and_runs(
        pairs.with_columns(wrong=distance > allowed),
        ("symbol",),
        "parity_holds",
        what,
        PARITY_MAX_PCT,
        # Far from the money a quote is older; only what stays wrong is wrong there.
        counted=pl.col("offset").abs() <= NEAR_OFFSETS,
    )


def forwards_agree(rows: pl.DataFrame) -> Check:
    """Each expiry's forward is the spot, or the forward before it, and a possible cost of carry.

    A forward is made from the quotes that parity is judged by: prices that are all wrong alike show here only.
    """
    known = rows.filter(pl.col("forward").is_not_null()).unique(("timestamp", "expiry"), keep="first")
    ordered = known.sort("timestamp", "expiry")
    today = pl.col("timestamp").dt.convert_time_zone("Asia/Kolkata").dt.date()
    since = pl.col("expiry").shift().over("timestamp").fill_null(today)
    days = (pl.col("expiry") - since).dt.total_days()
    before = pl.col("forward").shift().over("timestamp").fill_null(pl.col("spot"))
    carry = (pl.col("forward") / before - 1) * 100
    low, high = (days * part / 365 for part in CARRY_YEAR_PCT)
    judged = ordered.with_columns(wrong=(carry < low - CARRY_APART_PCT) | (carry > high + CARRY_APART_PCT))
    return share_and_runs(
        judged.filter(pl.col("wrong").is_not_null()),
        ("expiry",),
        "forwards_agree",
        f"forwards are more than {CARRY_APART_PCT:g} % and a cost of carry from spot or the forward before",
        CARRY_MAX_PCT,
    )


def later_costs_more(live: pl.DataFrame) -> Check:
    """At the money call and put together cost more the later they expire; where not, an expiry has another's prices."""
    pairs = _pairs(live).with_columns(straddle=pl.col("mid") + pl.col("put_mid"))
    expiries = sorted(pairs["expiry"].unique())
    following = pl.DataFrame(
        {"expiry": expiries[:-1], "later": expiries[1:]}, schema={"expiry": pl.Date, "later": pl.Date}
    )
    later = pairs.select("timestamp", "strike", pl.col("expiry").alias("later"), pl.col("straddle").alias("dearer"))
    both = pairs.join(following, on="expiry").join(later, on=("timestamp", "strike", "later"))
    # Of the strikes that both expiries quote, the one at the money tells time from intrinsic value best.
    nearest = both.sort((pl.col("strike") - pl.col("forward")).abs()).unique(
        ("timestamp", "expiry"), keep="first", maintain_order=True
    )
    judged = nearest.sort("timestamp", "expiry").with_columns(wrong=pl.col("straddle") >= pl.col("dearer"))
    what = "straddles at the money cost no less than those of the next expiry"
    return share_and_runs(judged, ("expiry",), "later_costs_more", what, LATER_MAX_PCT)


def last_price_in_touch(live: pl.DataFrame, interval_ms: int) -> Check:
    """What has traded since the cycle before has traded near the bids and asks of the two."""
    bid, ask, volume = (pl.col(name).shift().over("symbol") for name in ("bid", "ask", "volume"))
    # Anything between is no evidence: without a trade the last price may be hours old, after a gap the market is
    # another one.
    traded = (
        live.sort("symbol", "timestamp")
        .with_columns(
            low=pl.min_horizontal("bid", bid),
            high=pl.max_horizontal("ask", ask),
            traded=(pl.col("volume") > volume) & follows(interval_ms),
        )
        .filter(pl.col("traded") & pl.all_horizontal(pl.col("ltp", "bid", "ask", "forward").is_not_null()))
    )
    slack = pl.col("forward") * QUOTED_APART_PCT / 100
    beyond = pl.max_horizontal(pl.col("low") - pl.col("ltp"), pl.col("ltp") - pl.col("high"))
    return share_and_runs(
        traded.with_columns(wrong=beyond > slack),
        ("symbol",),
        "last_price_in_touch",
        f"last prices are more than {QUOTED_APART_PCT:g} % of the forward outside of bid and ask",
        LAST_PRICE_MAX_PCT,
    )


def prices_in_their_place(live: pl.DataFrame) -> Check:
    """Calls get cheaper and puts dearer with the strike: a price far beyond a neighbour is another instrument's."""
    placed = traded_sides(live).with_columns(
        mid=pl.col("mid").fill_null(pl.col("ltp")), half=pl.col("half").fill_null(0.0)
    )
    placed = placed.filter(pl.col("mid").is_not_null()).sort("timestamp", "expiry", "strike")
    chain = ("timestamp", "expiry", "side")
    sign = pl.when(pl.col("side") == "CE").then(1.0).otherwise(-1.0)
    slack = pl.col("forward") * MISPLACED_PCT / 100 + pl.col("half") + pl.col("aged")
    (below, below_half), (above, above_half) = (
        tuple(pl.col(name).shift(step).over(chain) for name in ("mid", "half")) for step in (1, -1)
    )
    beyond = ((pl.col("mid") - below) * sign > slack + below_half) | (
        (above - pl.col("mid")) * sign > slack + above_half
    )
    judged = placed.with_columns(wrong=beyond.fill_null(value=False))
    # Of two prices out of order either may be the wrong one, so neighbours of a misplaced contract are named with it.
    by_contract = judged.group_by("symbol").agg(pl.col("wrong").mean() * 100)
    in_runs = runs_of(judged, ("symbol",), RUN_MAX)["symbol"].unique()
    wrong = by_contract.filter((pl.col("wrong") > MISPLACED_MAX_PCT) | pl.col("symbol").is_in(in_runs.to_list())).sort(
        "wrong", "symbol", descending=[True, False]
    )
    said = f"{len(by_contract)} contracts are priced between their neighbours"
    if len(wrong):
        named = [f"{symbol} in {share:.0f} %" for symbol, share in wrong.select("symbol", "wrong").head(3).iter_rows()]
        said = f"{len(wrong)} contracts are priced like another instrument or beside one: {', '.join(named)} of cycles"
    return Check("prices_in_their_place", wrong.is_empty(), said, {"contracts": len(by_contract), "wrong": len(wrong)})


def traded_sides(live: pl.DataFrame) -> pl.DataFrame:
    """Live sides that have traded since their contract was seen before, with mid, half spread and age.

    A price without a trade may be hours old, where a touch is missing or was made from it. A last trade can be as old
    as the observation before: `aged` is how far the forward has moved since.
    """
    moved = (pl.col("volume").diff().over("symbol") > 0).fill_null(value=True)
    forward = pl.col("forward")
    half = ((pl.col("ask") - pl.col("bid")) / 2).clip(lower_bound=0)
    seen = live.sort("symbol", "timestamp").with_columns(
        mid=(pl.col("bid") + pl.col("ask")) / 2,
        half=half,
        aged=(forward - forward.shift().over("symbol")).abs(),
        moved=moved,
    )
    return seen.filter(pl.col("moved") & pl.col("aged").is_not_null())


def _pairs(live: pl.DataFrame) -> pl.DataFrame:
    """One row per strike whose call and put have a touch: the call's cells, mids and half spreads of both."""
    quoted = traded_sides(live).filter(pl.col("mid").is_not_null())
    key = ("timestamp", "expiry", "strike")
    puts = quoted.filter(pl.col("side") == "PE")
    both = quoted.filter(pl.col("side") == "CE").join(
        puts.select(*key, *(pl.col(name).alias(f"put_{name}") for name in ("mid", "half", "aged"))), on=key
    )
    return both.with_columns(aged=pl.max_horizontal("aged", "put_aged"))
