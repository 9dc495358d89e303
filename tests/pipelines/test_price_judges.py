"""Small defects near the money, planted into the recorded day, are found; recorded days pass as they are."""

from collections.abc import Callable
from datetime import date, time
from pathlib import Path

import polars as pl
import pytest

from g6_core.adapters.lake import read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.checks import Check, failed
from g6_core.domain.ist import at
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.recorded import RecordedSource
from g6_core.sim.source import MarketSource
from g6_pipelines.collection.judges import JUDGED_COLUMNS, judge_chain
from g6_pipelines.stages.sanity import COLUMNS, spot_of_cycles
from tests.pipelines.collecting import collecting, narrowed

DAY = date(2025, 8, 29)
EXPIRY_DAY = date(2026, 1, 13)
MINUTE = 60_000
CODES = ("this_week", "next_week", "this_month")
THIS_WEEK, AT_THE_MONEY = pl.col("expiry_code") == "this_week", pl.col("offset") == 0
CALL = THIS_WEEK & AT_THE_MONEY
PRICES = ("ltp", "bid", "ask")

pytestmark = pytest.mark.slow

Damage = Callable[[pl.DataFrame], pl.DataFrame]


def collected(
    root: Path, rules: MarketRules, settings: Settings, source: MarketSource, codes: tuple[str, ...] = CODES
) -> pl.DataFrame:
    """The rows of a day, five strikes on either side, as the judges get them."""
    (name,) = source.underlyings
    chain = narrowed(settings, codes=codes, offsets=(-5, 5), interval_s=60)
    kind = str(getattr(source, "spot_kind", "index"))
    opens = session_of(rules, source.trade_date).open_ms
    world = collecting(rules, chain, root, source, index_kind=kind, start_ms=opens - MINUTE)
    world.finish()
    return read_lake(world.paths.lake(source.trade_date, name), sorted({*JUDGED_COLUMNS, *COLUMNS}))


def session_of(rules: MarketRules, day: date) -> Session:
    return rules.session(day, rules.index("NIFTY").option_exchange)


@pytest.fixture(scope="module")
def recorded(
    shared_data: Path, rules: MarketRules, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> pl.DataFrame:
    source = RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules, DAY, "NIFTY", 7)
    return collected(tmp_path_factory.mktemp("nse"), rules, settings, source)


def found(rows: pl.DataFrame, rules: MarketRules, day: date = DAY) -> dict[str, Check]:
    return {one.name: one for one in judge_chain(rows, session_of(rules, day), day, MINUTE)}


def put_in(rows: pl.DataFrame, where: pl.Expr, **cells: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(pl.when(where).then(change).otherwise(name).alias(name) for name, change in cells.items())


def minutes(start: time, count: int) -> pl.Expr:
    """The cycles of so many minutes."""
    since = pl.col("timestamp").dt.timestamp("ms") - at(DAY, start)
    return (since >= 0) & (since < count * MINUTE)


def priced_like(rows: pl.DataFrame, steps: int, where: pl.Expr, cells: tuple[str, ...] = PRICES) -> pl.DataFrame:
    """The calls `where` show the prices of the call so many strikes above."""
    names = [f"call_{cell}" for cell in cells]
    others = rows.select(
        "timestamp", "expiry_code", pl.col("offset") - steps, *(pl.col(n).alias(f"o_{n}") for n in names)
    )
    joined = rows.join(others, on=["timestamp", "expiry_code", "offset"], how="left", maintain_order="left")
    return put_in(joined, where, **{name: pl.col(f"o_{name}") for name in names}).select(rows.columns)


def the_next_strike_all_day(rows: pl.DataFrame) -> pl.DataFrame:
    return priced_like(rows, 1, CALL)


def five_strikes_away_for_a_quarter_of_an_hour(rows: pl.DataFrame) -> pl.DataFrame:
    return priced_like(rows, 5, CALL & minutes(time(12, 0), 15))


def the_last_price_of_two_strikes_away(rows: pl.DataFrame) -> pl.DataFrame:
    return priced_like(rows, 2, CALL, ("ltp",))


def a_hundredfold_last_price(rows: pl.DataFrame) -> pl.DataFrame:
    return put_in(rows, CALL, call_ltp=pl.col("call_ltp") * 100)


def next_week_shown_as_this_week(rows: pl.DataFrame) -> pl.DataFrame:
    cells = [f"{side}_{cell}" for side in ("call", "put") for cell in (*PRICES, "volume", "oi")]
    names = (*cells, "forward")
    others = rows.filter(pl.col("expiry_code") == "next_week").select(
        "timestamp", "offset", *(pl.col(name).alias(f"o_{name}") for name in names)
    )
    joined = rows.join(others, on=["timestamp", "offset"], how="left", maintain_order="left")
    return put_in(joined, THIS_WEEK, **{name: pl.col(f"o_{name}") for name in names}).select(rows.columns)


def dear_puts_and_the_forward_with_them(rows: pl.DataFrame) -> pl.DataFrame:
    dearer = {f"put_{cell}": pl.col(f"put_{cell}") + 200 for cell in PRICES}
    return put_in(rows, pl.lit(value=True), **dearer, forward=pl.col("forward") - 200)


def one_call_without_a_touch(rows: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.lit(None, pl.Float64)
    return put_in(rows, CALL, call_bid=nothing, call_ask=nothing)


def a_bid_of_the_smallest_tick(rows: pl.DataFrame) -> pl.DataFrame:
    return put_in(rows, CALL, call_bid=pl.lit(0.05))


def one_call_crossed_for_some_minutes(rows: pl.DataFrame) -> pl.DataFrame:
    return put_in(rows, CALL & minutes(time(12, 0), 10), call_bid=pl.col("call_ask") + 20)


def again(rows: pl.DataFrame, cycles: int, *, stamped: bool) -> pl.DataFrame:
    """The cycle of noon once more in each of the cycles after it, with its stamps or with theirs."""
    noon = pl.col("timestamp").dt.timestamp("ms") == at(DAY, time(12, 0))
    key, own = ("expiry_code", "offset"), ("timestamp", "exchange_time")
    kept = own if stamped else own[:1]
    shown = rows.filter(noon).drop(kept)
    repeated = rows.filter(minutes(time(12, 1), cycles)).select(*key, *kept).join(shown, on=key)
    rest = rows.filter(~minutes(time(12, 1), cycles))
    return pl.concat([rest, repeated.select(rows.columns)]).sort("timestamp", maintain_order=True)


def seven_times_the_same_snapshot(rows: pl.DataFrame) -> pl.DataFrame:
    return again(rows, 7, stamped=True)


def the_same_snapshot_with_its_stamps(rows: pl.DataFrame) -> pl.DataFrame:
    return again(rows, 7, stamped=False)


def all_but_the_volume_of_one_stands_still(rows: pl.DataFrame) -> pl.DataFrame:
    lively = pl.col("call_volume") + pl.col("timestamp").rank("dense").cast(pl.Int64)
    return put_in(again(rows, 150, stamped=True), CALL, call_volume=lively)


def stamps_stand_still(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.col("exchange_time").clip(upper_bound=pl.lit(at(DAY, time(12, 0))).cast(pl.Datetime("ms", "UTC")))
    )


def stamps_of_the_afternoon(rows: pl.DataFrame) -> pl.DataFrame:
    early = minutes(time(9, 15), 60)
    return put_in(rows, early, exchange_time=pl.col("exchange_time") + pl.duration(minutes=5))


def hundredfold_interest(*at_times: time) -> Damage:
    def damage(rows: pl.DataFrame) -> pl.DataFrame:
        when = pl.any_horizontal(minutes(one, 1) for one in at_times)
        return put_in(rows, CALL & when, call_oi=pl.col("call_oi") * 100)

    return damage


def volume_starts_again(rows: pl.DataFrame) -> pl.DataFrame:
    return put_in(rows, CALL & minutes(time(12, 0), 300), call_volume=pl.lit(0))


PLANTED = [
    (the_next_strike_all_day, "parity_holds"),
    (five_strikes_away_for_a_quarter_of_an_hour, "parity_holds"),
    (five_strikes_away_for_a_quarter_of_an_hour, "prices_in_their_place"),
    (next_week_shown_as_this_week, "later_costs_more"),
    (dear_puts_and_the_forward_with_them, "forwards_agree"),
    (a_hundredfold_last_price, "last_price_in_touch"),
    (the_last_price_of_two_strikes_away, "last_price_in_touch"),
    (one_call_without_a_touch, "two_sided_near_the_money"),
    (a_bid_of_the_smallest_tick, "two_sided_near_the_money"),
    (one_call_crossed_for_some_minutes, "not_crossed"),
    (seven_times_the_same_snapshot, "content_moves"),
    (the_same_snapshot_with_its_stamps, "live_is_fresh"),
    (all_but_the_volume_of_one_stands_still, "content_moves"),
    (stamps_stand_still, "live_is_fresh"),
    (stamps_of_the_afternoon, "live_is_fresh"),
    (hundredfold_interest(time(12, 0)), "open_interest_steady"),
    (hundredfold_interest(time(11, 0), time(11, 40), time(13, 5), time(14, 20)), "open_interest_steady"),
    (volume_starts_again, "volume_grows"),
]


@pytest.mark.parametrize(
    ("damage", "judge"), PLANTED, ids=[f"{one.__name__}-{judge}-{at}" for at, (one, judge) in enumerate(PLANTED)]
)
def test_a_small_defect_near_the_money_is_found(
    recorded: pl.DataFrame, rules: MarketRules, damage: Damage, judge: str
) -> None:
    verdict = found(damage(recorded), rules)[judge]
    assert not verdict.passed, verdict


def test_a_lasting_move_of_open_interest_is_news(recorded: pl.DataFrame, rules: MarketRules) -> None:
    moved = put_in(recorded, CALL & minutes(time(12, 0), 300), call_oi=pl.col("call_oi") * 3)
    symbol = pl.col("call_symbol") == recorded.filter(CALL & minutes(time(12, 0), 1))["call_symbol"][0]
    lasting = put_in(recorded, symbol & minutes(time(12, 0), 300), call_oi=pl.col("call_oi") * 3)
    assert found(lasting, rules)["open_interest_steady"].passed
    assert not found(moved, rules)["open_interest_steady"].passed, "it follows the money, so contracts get it back"


def test_the_recorded_day_passes_with_room_to_spare(recorded: pl.DataFrame, rules: MarketRules) -> None:
    checks = found(recorded, rules)
    assert [one for one in checks.values() if not one.passed] == []
    shares = {name: float(one.figures["share_pct"]) for name, one in checks.items() if "share_pct" in one.figures}
    assert max(shares.values()) < 0.2, shares
    assert failed(spot_of_cycles(recorded)) == (), "without an index the forward stands for it"


# An expiry day, a thin chain, and the volatile Sunday of the budget; all with five minutes between.
@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("NIFTY", EXPIRY_DAY),
        ("FINNIFTY", date(2026, 1, 2)),
        ("NIFTY", date(2026, 2, 1)),
    ],
)
def test_snapshots_taken_from_kite_pass(
    shared_data: Path, rules: MarketRules, settings: Settings, tmp_path: Path, name: str, day: date
) -> None:
    source = RecordedSource(shared_data / "kite-chain-2026q1" / "snapshots.parquet", rules, day, name, 7)
    codes = ("this_week",) if name == "NIFTY" else ("this_month",)
    rows = collected(tmp_path, rules, settings, source, codes)
    assert [one for one in found(rows, rules, day).values() if not one.passed] == []
    assert failed(spot_of_cycles(rows)) == ()


def test_a_modelled_expiry_day_passes(rules: MarketRules, settings: Settings, tmp_path: Path) -> None:
    day = date(2026, 12, 1)
    source = ModelledSource(("NIFTY",), day, rules, 7)
    checks = found(collected(tmp_path, rules, settings, source, ("this_week", "this_month")), rules, day)
    assert [one for one in checks.values() if not one.passed] == []
