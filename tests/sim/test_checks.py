"""Every row of the table of refusals is reached, with its words, where it says."""

from datetime import time
from string import Formatter
from typing import Any

import pytest
from kiteconnect import exceptions as kite_exceptions

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.domain.orders import Side
from g6_core.sim.checks import price_range_problem, stop_width_problem, trigger_side_problem
from g6_core.sim.order_form import PRICE_MAX_RUPEES
from g6_core.sim.refusals import REFUSALS, Where, kite_error, rejection
from tests.sim.kit import DAY, LOT, NOON, bench

AT_ONCE: dict[str, tuple[dict[str, Any], str]] = {
    "no side": ({"side": ""}, "Missing or empty field `transaction_type`"),
    "odd side": ({"side": "HOLD"}, "Invalid `transaction_type`."),
    "odd product": ({"product": "CNC"}, "Invalid `product`."),
    "odd type": ({"order_type": "STOP"}, "Invalid `order_type`."),
    "odd validity": ({"validity": "GTC"}, "Invalid `validity`."),
    "minutes of life": ({"validity_ttl": 5}, "`validity_ttl` 5 is not offered by this simulator."),
    "disclosed quantity": ({"disclosed_quantity": 75}, "`disclosed_quantity` 75 is not offered by this simulator."),
    "immediate stop": (
        {"side": "BUY", "order_type": "SL", "price": 111, "trigger_price": 110, "validity": "IOC"},
        "`validity` IOC is not offered by this simulator.",
    ),
    "unknown symbol": ({"tradingsymbol": "NIFTY2590299999CE"}, "has either expired or does not exist"),
    "expired contract": ({"tradingsymbol": "NIFTY2582824500CE"}, "has either expired or does not exist"),
    "wrong exchange": ({"exchange": "BFO"}, "has either expired or does not exist"),
    "the index itself": ({"exchange": "NSE", "tradingsymbol": "NIFTY 50"}, "Orders in NIFTY 50 are not allowed."),
    "no quantity": ({"quantity": 0}, "Invalid `quantity`."),
    "negative quantity": ({"quantity": -75}, "Invalid `quantity`."),
    "half a unit": ({"quantity": "37.5"}, "Invalid `quantity`."),
    "half a lot": ({"quantity": 37}, "Quantity should be in multiples of lot size 75."),
    "beyond the freeze": ({"quantity": 1875}, "exceeds the freeze quantity 1800"),
    "no price": ({"price": None}, "Missing or empty field `price`"),
    "price of nothing": ({"price": 0}, "Invalid `price`."),
    "negative price": ({"price": -1}, "Invalid `price`."),
    "not a number": ({"price": "nan"}, "Invalid `price`."),
    "absurd price": ({"price": PRICE_MAX_RUPEES}, "Invalid `price`."),
    "words for a price": ({"price": "cheap"}, "Invalid `price`."),
    "off the tick": ({"price": 100.03}, "Tick size for this script is 0.05. Kindly enter price in the multiple"),
    "off the paisa": ({"price": 100.051}, "Tick size for this script is 0.05. Kindly enter price in the multiple"),
    "trigger off the tick": (
        {"order_type": "SL", "price": 120, "trigger_price": 110.02},
        "Kindly enter trigger price in the multiple of tick size",
    ),
    "no trigger": ({"order_type": "SL", "price": 120}, "Missing or empty field `trigger_price`"),
    "buy stop upside down": (
        {"order_type": "SL", "price": 110, "trigger_price": 115},
        "Trigger price for stoploss buy orders should be lower than the limit price.",
    ),
    "sell stop upside down": (
        {"side": "SELL", "order_type": "SL", "price": 90, "trigger_price": 85},
        "Trigger price for stoploss sell orders should be higher than the limit price.",
    ),
    "stop-market": ({"order_type": "SL-M", "trigger_price": 110}, "SL-M orders are blocked for index options"),
    "long tag": ({"tag": "x" * 21}, "Invalid `tag`."),
    "unprotected market order": (
        {"order_type": "MARKET"},
        "Market orders without market protection are not allowed via API.",
    ),
    "protection of zero": ({"order_type": "MARKET", "market_protection": 0}, "without market protection"),
    "protection of 0.0": ({"order_type": "MARKET", "market_protection": "0.0"}, "without market protection"),
    "protection of -2": ({"order_type": "MARKET", "market_protection": -2}, "Invalid `market_protection`."),
    "protection of 101": ({"order_type": "MARKET", "market_protection": 101}, "Invalid `market_protection`."),
    "protection of True": (
        {"order_type": "MARKET", "market_protection": True},
        r"failed to decode market_protection, got: True \(expected decimal\)",
    ),
}


@pytest.mark.parametrize("case", AT_ONCE)
def test_what_the_api_refuses_at_once_leaves_no_order(rules: MarketRules, case: str) -> None:
    change, message = AT_ONCE[case]
    desk = bench(rules)
    fields: dict[str, Any] = {"price": 101, "tag": "twenty characters ok"} | change
    with pytest.raises(kite_exceptions.InputException, match=message) as refused:
        desk.place(**fields)
    assert refused.value.code == 400
    assert desk.exchange.orders() == []


@pytest.mark.parametrize("variety", ["amo", "co", "iceberg", "auction"])
def test_other_varieties_are_refused_by_name(rules: MarketRules, variety: str) -> None:
    desk = bench(rules)
    with pytest.raises(kite_exceptions.InputException, match=f"`variety` {variety} is not offered"):
        desk.kite.place_order(variety, "NFO", desk.contract.tradingsymbol, "BUY", LOT, "MIS", "LIMIT", price=100)


def test_a_market_order_without_a_last_price_is_refused(rules: MarketRules) -> None:
    desk = bench(rules, ((NOON + 60_000, 99_00, 100_00),))
    with pytest.raises(kite_exceptions.InputException, match="there is no last price"):
        desk.place(order_type="MARKET", market_protection=-1)


def test_an_intraday_order_is_refused_from_the_cut_off_on_and_an_overnight_one_is_not(rules: MarketRules) -> None:
    cutoff_ms = rules.mis_cutoff_ms(DAY, "NFO")
    assert cutoff_ms == at(DAY, time(15, 25))
    desk = bench(rules, start_ms=cutoff_ms - 1)
    assert desk.place(price=90)
    desk.until(cutoff_ms)
    with pytest.raises(kite_exceptions.InputException, match=r"\(MIS\) are allowed only till 3.25 PM"):
        desk.place(price=101)
    assert desk.place(price=101, product="NRML")


MODIFICATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "to a stop": ({"order_type": "SL", "trigger_price": 110, "price": 111}, "A LIMIT order cannot be changed to SL."),
    "to market without protection": ({"order_type": "MARKET"}, "without market protection"),
    "half a lot": ({"quantity": 1600}, "multiples of lot size"),
    "beyond the freeze": ({"quantity": 1875}, "exceeds the freeze quantity"),
    "not above what is filled": ({"quantity": 10 * LOT}, "Quantity 750 is not above the filled quantity 750."),
    "off the tick": ({"price": 100.01}, "Tick size"),
}


@pytest.mark.parametrize("case", MODIFICATIONS)
def test_a_modification_is_checked_like_a_placement(rules: MarketRules, case: str) -> None:
    change, message = MODIFICATIONS[case]
    desk = bench(rules)
    order_id = desk.place(quantity=20 * LOT, price=100)
    desk.wait()
    with pytest.raises(kite_exceptions.InputException, match=message):
        desk.kite.modify_order("regular", order_id, **change)
    assert desk.last(order_id)["status"] == "OPEN"


def test_a_limit_order_can_become_a_protected_market_order(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(price=90)
    desk.wait()
    desk.kite.modify_order("regular", order_id, order_type="MARKET", market_protection=2)
    desk.wait()
    row = desk.last(order_id)
    assert (row["status"], row["order_type"], row["price"]) == ("COMPLETE", "LIMIT", 101.45)
    assert row["tags"] == ["mktp", "mktp:2.00"]


REJECTED: dict[str, tuple[dict[str, Any], str, bool]] = {
    "too dear": (
        {"quantity": 24 * LOT, "price": 130},
        "Insufficient funds. Required margin is 234000.00 but available margin is 200000.00.",
        False,
    ),
    "selling what is not held": (
        {"side": "SELL", "price": 99},
        "Insufficient funds. Required margin is 1837500.00 but available margin is 200000.00.",
        False,
    ),
    "buy stop below the price": (
        {"order_type": "SL", "price": 99, "trigger_price": 98},
        "Trigger price for stoploss buy orders should be higher than the last traded price.",
        False,
    ),
    "sell stop above the price": (
        {"side": "SELL", "order_type": "SL", "price": 104, "trigger_price": 105},
        "Trigger price for stoploss sell orders should be lower than the last traded price.",
        False,
    ),
    "buy beyond the price range": ({"price": 139.35}, "Price exceeds circuit limits: 139.35 is outside", True),
    "stop too wide": (
        {"order_type": "SL", "price": 132.05, "trigger_price": 110},
        "Stop limit order price range check failed",
        True,
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_the_broker_or_the_exchange_rejects_shows_in_the_order_book(rules: MarketRules, case: str) -> None:
    fields, message, reaches_exchange = REJECTED[case]
    desk = bench(rules, cash_paise=2_00_000_00)
    order_id = desk.place(**fields)
    desk.wait()
    row = desk.last(order_id)
    assert row["status"] == "REJECTED"
    assert row["status_message"].startswith(message)
    assert (desk.statuses(order_id)[-2] == "OPEN PENDING") is reaches_exchange
    assert (row["pending_quantity"], row["filled_quantity"], row["exchange_order_id"]) == (0, 0, None)
    assert desk.pushed() == [("REJECTED", 0)]


def test_prices_at_the_edge_of_what_is_allowed_pass(rules: MarketRules) -> None:
    desk = bench(rules)
    for fields in (
        {"price": 139.30},
        {"order_type": "SL", "price": 132, "trigger_price": 110},
        {"price": 101, "quantity": 1800},
    ):
        order_id = desk.place(**fields)
        desk.wait()
        assert desk.last(order_id)["status"] in ("COMPLETE", "OPEN", "TRIGGER PENDING")


@pytest.mark.parametrize(
    ("side", "price", "reference", "circuit", "allowed"),
    [
        (Side.BUY, 70_00, 50_00, (0, 0), True),
        (Side.BUY, 70_05, 50_00, (0, 0), False),
        (Side.BUY, 70_15, 50_10, (0, 0), False),
        (Side.BUY, 5, 50_00, (0, 0), True),
        (Side.SELL, 60_00, 100_00, (0, 0), True),
        (Side.SELL, 59_95, 100_00, (0, 0), False),
        (Side.SELL, 500_00, 100_00, (0, 0), True),
        (Side.BUY, 120_05, 100_00, (5, 120_00), False),
        (Side.BUY, 999_00, 0, (0, 0), True),
    ],
)
def test_the_price_range_stops_buys_above_and_sells_below_it(
    rules: MarketRules, side: Side, price: int, reference: int, circuit: tuple[int, int], allowed: bool
) -> None:
    protection = rules.price_protection("NFO", DAY)
    assert (price_range_problem(protection, side, price, reference, circuit) == "") is allowed


@pytest.mark.parametrize(
    ("price", "trigger", "allowed"),
    [(40_00, 50_00, True), (39_95, 50_00, False), (80_00, 100_00, True), (79_95, 100_00, False)],
)
def test_limit_and_trigger_of_a_stop_stay_close(rules: MarketRules, price: int, trigger: int, allowed: bool) -> None:
    assert (stop_width_problem(rules.price_protection("NFO", DAY), price, trigger) == "") is allowed


def test_a_stop_is_not_judged_by_a_price_that_nobody_knows() -> None:
    assert trigger_side_problem(Side.BUY, 100, 0) == ""


@pytest.mark.parametrize("row", REFUSALS)
def test_a_refusal_reaches_the_client_only_the_way_its_row_says(row: str) -> None:
    figures = {name: "7" for _, name, _, _ in Formatter().parse(REFUSALS[row].message) if name}
    if REFUSALS[row].where is Where.API:
        error = kite_error(row, **figures)
        assert "{" not in error.message
        assert error.http_status in (400, 403, 404, 405, 429)
        with pytest.raises(AssertionError):
            rejection(row, **figures)
    else:
        assert "{" not in rejection(row, **figures)
        with pytest.raises(AssertionError):
            kite_error(row, **figures)
