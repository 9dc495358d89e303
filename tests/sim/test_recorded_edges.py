"""The shortest recordings, recordings that no one could trade on, and the longest gap that is bridged."""

from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at
from g6_core.sim.recorded import RecordedSource

DAY = date(2025, 8, 29)
NEAREST = date(2025, 9, 2)
TEN = time(10, 0)


@pytest.fixture(scope="module")
def record(shared_data: Path) -> pl.DataFrame:
    """Three real snapshots, three expiries each."""
    rows = pl.scan_parquet(shared_data / "nse-chain-20250829" / "NIFTY.parquet").filter(pl.col("date") == DAY).collect()
    stamps = rows["collection_timestamp"].unique().sort()[100:103].to_list()
    expiries = rows["expiry"].unique().sort()[:3].to_list()
    return rows.filter(pl.col("collection_timestamp").is_in(stamps) & pl.col("expiry").is_in(expiries))


def cut(record: pl.DataFrame, *seconds: int, first: time = TEN) -> pl.DataFrame:
    """The first snapshots of the record, stamped `seconds` after `first`."""
    stamps = record["collection_timestamp"].unique().sort()[: len(seconds)].to_list()
    start = datetime.combine(DAY, first)
    new = [(start + timedelta(seconds=second)).strftime("%Y%m%d_%H%M%S") for second in seconds]
    kept = record.filter(pl.col("collection_timestamp").is_in(stamps))
    return kept.with_columns(pl.col("collection_timestamp").replace_strict(dict(zip(stamps, new, strict=True))))


def opened(folder: Path, frame: pl.DataFrame, rules: MarketRules) -> RecordedSource:
    path = folder / "chain.parquet"
    frame.write_parquet(path)
    return RecordedSource(path, rules)


def priced(frame: pl.DataFrame, bid: pl.Expr, ask: pl.Expr, where: pl.Expr) -> pl.DataFrame:
    """`frame` with the puts' touch replaced in some rows."""
    return frame.with_columns(
        pl.when(where).then(bid).otherwise("PUTS_Bid_Price").alias("PUTS_Bid_Price"),
        pl.when(where).then(ask).otherwise("PUTS_Ask_Price").alias("PUTS_Ask_Price"),
    )


@pytest.mark.parametrize("seconds", [(0,), (0, 65)])
def test_a_recording_of_one_or_two_snapshots_is_quoted_exactly(
    tmp_path: Path, rules: MarketRules, record: pl.DataFrame, seconds: tuple[int, ...]
) -> None:
    frame = cut(record, *seconds)
    source = opened(tmp_path, frame, rules)
    assert source.snapshots_ms.tolist() == [at(DAY, TEN) + second * 1000 for second in seconds]
    last = int(source.snapshots_ms[-1])
    stamp = frame["collection_timestamp"].max()
    shown = frame.filter(pl.col("collection_timestamp") == stamp, pl.col("expiry") == NEAREST)
    for row in shown.iter_rows(named=True):
        contract = source.instruments.option("NIFTY", NEAREST, row["Strike_Price"] * 100, "CE")
        assert contract is not None
        for moment in (last, last + 3_600_000):
            quote = source.quotes(np.array([contract.token]), moment)[0]
            assert quote["exchange_ms"] == last
            assert quote["bid_paise"][0] == round(row["CALLS_Bid_Price"] * 100)
            assert quote["ask_paise"][0] == round(row["CALLS_Ask_Price"] * 100)
    index = source.instruments.index("NIFTY")
    assert index is not None
    assert 2_440_000 < source.quotes(np.array([index.token]), last)["ltp_paise"][0] < 2_465_000


def test_a_recording_of_a_single_strike_is_read(tmp_path: Path, rules: MarketRules, record: pl.DataFrame) -> None:
    strike = (pl.col("Strike_Price") == 24_500) & (pl.col("expiry") == NEAREST)
    assert len(opened(tmp_path, cut(record, 0, 65).filter(strike), rules).instruments.rows) == 3


@pytest.mark.parametrize("first", [time(9, 10), time(15, 30), time(18, 0)])
def test_a_recording_without_a_snapshot_in_the_session_is_refused(
    tmp_path: Path, rules: MarketRules, record: pl.DataFrame, first: time
) -> None:
    with pytest.raises(DataError, match=r"NIFTY holds no snapshot within the session 09:15-15:30 of 2025-08-29") as no:
        opened(tmp_path, cut(record, 0, 65, first=first), rules)
    assert "\n" not in str(no.value)


def test_one_snapshot_in_the_session_is_enough(tmp_path: Path, rules: MarketRules, record: pl.DataFrame) -> None:
    for first, seconds in ((time(9, 14, 59), (0, 1)), (time(15, 29, 59), (0, 1))):
        assert len(opened(tmp_path, cut(record, *seconds, first=first), rules).snapshots_ms) == 2


BID, ASK = pl.col("PUTS_Bid_Price"), pl.col("PUTS_Ask_Price")


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(pl.lit(0.0), ASK), (BID, pl.lit(0.0)), (ASK + 1, BID), (ASK, ASK), (BID, BID + 1000)],
    ids=["no bid", "no ask", "crossed", "locked", "wide"],
)
def test_a_recording_without_a_forward_in_the_session_is_refused(
    tmp_path: Path, rules: MarketRules, record: pl.DataFrame, bid: pl.Expr, ask: pl.Expr
) -> None:
    frame = cut(record, 0, 65)
    line = r"no snapshot has a two-sided pair at the money \(expiry 2025-09-02: "
    with pytest.raises(DataError, match=line) as no:
        opened(tmp_path, priced(frame, bid, ask, pl.lit(value=True)), rules)
    assert "\n" not in str(no.value)
    before_open = cut(record, 0, 65, first=time(9, 14, 30))
    with pytest.raises(DataError, match=line):
        in_session = pl.col("collection_timestamp").str.ends_with("091535")
        opened(tmp_path, priced(before_open, bid, ask, in_session), rules)
    first_only = pl.col("collection_timestamp").str.ends_with("100000")
    assert len(opened(tmp_path, priced(frame, bid, ask, first_only), rules).snapshots_ms) == 2


@pytest.mark.parametrize(("gap_s", "bridged"), [(178, True), (179, True), (180, True), (181, False)])
def test_a_gap_is_bridged_up_to_three_minutes(
    tmp_path: Path, rules: MarketRules, record: pl.DataFrame, gap_s: int, bridged: bool
) -> None:
    source = opened(tmp_path, cut(record, 0, 60, 60 + gap_s), rules)
    strikes = (24_450, 24_500, 24_550)
    contracts = [source.instruments.option("NIFTY", NEAREST, strike * 100, "CE") for strike in strikes]
    tokens = np.array([contract.token for contract in contracts if contract], np.int64)
    start = at(DAY, TEN) + 60_000
    for second in (1, gap_s // 2, gap_s - 1):
        expected = start + second * 1000 if bridged else start
        assert set(source.quotes(tokens, start + second * 1000)["exchange_ms"]) == {expected}
