"""The recorded source: the record to the paisa at every snapshot, a seeded bridge between, old stamps in silences."""

from datetime import date, time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.domain.market import QUOTE
from g6_core.sim.recorded import GAP_MAX_S, RecordedSource

DAY = date(2025, 8, 29)
LOT = 75
TICK = 5
# What the record shows; depth beyond the touch, averages and running extremes are ours.
RECORDED = ("exchange_ms", "ltp_paise", "oi", "volume")
TOUCH = ("bid_paise", "bid_qty", "ask_paise", "ask_qty")


@pytest.fixture(scope="module")
def nifty(shared_data: Path) -> Path:
    return shared_data / "nse-chain-20250829" / "NIFTY.parquet"


@pytest.fixture(scope="module")
def source(nifty: Path, rules: MarketRules) -> RecordedSource:
    return RecordedSource(nifty, rules)


@pytest.fixture(scope="module")
def other_seed(nifty: Path, rules: MarketRules) -> RecordedSource:
    return RecordedSource(nifty, rules, seed=7)


@pytest.fixture(scope="module")
def record(nifty: Path) -> pl.DataFrame:
    """The raw day with the time of each row in milliseconds, read without any code of ours."""
    utc = pl.col("coll_ts").dt.replace_time_zone("Asia/Kolkata").dt.epoch("ms")
    return pl.read_parquet(nifty).filter(pl.col("date") == DAY).with_columns(utc.alias("time_ms"))


def all_tokens(source: RecordedSource) -> NDArray[np.int64]:
    return np.array([row.token for row in source.instruments], np.int64)


def index_token(source: RecordedSource) -> int:
    index = source.instruments.index("NIFTY")
    assert index is not None
    return index.token


def liquid(source: RecordedSource, strikes: int = 15) -> tuple[list[int], NDArray[np.int64]]:
    """Strikes of the nearest expiry around the middle of the day, and tokens as pairs of call and put."""
    expiry = source.instruments.expiries("NIFTY")[0]
    spot = source.quotes(np.array([index_token(source)]), int(source.snapshots_ms[150]))["ltp_paise"][0]
    listed = source.instruments.strikes("NIFTY", expiry)
    near = sorted(sorted(listed, key=lambda strike: abs(strike - spot))[:strikes])
    contracts = [source.instruments.option("NIFTY", expiry, strike, side) for strike in near for side in ("CE", "PE")]
    return near, np.array([contract.token for contract in contracts if contract], np.int64)


def moments(source: RecordedSource, count: int = 30) -> list[int]:
    """Seeded times of the session, odd milliseconds included."""
    chosen = np.random.default_rng(11).integers(source.session.open_ms, source.session.close_ms, count)
    return [int(moment) for moment in chosen]


def test_the_day_is_the_only_trading_day_of_the_file(source: RecordedSource) -> None:
    assert (source.trade_date, source.underlyings, source.label) == (DAY, ("NIFTY",), "recorded")
    assert (source.session.open_ms, source.session.close_ms) == (at(DAY, time(9, 15)), at(DAY, time(15, 30)))
    assert (source.spot_kind, source.dump_label) == ("forward", "synthetic")
    assert len(source.snapshots_ms) == 306
    assert source.snapshots_ms[0] == at(DAY, time(9, 24, 16))


def test_every_recorded_snapshot_is_quoted_exactly(source: RecordedSource, record: pl.DataFrame) -> None:
    options = [row for row in source.instruments if row.is_option]
    tokens = pl.DataFrame(
        {
            "token": [row.token for row in options],
            "expiry": [row.expiry for row in options],
            "Strike_Price": [row.strike_paise // 100 for row in options],
            "side": [row.instrument_type for row in options],
        }
    )
    compared = 0
    for side, prefix in (("CE", "CALLS"), ("PE", "PUTS")):
        listed = tokens.filter(pl.col("side") == side)
        known = record.join(listed, on=["expiry", "Strike_Price"], how="inner").sort("time_ms", "token")
        quotes = np.concatenate(
            [
                source.quotes(rows["token"].to_numpy(), time)
                for (time,), rows in known.group_by("time_ms", maintain_order=True)
            ]
        )
        for field, values in (
            ("token", known["token"]),
            ("exchange_ms", known["time_ms"]),
            ("bid_paise", known[f"{prefix}_Bid_Price"] * 100),
            ("ask_paise", known[f"{prefix}_Ask_Price"] * 100),
            ("bid_qty", known[f"{prefix}_Bid_Qty"]),
            ("ask_qty", known[f"{prefix}_Ask_Qty"]),
            ("ltp_paise", known[f"{prefix}_LTP"] * 100),
            ("volume", known[f"{prefix}_Volume"] * LOT),
            ("oi", known[f"{prefix}_OI"] * LOT),
        ):
            ours = quotes[field][:, 0] if quotes[field].ndim == 2 else quotes[field]
            np.testing.assert_array_equal(ours, values.cast(pl.Float64).round().to_numpy(), f"{prefix} {field}")
        compared += len(quotes)
    assert compared == 2 * record.height


def test_between_snapshots_the_stamp_is_the_current_second(source: RecordedSource) -> None:
    _, tokens = liquid(source)
    moment = int(source.snapshots_ms[100]) + 20_750
    assert set(source.quotes(tokens, moment)["exchange_ms"]) == {moment // 1000 * 1000}


def test_silences_keep_the_last_values_and_their_stamp(source: RecordedSource) -> None:
    tokens = all_tokens(source)
    gaps = np.diff(source.snapshots_ms)
    silences = np.flatnonzero(gaps > GAP_MAX_S * 1000)
    assert gaps[silences].max() == 1_132_000
    for place in silences:
        start, end = int(source.snapshots_ms[place]), int(source.snapshots_ms[place + 1])
        before = source.quotes(tokens, start)
        for moment in (start + 500, (start + end) // 2, end - 1):
            assert source.quotes(tokens, moment).tobytes() == before.tobytes()
    last = int(source.snapshots_ms[-1])
    assert source.quotes(tokens, last + 3_600_000).tobytes() == source.quotes(tokens, last).tobytes()


@pytest.mark.parametrize("seconds", [181, 185])
def test_a_gap_of_just_over_three_minutes_in_the_real_record_is_a_silence(source: RecordedSource, seconds: int) -> None:
    tokens = all_tokens(source)
    places = np.flatnonzero(np.diff(source.snapshots_ms) == seconds * 1000)
    assert places.size
    for start in source.snapshots_ms[places].tolist():
        before = source.quotes(tokens, start)
        for moment in (start + 1000, start + seconds * 500, start + seconds * 1000 - 1):
            assert source.quotes(tokens, moment).tobytes() == before.tobytes()


def test_nothing_is_known_before_the_first_snapshot_or_of_a_foreign_token(source: RecordedSource) -> None:
    tokens = all_tokens(source)
    nothing = np.zeros(len(tokens), QUOTE)
    nothing["token"] = tokens
    assert source.quotes(tokens, int(source.snapshots_ms[0]) - 1).tobytes() == nothing.tobytes()
    foreign = source.quotes(np.array([1, 2**40]), int(source.snapshots_ms[5]))
    assert foreign["token"].tolist() == [1, 2**40]
    assert not foreign["exchange_ms"].any()
    assert len(source.quotes(np.array([], np.int64), int(source.snapshots_ms[5]))) == 0


def test_a_blank_row_of_the_record_is_shown_and_joined_to_nothing(source: RecordedSource) -> None:
    contract = source.instruments.option("NIFTY", date(2025, 9, 2), 2_465_000, "CE")
    assert contract is not None
    token = np.array([contract.token])
    blank = at(DAY, time(9, 35, 13))
    place = source.snapshots_ms.tolist().index(blank)
    left, right = int(source.snapshots_ms[place - 1]), int(source.snapshots_ms[place + 1])
    assert source.quotes(token, blank)["volume"][0] == source.quotes(token, blank)["ltp_paise"][0] == 0
    assert source.quotes(token, blank - 1).tobytes() == source.quotes(token, left).tobytes()
    assert source.quotes(token, right - 1).tobytes() == source.quotes(token, blank).tobytes()
    before, after = source.quotes(token, left)[0], source.quotes(token, right)[0]
    for figure in ("high_paise", "low_paise", "oi_day_low"):
        assert source.quotes(token, blank)[figure][0] == before[figure]
    assert after["oi_day_low"] > 0


def test_books_are_never_crossed_and_stand_on_ticks(source: RecordedSource) -> None:
    tokens = all_tokens(source)[1:]
    for moment in moments(source):
        quotes = source.quotes(tokens, moment)
        bids, asks = quotes["bid_paise"], quotes["ask_paise"]
        both = (bids[:, 0] > 0) & (asks[:, 0] > 0)
        assert (asks[both, 0] > bids[both, 0]).all()
        for prices, sizes, orders, worse in (
            (bids, quotes["bid_qty"], quotes["bid_orders"], -1),
            (asks, quotes["ask_qty"], quotes["ask_orders"], 1),
        ):
            assert not (prices % TICK).any()
            assert not (sizes % LOT).any()
            shown = prices > 0
            assert ((sizes > 0) == shown).all()
            assert (orders[shown] * LOT <= sizes[shown]).all()
            assert (orders[shown] > 0).all()
            deeper = shown[:, 1:]
            steps = (prices[:, 1:] - prices[:, :-1])[deeper] * worse
            assert ((steps >= TICK) & (steps <= 3 * TICK)).all()
        assert (quotes["buy_qty"] == quotes["bid_qty"].sum(axis=1)).all()
        assert (quotes["sell_qty"] == quotes["ask_qty"].sum(axis=1)).all()


def test_parity_survives_the_bridge(source: RecordedSource) -> None:
    strikes, tokens = liquid(source)

    def forwards(moment: int) -> NDArray[np.float64]:
        quotes = source.quotes(tokens, moment)
        mids = (quotes["bid_paise"][:, 0] + quotes["ask_paise"][:, 0]) / 2
        return np.asarray(np.array(strikes) + mids[::2] - mids[1::2], np.float64)

    stamps = source.snapshots_ms.tolist()
    for left, right in pairwise(stamps):
        scatter = max(np.ptp(forwards(left)), np.ptp(forwards(right)))
        middle = (left + right) // 2
        assert np.ptp(forwards(middle)) <= scatter + 4 * TICK
        index = source.quotes(np.array([index_token(source)]), middle)["ltp_paise"][0]
        assert abs(np.median(forwards(middle)) - index) <= scatter + 4 * TICK


def test_the_index_row_is_the_parity_forward_without_a_book(source: RecordedSource, record: pl.DataFrame) -> None:
    index = np.array([index_token(source)])
    middle = record.filter(pl.col("expiry") == pl.col("expiry").min())
    for place in (0, 57, 200, 305):
        rows = middle.filter(pl.col("time_ms") == source.snapshots_ms[place])
        gap = (pl.col("CALLS_Bid_Price") + pl.col("CALLS_Ask_Price")) / 2 - (
            pl.col("PUTS_Bid_Price") + pl.col("PUTS_Ask_Price")
        ) / 2
        quoted = rows.filter(pl.min_horizontal("^(CALLS|PUTS)_(Bid|Ask)_Price$") > 0).with_columns(gap.alias("gap"))
        near = quoted.sort(pl.col("gap").abs()).head(7)
        expected = (near["Strike_Price"] + near["gap"]).median()
        quote = source.quotes(index, int(source.snapshots_ms[place]))[0]
        assert isinstance(expected, float)
        assert abs(quote["ltp_paise"] - expected * 100) <= TICK / 2
        assert not any(quote[field].any() for field in TOUCH)
        assert quote["volume"] == quote["oi"] == 0
    low, high = (source.quotes(index, int(source.snapshots_ms[-1]))[0][name] for name in ("low_paise", "high_paise"))
    assert 2_440_000 < low < high < 2_465_000


def test_day_figures_only_ever_grow(source: RecordedSource, record: pl.DataFrame) -> None:
    tokens = all_tokens(source)
    before = np.zeros(len(tokens), QUOTE)
    for moment in sorted([*moments(source, 80), *source.snapshots_ms.tolist()[1::9]]):
        quotes = source.quotes(tokens, moment)
        known = quotes["exchange_ms"] > 0
        traded = known & (quotes["volume"] > 0)
        assert ((quotes["ltp_paise"] <= quotes["high_paise"]) | ~traded).all()
        assert ((quotes["ltp_paise"] >= quotes["low_paise"]) | ~traded).all()
        assert ((quotes["oi"] <= quotes["oi_day_high"]) & (quotes["oi"] >= quotes["oi_day_low"]))[traded].all()
        if before["exchange_ms"].any():
            assert (quotes["high_paise"] >= before["high_paise"]).all()
            assert (quotes["oi_day_high"] >= before["oi_day_high"]).all()
            assert (quotes["last_trade_ms"] >= before["last_trade_ms"]).all()
            assert (quotes["last_trade_ms"] <= quotes["exchange_ms"]).all()
        before = quotes
    first = record.filter(pl.col("time_ms") == source.snapshots_ms[0], pl.col("CALLS_Volume") > 0).row(0, named=True)
    contract = source.instruments.option("NIFTY", first["expiry"], first["Strike_Price"] * 100, "CE")
    assert contract is not None
    final = source.quotes(np.array([contract.token]), source.session.close_ms)[0]
    assert final["open_paise"] == round(first["CALLS_LTP"] * 100)
    assert final["close_paise"] == round((first["CALLS_LTP"] - first["CALLS_Net_Chng"]) * 100)


def test_inside_an_interval_volume_and_oi_move_in_whole_lots_and_volume_never_falls(source: RecordedSource) -> None:
    _, tokens = liquid(source)
    start, end = int(source.snapshots_ms[120]), int(source.snapshots_ms[121])
    volumes = [source.quotes(tokens, moment) for moment in range(start, end, 1000)]
    for earlier, later in pairwise(volumes):
        assert (later["volume"] >= earlier["volume"]).all()
        assert not ((later["volume"] - earlier["volume"]) % LOT).any()
        assert not ((later["oi"] - earlier["oi"]) % LOT).any()
        still = later["volume"] == earlier["volume"]
        assert (later["ltp_paise"][still] == earlier["ltp_paise"][still]).all()
        bids, asks = later["bid_paise"][:, 0], later["ask_paise"][:, 0]
        fresh = later["last_trade_ms"] == later["exchange_ms"]
        assert ((later["ltp_paise"] >= bids) & (later["ltp_paise"] <= asks))[fresh].all()


def test_answers_do_not_depend_on_what_was_asked_before(
    source: RecordedSource, nifty: Path, rules: MarketRules
) -> None:
    twin = RecordedSource(nifty, rules)
    tokens = all_tokens(source)
    times = moments(source, 10)
    forward = {moment: source.quotes(tokens, moment).tobytes() for moment in times}
    for moment in reversed(times):
        assert twin.quotes(tokens, moment).tobytes() == forward[moment]
        backwards = twin.quotes(tokens[::-1].copy(), moment)
        assert backwards[::-1].tobytes() == forward[moment]


def test_seeds_agree_at_snapshots_and_differ_between_them(source: RecordedSource, other_seed: RecordedSource) -> None:
    tokens = all_tokens(source)

    def shown(quotes: NDArray[Any]) -> list[bytes]:
        return [quotes[name].tobytes() for name in RECORDED] + [quotes[name][:, 0].tobytes() for name in TOUCH]

    for place in (0, 41, 305):
        moment = int(source.snapshots_ms[place])
        assert shown(source.quotes(tokens, moment)) == shown(other_seed.quotes(tokens, moment))
    between = int(source.snapshots_ms[41]) + 30_000
    ours, theirs = source.quotes(tokens, between), other_seed.quotes(tokens, between)
    assert (ours["bid_paise"] != theirs["bid_paise"]).any()
    assert ours["volume"].tobytes() == theirs["volume"].tobytes()
