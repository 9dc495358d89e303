"""Offsets to contracts."""

from datetime import date

from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.universe import contracts_of, pairs_at
from g6_core.sim.dump import synthetic_book

DAY, EXPIRY = date(2025, 8, 29), date(2025, 9, 2)


def book(rules, strikes: list[int]) -> InstrumentBook:
    """A NIFTY chain of one expiry."""
    return synthetic_book(rules, DAY, {"NIFTY": {EXPIRY: strikes}})


def test_an_offset_is_that_many_steps_above_the_money_for_both_sides(rules) -> None:
    listed = book(rules, [24_450_00, 24_500_00, 24_550_00])
    pairs = pairs_at(listed, "NIFTY", EXPIRY, 24_500_00, 50_00, (-1, 0, 1))
    assert [(pair.offset, pair.strike_paise) for pair in pairs] == [(-1, 24_450_00), (0, 24_500_00), (1, 24_550_00)]
    assert [pair.call.tradingsymbol for pair in pairs if pair.call] == [
        "NIFTY2590224450CE",
        "NIFTY2590224500CE",
        "NIFTY2590224550CE",
    ]
    assert all(pair.put is not None and pair.put.strike_paise == pair.strike_paise for pair in pairs)


def test_a_strike_that_is_not_listed_has_no_contracts_but_keeps_its_place(rules) -> None:
    pairs = pairs_at(book(rules, [24_500_00]), "NIFTY", EXPIRY, 24_500_00, 50_00, (0, 1))
    assert pairs[1].strike_paise == 24_550_00
    assert pairs[1].sides() == (None, None)
    assert len(contracts_of(pairs)) == 2


def test_contracts_are_listed_once(rules) -> None:
    pairs = pairs_at(book(rules, [24_500_00]), "NIFTY", EXPIRY, 24_500_00, 50_00, (0,))
    assert contracts_of(pairs + pairs) == contracts_of(pairs)
