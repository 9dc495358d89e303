"""Chain figures on small chains worked out by hand, and the forward of a real chain."""

import numpy as np
import polars as pl
import pytest

from g6_core.domain.chain import (
    Levels,
    atm_on_step,
    atm_strike,
    max_pain,
    parity_forward,
    put_call_ratio,
    support_resistance,
)

STRIKES = np.array([24_400_00, 24_450_00, 24_500_00, 24_550_00, 24_600_00], np.int64)
NONE = np.zeros(5, np.int64)


def test_the_parity_forward_is_exact_where_parity_holds() -> None:
    forward = 24_512_35.0
    put = np.array([20_00.0, 32_00, 50_00, 80_00, 115_00])
    assert parity_forward(STRIKES, put + forward - STRIKES, put) == forward


def test_one_wrong_quote_does_not_move_the_parity_forward() -> None:
    forward = 24_512_35.0
    put = np.array([20_00.0, 32_00, 50_00, 80_00, 115_00])
    call = put + forward - STRIKES
    call[2] += 40_00
    assert parity_forward(STRIKES, call, put) == forward


def test_strikes_with_one_side_only_do_not_count_and_none_at_all_gives_nan() -> None:
    unknown = np.full(5, np.nan)
    put = np.array([20_00.0, 32_00, 50_00, 80_00, 115_00])
    one = unknown.copy()
    one[1] = put[1] + 24_512_35.0 - STRIKES[1]
    assert parity_forward(STRIKES, one, put) == 24_512_35.0
    assert np.isnan(parity_forward(STRIKES, unknown, put))
    assert np.isnan(parity_forward(STRIKES[:0], unknown[:0], put[:0]))


def test_the_parity_forward_of_a_real_session_stays_in_its_known_range(shared_data) -> None:
    chain = (
        pl.scan_parquet(shared_data / "nse-chain-20250829" / "NIFTY.parquet")
        .select(
            "collection_timestamp", "expiry", "Strike_Price",
            "CALLS_Bid_Price", "CALLS_Ask_Price", "PUTS_Bid_Price", "PUTS_Ask_Price",
        )
        .filter(pl.col("collection_timestamp").str.starts_with("20250829"))
        .filter(pl.col("expiry") == pl.col("expiry").min())
        .sort("collection_timestamp", "Strike_Price")
        .collect()
    )  # fmt: skip
    forwards = []
    for _, snapshot in chain.group_by("collection_timestamp", maintain_order=True):
        prices = snapshot.select(pl.all().exclude("collection_timestamp", "expiry")).cast(pl.Float64).to_numpy()
        prices[prices <= 0] = np.nan
        strikes = np.rint(prices[:, 0] * 100).astype(np.int64)
        mids = [(prices[:, k] + prices[:, k + 1]) * 50 for k in (1, 3)]
        forwards.append(parity_forward(strikes, mids[0], mids[1]) / 100)
    assert len(forwards) == 306
    assert 24_435 < min(forwards) < max(forwards) < 24_602


@pytest.mark.parametrize(
    ("spot_paise", "atm_paise"),
    [(24_512_35, 24_500_00), (24_525_00, 24_500_00), (24_525_05, 24_550_00), (24_500_00, 24_500_00)],
)
def test_the_money_is_the_nearest_strike_and_the_lower_of_two(spot_paise: int, atm_paise: int) -> None:
    assert atm_strike(spot_paise, list(STRIKES)) == atm_paise
    assert atm_on_step(spot_paise, 50_00) == atm_paise


def test_the_money_on_a_broken_ladder_is_a_listed_strike() -> None:
    assert atm_strike(24_512_00, [24_000_00, 24_700_00]) == 24_700_00
    with pytest.raises(ValueError, match="empty"):
        atm_strike(24_512_00, [])


def test_put_call_ratio_is_unknown_without_calls() -> None:
    assert put_call_ratio(200, 150) == 0.75
    assert put_call_ratio(0, 150) is None


def test_max_pain_is_where_the_holders_get_least() -> None:
    call_oi = np.array([0, 0, 100, 300, 500], np.int64)
    put_oi = np.array([500, 300, 100, 0, 0], np.int64)
    paid = [
        sum(max(settle - k, 0) * c + max(k - settle, 0) * p for k, c, p in zip(STRIKES, call_oi, put_oi, strict=True))
        for settle in STRIKES
    ]
    assert max_pain(STRIKES, call_oi, put_oi) == STRIKES[paid.index(min(paid))] == 24_500_00
    skewed = np.array([50, 0, 0, 0, 9000], np.int64)
    assert max_pain(STRIKES, NONE, skewed) == 24_600_00
    assert max_pain(STRIKES, NONE, NONE) is None
    assert max_pain(STRIKES[:0], NONE[:0], NONE[:0]) is None


def test_support_and_resistance_are_the_heaviest_puts_and_calls_nearest_the_money() -> None:
    call_oi = np.array([1, 2, 3, 9, 9], np.int64)
    put_oi = np.array([9, 9, 3, 2, 1], np.int64)
    assert support_resistance(STRIKES, call_oi, put_oi) == Levels(support=24_450_00, resistance=24_550_00)
    assert support_resistance(STRIKES, NONE, put_oi) is None
