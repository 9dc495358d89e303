"""The overview of a small chain worked out by hand."""

from datetime import date

from g6_core.schema.options import OptionRow, RowStatus, SideCells
from g6_pipelines.collection.coverage import Coverage, cycle_coverage
from g6_pipelines.collection.overview import overview_of, overviews_of

NOON = 1_756_449_000_000


def side(oi: int, volume: int, iv: float | None = None, status: RowStatus = RowStatus.LIVE) -> SideCells:
    return SideCells(status.value, "X", oi=oi, volume=volume, iv=iv)


def row(offset: int, call: SideCells, put: SideCells, code: str = "this_week") -> OptionRow:
    return OptionRow(
        NOON, NOON, "NIFTY", code, date(2025, 9, 2), offset, 24_500.0, 24_500.0 + 50 * offset, 4, 5_940.0,
        24_512.35, "index", 24_513.0, call, put,
    )  # fmt: skip


CHAIN = [
    row(-1, side(100, 10), side(500, 90)),
    row(0, side(200, 50, 9.0), side(300, 30, 10.0)),
    row(1, side(600, 40), side(100, 30)),
    row(2, side(9_000, 900, status=RowStatus.STALE), side(50, 0)),
    row(3, SideCells(RowStatus.MISSING), SideCells(RowStatus.NO_CONTRACT)),
]


def test_only_strikes_with_both_sides_live_count() -> None:
    found = overview_of(CHAIN)
    assert (found.call_oi, found.put_oi) == (900, 900)
    assert (found.call_volume, found.put_volume) == (100, 150)
    assert (found.pcr_oi, found.pcr_volume) == (1.0, 1.5)
    assert (found.support, found.resistance) == (24_450.0, 24_550.0)
    # Paid in all at 24,450: 300x50 + 100x100 = 25,000; at 24,500: 100x50 + 100x50 = 10,000; at 24,550: 20,000.
    assert found.max_pain == 24_500.0
    assert found.atm_iv == 9.5
    assert (found.contracts_expected, found.contracts_live) == (9, 7)
    assert found.strikes == 3, "it says of how many strikes it is"


def test_nothing_live_leaves_the_figures_unknown() -> None:
    found = overview_of([row(0, SideCells(RowStatus.MISSING), SideCells(RowStatus.MISSING))])
    assert (found.call_oi, found.pcr_oi, found.max_pain, found.support, found.atm_iv) == (None,) * 5
    assert (found.contracts_expected, found.contracts_live) == (2, 0)
    assert found.strikes == 0


def test_each_code_has_its_own_overview() -> None:
    other = [row(0, side(1, 1), side(1, 1), "next_week")]
    assert [found.expiry_code for found in overviews_of(CHAIN + other)] == ["this_week", "next_week"]


def test_coverage_counts_identical_expiries_once() -> None:
    twin = [row(0, side(1, 1), side(1, 1), "this_month")]
    cycle = cycle_coverage(CHAIN + twin)
    assert (cycle.live, cycle.stale, cycle.missing, cycle.no_contract, cycle.expected) == (7, 1, 1, 1, 9)
    assert cycle.pct == round(100 * 7 / 9, 2)
    assert Coverage().pct == 0.0
