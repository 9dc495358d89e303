"""Scores are sums of what happened; ratios and z-scores appear only when history allows them."""

from dataclasses import replace

import pytest

from g6_core.domain.records import TradeRecord
from g6_core.domain.scoring import ScoreGates, ScoreStatus, StrategyScore, score_strategy, with_z_scores

GATES = ScoreGates(min_trades=3, min_days=2, min_profit_factor=1.1, min_peers=3)


def trade(net_paise: int, *, entry: int = 10_000, low: int = 9_000, open_still: bool = False) -> TradeRecord:
    return TradeRecord(
        trade_id="T",
        decision_id="D",
        underlying="NIFTY",
        tradingsymbol="NIFTY2590224500CE",
        token=1,
        quantity=75,
        entry_ms=1,
        entry_paise=entry,
        exit_ms=0 if open_still else 2,
        exit_paise=0,
        exit_reason="",
        gross_pnl_paise=net_paise + 100,
        charges_paise=100,
        net_pnl_paise=net_paise,
        high_water_mark_paise=entry,
        low_water_mark_paise=low,
    )


def scored(nets: list[int], days: int = 5, gates: ScoreGates = GATES) -> StrategyScore:
    trades = [trade(net) for net in nets]
    return score_strategy("NIFTY", "supertrend_adx", signals=9, days=days, trades=trades, gates=gates)


@pytest.mark.parametrize(
    ("nets", "days", "said"),
    [
        ([], 5, "0 closed trades, 3 needed"),
        ([500, 500], 5, "2 closed trades, 3 needed"),
        ([500, 500, -10], 1, "1 trading days, 2 needed"),
    ],
)
def test_too_little_history_gives_counts_and_sums_but_no_ratio(nets: list[int], days: int, said: str) -> None:
    score = scored(nets, days)
    assert score.status is ScoreStatus.INSUFFICIENT_HISTORY
    assert score.reasons == (said,)
    assert (score.trades, score.wins, score.net_pnl_paise) == (len(nets), sum(net > 0 for net in nets), sum(nets))
    assert (score.profit_factor, score.win_rate_pct, score.mean_net_paise, score.z_score) == (None, None, None, None)


@pytest.mark.parametrize(
    ("nets", "status", "factor"),
    [
        ([300, -100, -100], ScoreStatus.PROMOTED, 1.5),
        ([110, -50, -50], ScoreStatus.PROMOTED, 1.1),
        ([100, -50, -50], ScoreStatus.BELOW_GATE, 1.0),
        ([-1, -2, -3], ScoreStatus.BELOW_GATE, 0.0),
        ([1, 2, 3], ScoreStatus.PROMOTED, None),
    ],
)
def test_the_profit_factor_decides_once_there_is_history(
    nets: list[int], status: ScoreStatus, factor: float | None
) -> None:
    score = scored(nets)
    assert (score.status, score.profit_factor) == (status, factor)


def test_golden_figures_of_a_judged_strategy() -> None:
    trades = [trade(600, low=8_000), trade(-200, low=9_500), trade(200, low=10_000), trade(999, open_still=True)]
    score = score_strategy("NIFTY", "supertrend_adx", signals=7, days=2, trades=trades, gates=GATES)
    assert score == StrategyScore(
        underlying="NIFTY",
        strategy="supertrend_adx",
        status=ScoreStatus.PROMOTED,
        reasons=("profit factor 4.0 of at least 1.1",),
        days=2,
        signals=7,
        trades=3,
        wins=2,
        net_pnl_paise=600,
        charges_paise=300,
        max_adverse_pct=20.0,
        profit_factor=4.0,
        win_rate_pct=66.6667,
        mean_net_paise=200.0,
        z_score=None,
    )


def test_a_price_that_never_fell_below_the_entry_has_no_adverse_move() -> None:
    trades = [trade(100, low=10_000)] * 3
    score = score_strategy("NIFTY", "x", signals=1, days=2, trades=trades, gates=GATES)
    assert score.max_adverse_pct == 0.0


def test_z_scores_compare_judged_strategies_only() -> None:
    scores = [scored([100] * 3), scored([200] * 3), scored([300] * 3), scored([10_000])]
    assert [score.z_score for score in with_z_scores(scores, GATES)] == [-1.0, 0.0, 1.0, None]


@pytest.mark.parametrize("nets", [[[100] * 3, [200] * 3], [[100] * 3] * 3], ids=["too few peers", "no difference"])
def test_without_enough_different_peers_there_is_no_z_score(nets: list[list[int]]) -> None:
    scores = [scored(each) for each in nets]
    assert with_z_scores(scores, GATES) == tuple(scores)


def test_one_peer_is_never_enough_whatever_the_gates_say() -> None:
    scores = [replace(scored([100] * 3), mean_net_paise=5.0)]
    assert with_z_scores(scores, replace(GATES, min_peers=0)) == tuple(scores)
