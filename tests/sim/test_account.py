"""Cash, positions, charges and margins of the simulated account."""

from collections.abc import Callable
from datetime import date
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g6_core.domain.calendar import MarketRules
from g6_core.domain.charges import order_charges
from g6_core.domain.instruments import Instrument
from g6_core.domain.orders import TERMINAL, OrderType, Product, Side, Status, Validity
from g6_core.sim.account import Account, Position
from g6_core.sim.order_state import SimOrder
from tests.sim.kit import DAY, LOT, NOON, Bench, bench

CALL = Instrument(7, 1, "NIFTY2590224500CE", "NIFTY", "NFO", "NFO-OPT", "CE", date(2025, 9, 2), 24_500_00, 5, LOT)
FILLS = st.tuples(st.sampled_from(Side), st.integers(1, 20), st.integers(1, 50_000))


def order(side: Side, quantity: int, price_paise: int, order_id: str = "1") -> SimOrder:
    return SimOrder(
        order_id=order_id,
        instrument=CALL,
        side=side,
        product=Product.MIS,
        order_type=OrderType.LIMIT,
        validity=Validity.DAY,
        quantity=quantity,
        price_paise=price_paise,
        trigger_paise=0,
        tag="",
        placed_ms=0,
        open_ms=0,
        close_ms=1,
    )


def filler(account: Account, rules: MarketRules) -> Callable[[Side, int, int], None]:
    """Executions of one order each."""
    rates = rules.charge_rates("NFO", DAY)
    ids = count(1)

    def fill(side: Side, quantity: int, price_paise: int) -> None:
        filled = order(side, quantity, price_paise, str(next(ids)))
        filled.filled_quantity, filled.filled_value_paise = quantity, quantity * price_paise
        account.apply_fill(filled, quantity, price_paise, rates)

    return fill


@given(fills=st.lists(FILLS, max_size=30))
@settings(max_examples=60)
def test_cash_is_the_opening_balance_and_the_trades_less_the_charges_to_the_paisa(
    rules: MarketRules, fills: list[tuple[Side, int, int]]
) -> None:
    account = Account(1_00_000_00)
    fill = filler(account, rules)
    for side, lots, price_paise in fills:
        fill(side, lots * LOT, price_paise)
    traded = sum((1 if side is Side.SELL else -1) * lots * LOT * price for side, lots, price in fills)
    rates = rules.charge_rates("NFO", DAY)
    charged = sum(order_charges(rates, side, lots * LOT * price).total_paise for side, lots, price in fills)
    assert account.charges_paise == charged
    assert account.cash_paise == account.opening_paise + traded - charged
    assert account.cash_paise + account.held_value_paise == account.opening_paise + account.realised_paise - charged
    position = account.positions.get((CALL.token, Product.MIS), Position(CALL, Product.MIS))
    assert position.quantity == sum((1 if side is Side.BUY else -1) * lots * LOT for side, lots, _ in fills)
    assert position.open_value_paise >= 0
    assert (position.open_value_paise == 0) is (position.quantity == 0)


def test_profit_is_booked_at_the_average_cost_of_what_was_held(rules: MarketRules) -> None:
    account = Account(1_00_000_00)
    fill = filler(account, rules)
    fill(Side.BUY, 75, 100_00)
    fill(Side.BUY, 75, 110_00)
    fill(Side.SELL, 75, 120_00)
    assert (account.realised_paise, account.held_value_paise) == (75 * 15_00, 75 * 105_00)
    fill(Side.SELL, 150, 100_00)
    position = account.positions[CALL.token, Product.MIS]
    assert (position.quantity, account.realised_paise) == (-75, 75 * 15_00 - 75 * 5_00)
    assert account.held_value_paise == -75 * 100_00


def test_an_order_in_parts_pays_its_brokerage_once(rules: MarketRules) -> None:
    rates = rules.charge_rates("NFO", DAY)
    account = Account(1_00_000_00)
    parts = order(Side.BUY, 150, 100_00)
    for quantity in (75, 75):
        parts.filled_quantity += quantity
        parts.filled_value_paise += quantity * 100_00
        account.apply_fill(parts, quantity, 100_00, rates)
    assert account.charges_paise == order_charges(rates, Side.BUY, 150 * 100_00).total_paise


def test_a_live_buy_blocks_its_premium_and_a_covered_sale_blocks_nothing(rules: MarketRules) -> None:
    account = Account(1_00_000_00)
    filler(account, rules)(Side.BUY, 150, 100_00)
    buy, sale, more = order(Side.BUY, 75, 90_00), order(Side.SELL, 150, 120_00), order(Side.SELL, 75, 120_00)
    assert account.blocked_paise([buy]) == 75 * 90_00
    assert account.blocked_paise([sale]) == 0
    assert account.blocked_paise([sale, more]) == 75 * 24_500_00
    buy.status = Status.CANCELLED
    assert account.blocked_paise([buy]) == 0


def test_written_options_stay_covered_in_cash(rules: MarketRules) -> None:
    desk = bench(rules, cash_paise=50_00_000_00)
    desk.place("SELL", price=99)
    desk.wait()
    funds = desk.kite.margins("equity")
    assert desk.kite.positions()["net"][0]["quantity"] == -LOT
    assert funds["utilised"]["option_premium"] == pytest.approx(LOT * 24_500 - LOT * 99)


def test_margins_add_up(rules: MarketRules) -> None:
    desk = bench(rules)
    desk.bought()
    desk.place(price=90)
    charges = order_charges(rules.charge_rates("NFO", DAY), Side.BUY, LOT * 100_00).total_paise / 100
    funds = desk.kite.margins("equity")
    used = funds["utilised"]
    assert used["option_premium"] == LOT * 100 + LOT * 90
    assert used["debits"] == pytest.approx(used["option_premium"] - used["m2m_realised"] + charges)
    assert funds["net"] == funds["available"]["live_balance"] == pytest.approx(3_00_000 - used["debits"])
    assert desk.kite.margins()["commodity"]["net"] == 0


def test_positions_split_what_is_booked_from_what_is_open(rules: MarketRules) -> None:
    desk = bench(rules, ((0, 99_00, 100_00), (NOON + 5_000, 119_00, 120_00)))
    desk.bought(2 * LOT)
    desk.until(NOON + 5_000)
    desk.place("SELL", price=110)
    desk.wait()
    (row,) = desk.kite.positions()["net"]
    assert (row["quantity"], row["average_price"], row["last_price"]) == (LOT, 100.0, 119.5)
    assert (row["realised"], row["unrealised"]) == (LOT * 19, LOT * 19.5)
    assert row["pnl"] == row["m2m"] == row["realised"] + row["unrealised"]
    assert row["value"] == row["sell_value"] - row["buy_value"] == LOT * 119 - 2 * LOT * 100
    desk.place("SELL", price=110)
    desk.wait()
    (row,) = desk.kite.positions()["day"]
    assert (row["quantity"], row["average_price"], row["unrealised"], row["pnl"]) == (0, 0, 0, 2 * LOT * 19)


CASH_PAISE = 10_00_000_00
LIVES = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "stop", "cancel", "cheaper", "dearer"]),
        st.integers(1, 12),
        st.integers(-40, 40),
        st.integers(20, 2_500),
    ),
    min_size=5,
    max_size=20,
)


@given(steps=LIVES, seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_whatever_is_ordered_the_books_agree_and_nothing_fills_better_than_the_touch(
    rules: MarketRules, steps: list[tuple[str, int, int, int]], seed: int
) -> None:
    turns = ((0, 99_00), (5, 120_00), (15, 70_00), (30, 99_00))
    path = [(NOON + after_s * 1_000, bid, bid + 1_00) for after_s, bid in turns]
    desk = bench(rules, path, linear=True, jitter_ms=300, seed=seed, cash_paise=CASH_PAISE)
    exchange = desk.exchange
    desk.place(quantity=20 * LOT, price=101, product="NRML")
    desk.wait(400)
    for action, lots, offset, pause_ms in steps:
        price = f"{100 + offset * 0.5:.2f}"
        live = [row for row in exchange.orders() if row["status"] in ("OPEN", "TRIGGER PENDING")]
        form = {"exchange": "NFO", "tradingsymbol": desk.contract.tradingsymbol, "quantity": str(lots * LOT)}
        form |= {"product": "NRML", "validity": "DAY", "price": price, "order_type": "LIMIT"}
        if action in ("buy", "sell"):
            exchange.place(form | {"transaction_type": action.upper()})
        elif action == "stop":
            exchange.place(form | {"transaction_type": "SELL", "order_type": "SL", "trigger_price": price})
        elif live and action == "cancel":
            exchange.cancel(live[0]["order_id"])
        elif live:
            changed = {"price": price} | ({"trigger_price": price} if live[0]["order_type"] == "SL" else {})
            exchange.modify(live[0]["order_id"], changed)
        desk.wait(pause_ms)
    check_books(desk, rules)


def check_books(desk: Bench, rules: MarketRules) -> None:
    """Trades, orders, positions and cash of an exchange tell one story."""
    exchange = desk.exchange
    book = {row["order_id"]: row for row in exchange.orders()}
    rates = rules.charge_rates("NFO", DAY)
    values = dict.fromkeys(book, 0)
    filled = dict.fromkeys(book, 0)
    cash_paise = CASH_PAISE
    for trade in exchange.executions():
        touch = desk.source.quotes(np.array([trade.instrument.token]), trade.time_ms)[0]
        if trade.side is Side.BUY:
            assert trade.price_paise >= touch["ask_paise"][0] > 0
        else:
            assert 0 < trade.price_paise <= touch["bid_paise"][0]
        values[trade.order_id] += trade.price_paise * trade.quantity
        filled[trade.order_id] += trade.quantity
        cash_paise += trade.price_paise * trade.quantity * (1 if trade.side is Side.SELL else -1)
    blocked_paise = 0
    for order_id, row in book.items():
        assert row["filled_quantity"] == filled[order_id]
        if filled[order_id]:
            cash_paise -= order_charges(rates, Side(row["transaction_type"]), values[order_id]).total_paise
        if row["transaction_type"] == "BUY" and row["status"] not in TERMINAL:
            blocked_paise += row["pending_quantity"] * round(row["price"] * 100)
    assert round(exchange.margins("equity")["net"] * 100) == cash_paise - blocked_paise
    (held,) = [row["quantity"] for row in exchange.positions()["net"]] or [0]
    assert held == sum(trade.quantity * (1 if trade.side is Side.BUY else -1) for trade in exchange.executions()) >= 0
