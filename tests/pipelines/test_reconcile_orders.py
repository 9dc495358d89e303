"""A day traded on the simulated exchange reconciles to the paisa, and every single disagreement is found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from g6_core.adapters.ledger import Ledger
from g6_core.domain.calendar import MarketRules
from g6_core.domain.charges import order_charges
from g6_core.domain.checks import Check, failed
from g6_core.domain.ist import to_ms
from g6_core.domain.money import paise
from g6_core.domain.orders import Fill, Side
from g6_core.domain.records import FillRecord, OrderRecord, Purpose, Record, TradeRecord
from g6_pipelines.stages.reconcile_orders import reconcile_orders
from tests.sim.kit import DAY, LOT, NOON, OPEN, Bench, bench

ENTRY, EXIT, TRADE = "G6250829E00001", "G6250829X00002", "T1"
ALL = (
    "orders_known_to_both",
    "orders_equal",
    "fills_equal",
    "positions_flat",
    "gross_pnl_equal",
    "charges_equal",
    "net_pnl_adds_up",
)


@pytest.fixture
def traded(rules: MarketRules) -> Bench:
    """Twelve lots bought (ten at the touch, two a level deeper) and sold again after the market rose."""
    desk = bench(rules, [(OPEN, 99_00, 100_00), (NOON + 60_000, 104_00, 105_00)])
    desk.place(quantity=12 * LOT, price=110, tag=ENTRY)
    desk.until(NOON + 61_000)
    desk.place("SELL", quantity=12 * LOT, price=100, tag=EXIT)
    desk.wait(2_000)
    desk.place(quantity=LOT, price=90, tag="by hand")
    desk.wait()
    return desk


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


def orders_of(desk: Bench) -> list[OrderRecord]:
    """What an engine that believed every broker row would have written."""
    return [
        OrderRecord(
            tag=row["tag"],
            parent_tag="",
            trade_id=TRADE,
            decision_id="D1",
            purpose=Purpose.ENTRY if row["tag"] == ENTRY else Purpose.EXIT,
            order_id=row["order_id"],
            tradingsymbol=row["tradingsymbol"],
            token=row["instrument_token"],
            side=row["transaction_type"],
            order_type=row["order_type"],
            quantity=row["quantity"],
            filled_quantity=row["filled_quantity"],
            price_paise=paise(row["price"]),
            trigger_paise=0,
            average_paise=paise(row["average_price"]),
            status=row["status"],
            message="",
            sent_ms=NOON,
            updated_ms=NOON,
        )
        for row in desk.kite.orders()
        if row["tag"] in (ENTRY, EXIT)
    ]


def fills_of(desk: Bench) -> list[FillRecord]:
    tags = {row["order_id"]: row["tag"] for row in desk.kite.orders()}
    return [
        FillRecord(
            tags[row["order_id"]],
            Fill(
                trade_id=row["trade_id"],
                order_id=row["order_id"],
                token=row["instrument_token"],
                side=Side(row["transaction_type"]),
                quantity=row["quantity"],
                price_paise=paise(row["average_price"]),
                time_ms=to_ms(row["fill_timestamp"]),
            ),
        )
        for row in desk.kite.trades()
    ]


def trade_of(fills: Sequence[FillRecord], rules: MarketRules) -> TradeRecord:
    turnover = {
        side: sum(one.fill.quantity * one.fill.price_paise for one in fills if one.fill.side is side) for side in Side
    }
    rates = rules.charge_rates("NFO", DAY)
    charges = sum(order_charges(rates, side, amount).total_paise for side, amount in turnover.items())
    gross = turnover[Side.SELL] - turnover[Side.BUY]
    return TradeRecord(
        trade_id=TRADE,
        decision_id="D1",
        underlying="NIFTY",
        tradingsymbol="",
        token=fills[0].fill.token,
        quantity=12 * LOT,
        entry_ms=NOON,
        entry_paise=100_00,
        exit_ms=NOON + 61_000,
        exit_paise=104_00,
        exit_reason="take_profit_60pct",
        gross_pnl_paise=gross,
        charges_paise=charges,
        net_pnl_paise=gross - charges,
        high_water_mark_paise=104_00,
        low_water_mark_paise=100_00,
    )


def records_of(desk: Bench, rules: MarketRules) -> list[Record]:
    fills = fills_of(desk)
    return [*orders_of(desk), *fills, trade_of(fills, rules)]


def checks_of(desk: Bench, ledger: Ledger, rules: MarketRules) -> dict[str, Check]:
    return {check.name: check for check in reconcile_orders(desk.kite, ledger, rules, DAY)}


def test_a_day_in_the_ledger_as_the_broker_has_it_passes_every_check(
    traded: Bench, ledger: Ledger, rules: MarketRules
) -> None:
    records = records_of(traded, rules)
    ledger.write(records)
    checks = checks_of(traded, ledger, rules)
    assert tuple(checks) == ALL
    assert failed(checks.values()) == ()
    known = checks["orders_known_to_both"]
    assert known.figures == {"broker_orders": 3, "ledger_orders": 2, "foreign": 1}
    assert "foreign: " in known.detail
    gross = checks["gross_pnl_equal"].figures
    trade = records[-1]
    assert isinstance(trade, TradeRecord)
    assert gross["broker_paise"] == gross["ledger_paise"] == trade.gross_pnl_paise > 0
    assert len(fills_of(traded)) > 2, "the orders were filled in parts"


def test_a_day_without_orders_passes(rules: MarketRules, ledger: Ledger) -> None:
    checks = checks_of(bench(rules), ledger, rules)
    assert tuple(checks) == ALL
    assert failed(checks.values()) == ()


def order(records: list[Any], tag: str) -> int:
    return next(place for place, one in enumerate(records) if isinstance(one, OrderRecord) and one.tag == tag)


def fill(records: list[Any]) -> int:
    return next(place for place, one in enumerate(records) if isinstance(one, FillRecord))


def with_order(records: list[Any], tag: str, **fields: object) -> None:
    place = order(records, tag)
    records[place] = replace(records[place], **fields)


def with_trade(records: list[Any], **fields: object) -> None:
    records[-1] = replace(records[-1], **fields)


def with_fill(records: list[Any], **fields: object) -> None:
    place = fill(records)
    records[place] = replace(records[place], fill=replace(records[place].fill, **fields))


WRONG: dict[str, tuple[Callable[[list[Any]], object], dict[str, str]]] = {
    "an order the broker does not have": (
        lambda records: records.append(replace(records[0], tag="ghost", order_id="1", filled_quantity=0)),
        {"orders_known_to_both": "order ghost (1) is not in the broker's book"},
    ),
    "another status": (
        lambda records: with_order(records, ENTRY, status="OPEN"),
        {"orders_equal": f"order {ENTRY}: status COMPLETE at the broker, OPEN in the ledger"},
    ),
    "another average price": (
        lambda records: with_order(records, EXIT, average_paise=1),
        {"orders_equal": f"order {EXIT}: average paise "},
    ),
    "another order id": (
        lambda records: with_order(records, EXIT, order_id="77"),
        {"orders_equal": f"order {EXIT}: order id "},
    ),
    "another filled quantity": (
        lambda records: with_order(records, ENTRY, filled_quantity=LOT),
        {"orders_equal": f"order {ENTRY}: filled 900 at the broker, 75", "fills_equal": "fills add up to 900 of 75"},
    ),
    "a fill that is missing": (
        lambda records: records.pop(fill(records)),
        {"fills_equal": "is not in the ledger"},
    ),
    "a fill that never was": (
        lambda records: records.append(FillRecord(ENTRY, replace(records[fill(records)].fill, trade_id="9"))),
        {"fills_equal": f"ledger fill 9 of {ENTRY} is not at the broker"},
    ),
    "a fill at another price": (
        lambda records: with_fill(records, price_paise=99_95),
        {"fills_equal": "is not in the ledger"},
    ),
    "a trade still open": (
        lambda records: with_trade(records, exit_ms=0),
        {"positions_flat": "trade T1 is open"},
    ),
    "a profit one paisa off": (
        lambda records: with_trade(
            records, gross_pnl_paise=records[-1].gross_pnl_paise + 1, net_pnl_paise=records[-1].net_pnl_paise + 1
        ),
        {"gross_pnl_equal": "trade T1: "},
    ),
    "charges one paisa off": (
        lambda records: with_trade(
            records, charges_paise=records[-1].charges_paise - 1, net_pnl_paise=records[-1].net_pnl_paise + 1
        ),
        {"charges_equal": "trade T1: "},
    ),
    "a sum that does not add up": (
        lambda records: with_trade(records, net_pnl_paise=0),
        {"net_pnl_adds_up": "trade T1: net 0.00 is not gross minus charges"},
    ),
    "a trade that is missing": (
        lambda records: records.pop(),
        {"gross_pnl_equal": "0.00 in the ledger", "charges_equal": "0.00 in the ledger"},
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_disagreement_fails_its_checks_and_no_other(
    traded: Bench, ledger: Ledger, rules: MarketRules, case: str
) -> None:
    spoil, expected = WRONG[case]
    records: list[Any] = list(records_of(traded, rules))
    spoil(records)
    ledger.write(records)
    bad = {check.name: check for check in failed(checks_of(traded, ledger, rules).values())}
    assert bad.keys() == expected.keys()
    for name, said in expected.items():
        assert said in bad[name].detail
        assert bad[name].figures["problems"] >= 1  # type: ignore[operator]


def still_held(rules: MarketRules) -> tuple[Bench, list[Any]]:
    """Twelve lots bought and never sold, as the engine keeps them after the close."""
    desk = bench(rules, [(OPEN, 99_00, 100_00), (NOON + 60_000, 104_00, 105_00)])
    desk.place(quantity=12 * LOT, price=110, tag=ENTRY)
    desk.until(NOON + 61_000)
    fills = fills_of(desk)
    closed = trade_of(fills, rules)
    trade = replace(
        closed, tradingsymbol=desk.kite.orders()[0]["tradingsymbol"], exit_ms=0, exit_paise=0, exit_reason="",
        gross_pnl_paise=0, net_pnl_paise=-closed.charges_paise, open_quantity=12 * LOT, mark_paise=95_00, mark_ms=NOON,
    )  # fmt: skip
    return desk, [*orders_of(desk), *fills, trade]


def test_what_an_open_position_cost_is_no_loss(rules: MarketRules, ledger: Ledger) -> None:
    desk, records = still_held(rules)
    ledger.write(records)
    checks = checks_of(desk, ledger, rules)
    assert [check.name for check in failed(checks.values())] == ["positions_flat"]
    assert "marked at 95.00, no price since 12:00:00" in checks["positions_flat"].detail
    assert "open on both sides" in checks["gross_pnl_equal"].detail


def test_units_that_only_one_side_has_open_are_found(rules: MarketRules, ledger: Ledger) -> None:
    desk, records = still_held(rules)
    ledger.write([*records[:-1], replace(records[-1], open_quantity=LOT)])
    found = checks_of(desk, ledger, rules)["gross_pnl_equal"]
    assert not found.passed
    assert f"{12 * LOT} units open at the broker, {LOT} in the ledger" in found.detail


def test_a_tag_that_was_sent_twice_is_found(rules: MarketRules, ledger: Ledger) -> None:
    desk = bench(rules)
    for _ in range(2):
        desk.place(price=90, tag=ENTRY)
        desk.wait()
    ledger.write(orders_of(desk)[:1])
    assert "was sent 2 times" in checks_of(desk, ledger, rules)["orders_known_to_both"].detail


def test_a_position_that_is_still_held_is_named_with_its_size(rules: MarketRules, ledger: Ledger) -> None:
    desk = bench(rules)
    desk.place(price=110, tag=ENTRY)
    desk.wait()
    ledger.write([*orders_of(desk), *fills_of(desk)])
    check = checks_of(desk, ledger, rules)["positions_flat"]
    assert not check.passed
    assert check.detail == f"{desk.contract.tradingsymbol}: {LOT} units still held"


def test_many_problems_are_counted_and_the_first_five_named(rules: MarketRules, ledger: Ledger) -> None:
    desk = bench(rules)
    desk.place(price=110, tag=ENTRY)
    desk.wait()
    only = orders_of(desk)[0]
    ledger.write([only, *(replace(only, tag=f"ghost{number}", order_id=f"{number}") for number in range(7))])
    check = checks_of(desk, ledger, rules)["orders_known_to_both"]
    assert check.figures["problems"] == 7
    assert check.detail.count("ghost") == 5 and check.detail.endswith("and 2 more")
