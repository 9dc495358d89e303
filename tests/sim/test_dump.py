"""The synthetic dump against a real one: same symbols, lots and ticks; tokens that keep Kite's arithmetic."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError, UserError
from g6_core.domain.instruments import OptionType
from g6_core.domain.money import paise
from g6_core.sim.dump import CONTRACTS_PER_UNDERLYING, kite_symbol, synthetic_book

INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")
DAY = date(2026, 8, 18)


@pytest.fixture(scope="module")
def real_options(shared_data: Path) -> pl.DataFrame:
    dump = pl.read_csv(shared_data / "kite-instruments-20260818" / "instruments.csv.gz", try_parse_dates=True)
    return dump.filter(pl.col("name").is_in(INDICES) & pl.col("instrument_type").is_in(["CE", "PE"]))


def listings_of(options: pl.DataFrame) -> dict[str, dict[date, list[int]]]:
    listings: dict[str, dict[date, list[int]]] = {}
    for name, expiry, strike in options.select("name", "expiry", "strike").unique().iter_rows():
        listings.setdefault(name, {}).setdefault(expiry, []).append(paise(strike))
    return listings


def test_every_contract_of_a_real_dump_gets_its_real_symbol_lot_and_tick(
    real_options: pl.DataFrame, rules: MarketRules
) -> None:
    book = synthetic_book(rules, DAY, listings_of(real_options))

    for real in real_options.iter_rows(named=True):
        ours = book.by_key(f"{real['exchange']}:{real['tradingsymbol']}")
        assert ours is not None, real["tradingsymbol"]
        assert (ours.expiry, ours.strike_paise, ours.instrument_type, ours.segment) == (
            real["expiry"],
            paise(real["strike"]),
            real["instrument_type"],
            real["segment"],
        )
        assert (ours.lot_size, ours.tick_paise) == (real["lot_size"], paise(real["tick_size"]))


def test_tokens_are_unique_ascend_and_name_their_segment(real_options: pl.DataFrame, rules: MarketRules) -> None:
    listings = listings_of(real_options)
    book = synthetic_book(rules, DAY, listings)

    assert len({row.token for row in book}) == len(book)
    for row in book:
        segment = {"NSE": 9, "BSE": 9, "NFO": 2, "BFO": 5}[row.exchange]
        assert row.token == row.exchange_token * 256 + segment
        assert 0 < row.token < 2**32
    for underlying in INDICES:
        tokens = [row.token for row in book if row.underlying == underlying]
        assert tokens == sorted(tokens)
        alone = synthetic_book(rules, DAY, {underlying: listings[underlying]})
        assert [row.token for row in alone] == tokens


def test_the_index_row_has_its_real_token_and_nothing_to_trade(rules: MarketRules) -> None:
    book = synthetic_book(rules, DAY, {"NIFTY": {date(2026, 8, 25): [2_450_000]}})

    index = book.index("NIFTY")
    assert index is not None
    assert (index.token, index.kite_key, index.segment, index.instrument_type) == (
        256265,
        "NSE:NIFTY 50",
        "INDICES",
        "EQ",
    )
    assert index.expiry is None
    assert [row.instrument_type for row in book] == ["EQ", "CE", "PE"]


@pytest.mark.parametrize(
    ("expiry", "strike_paise", "monthly", "symbol"),
    [
        (date(2025, 9, 2), 2_450_000, False, "NIFTY2590224500CE"),
        (date(2025, 9, 30), 2_450_000, True, "NIFTY25SEP24500CE"),
        (date(2026, 10, 6), 2_005_000, False, "NIFTY26O0620050CE"),
        (date(2026, 11, 3), 2_000_000, False, "NIFTY26N0320000CE"),
        (date(2025, 12, 9), 10_000_000, False, "NIFTY25D09100000CE"),
        (date(2026, 1, 27), 1_250, True, "NIFTY26JAN12.5CE"),
    ],
)
def test_symbols_follow_the_broker(expiry: date, strike_paise: int, monthly: bool, symbol: str) -> None:
    assert kite_symbol("NIFTY", expiry, strike_paise, OptionType.CE, monthly=monthly) == symbol


def test_a_chain_too_large_for_its_token_block_is_refused(rules: MarketRules) -> None:
    strikes = range(100, 100 * (CONTRACTS_PER_UNDERLYING // 2 + 2), 100)
    with pytest.raises(DataError, match=r"NIFTY lists 4098 contracts, more than 4096"):
        synthetic_book(rules, DAY, {"NIFTY": {date(2026, 8, 25): list(strikes)}})


def test_an_unknown_underlying_is_refused(rules: MarketRules) -> None:
    with pytest.raises(UserError, match="GOLD"):
        synthetic_book(rules, DAY, {"GOLD": {date(2026, 8, 25): [100]}})
