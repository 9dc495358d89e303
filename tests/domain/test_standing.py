"""Rank, percentile and z-score of a figure among earlier days."""

import pytest

from g6_core.domain.standing import MIN_HISTORY_DAYS, Standing, standing

TEN = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 20.0]


@pytest.mark.parametrize(
    ("value", "rank", "percentile"),
    [(10.0, 0.0, 0.0), (15.0, 0.5, 0.5), (20.0, 1.0, 0.9), (25.0, 1.5, 1.0), (5.0, -0.5, 0.0)],
)
def test_rank_is_between_the_extremes_and_percentile_counts_days_below(value, rank, percentile) -> None:
    found = standing(value, TEN)
    assert (found.rank, found.percentile) == (rank, percentile)


def test_zscore_is_in_standard_deviations_of_all_days() -> None:
    assert [standing(value, [9.0, 11.0] * 5).zscore for value in (10.0, 11.0, 7.0)] == [0.0, 1.0, -3.0]


@pytest.mark.parametrize(("value", "history"), [(None, TEN), (15.0, TEN[: MIN_HISTORY_DAYS - 1]), (15.0, [])])
def test_without_a_value_or_enough_days_nothing_is_known(value, history) -> None:
    assert standing(value, history) == Standing()


def test_where_no_day_differs_there_is_no_rank() -> None:
    assert standing(12.0, [12.0] * 10) == Standing(rank=None, percentile=0.0, zscore=None)
