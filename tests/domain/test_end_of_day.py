"""A collected last state against the published one: what must be equal, what is only a bound, what is only told."""

from dataclasses import replace
from datetime import date

import pytest

from g6_core.domain.end_of_day import (
    FINAL_AFTER_MS,
    Collected,
    Comparison,
    ContractKey,
    DifferenceKind,
    Published,
    compare_with_published,
)

CLOSE_MS = 1_767_780_000_000
CONTRACT = ContractKey("NIFTY", date(2026, 1, 13), 26_000_00, "CE")
PUBLISHED = Published(last_paise=150_05, settlement_paise=151_00, volume=6_500, oi=1_300, lot_size=65)
FINAL = Collected(CLOSE_MS + FINAL_AFTER_MS, 150_05, 6_500, 1_300)
EARLY = replace(FINAL, stamp_ms=CLOSE_MS + FINAL_AFTER_MS - 1)
K = DifferenceKind


def compared(ours: Collected, theirs: Published = PUBLISHED) -> Comparison:
    return compare_with_published({CONTRACT: ours}, {CONTRACT: theirs}, {"NIFTY": CLOSE_MS})


@pytest.mark.parametrize(
    ("ours", "theirs", "differing"),
    [
        (FINAL, PUBLISHED, []),
        (replace(FINAL, last_paise=150_00), PUBLISHED, [K.PRICE]),
        (replace(FINAL, volume=6_435), PUBLISHED, [K.VOLUME]),
        (replace(FINAL, volume=6_565), PUBLISHED, [K.VOLUME]),
        (replace(FINAL, volume=None), PUBLISHED, []),
        (replace(FINAL, oi=1_365), PUBLISHED, [K.OPEN_INTEREST]),
        (replace(FINAL, last_paise=1, volume=0, oi=0), PUBLISHED, [K.PRICE, K.VOLUME, K.OPEN_INTEREST]),
        # A contract that did not trade keeps the price of another day, and the exchange shows 0 or that.
        (replace(FINAL, volume=0), replace(PUBLISHED, last_paise=0, volume=0), []),
        (EARLY, PUBLISHED, []),
        (replace(EARLY, last_paise=1, volume=6_435, oi=5), PUBLISHED, []),
        (replace(EARLY, last_paise=150_00), PUBLISHED, [K.PRICE]),
        (replace(EARLY, volume=6_565), PUBLISHED, [K.VOLUME]),
        (replace(EARLY, last_paise=1, volume=None), PUBLISHED, []),
    ],
)
def test_what_differs_is_named(ours: Collected, theirs: Published, differing: list[DifferenceKind]) -> None:
    found = compared(ours, theirs)
    assert [one.kind for one in found.differences] == differing
    assert all(one.contract == CONTRACT for one in found.differences)


def test_a_contract_that_was_not_published_is_named_and_nothing_else_is_said_of_it() -> None:
    found = compare_with_published({CONTRACT: FINAL}, {}, {"NIFTY": CLOSE_MS})
    assert [str(one) for one in found.differences] == ["NIFTY 2026-01-13 26000 CE is not in the bhavcopy"]
    assert (found.contracts, found.final) == (1, 0)


def test_counts_and_sums_are_over_what_could_be_compared() -> None:
    other = CONTRACT._replace(side="PE")
    found = compare_with_published(
        {CONTRACT: replace(FINAL, oi=1_365), other: EARLY},
        {CONTRACT: PUBLISHED, other: PUBLISHED},
        {"NIFTY": CLOSE_MS},
    )
    assert (found.contracts, found.final, found.prices, found.volumes, found.bounds) == (2, 1, 2, 1, 1)
    assert compared(replace(FINAL, volume=None)).without_volume == 1
    assert (found.own_oi, found.published_oi) == (1_365, 1_300)


def test_differences_are_ordered_by_kind_then_contract_and_read_in_rupees_and_units() -> None:
    puts = [CONTRACT._replace(strike_paise=strike, side="PE") for strike in (26_100_00, 26_000_00)]
    wrong = replace(FINAL, last_paise=150_00, oi=65)
    found = compare_with_published(dict.fromkeys(puts, wrong), dict.fromkeys(puts, PUBLISHED), {"NIFTY": CLOSE_MS})
    assert [str(one) for one in found.differences] == [
        "NIFTY 2026-01-13 26000 PE 150.00, bhavcopy 150.05",
        "NIFTY 2026-01-13 26100 PE 150.00, bhavcopy 150.05",
        "NIFTY 2026-01-13 26000 PE 65, bhavcopy 1,300",
        "NIFTY 2026-01-13 26100 PE 65, bhavcopy 1,300",
    ]
    assert len(found.of(K.PRICE)) == 2
