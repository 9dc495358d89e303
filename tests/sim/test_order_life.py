"""The life of orders at the simulated exchange, through the real client."""

from datetime import time
from typing import Any

import pytest
from kiteconnect.exceptions import GeneralException, InputException, NetworkException

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.sim.scripted import Point
from g6_core.sim.venue import Latency
from tests.sim.kit import DAY, LOT, NOON, OPEN, Bench, bench

PLACED = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"]
CHANGED = ["MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED"]
CLOSE = at(DAY, time(15, 30))
FALL = ((OPEN, 99_00, 100_00), (NOON + 5_000, 80_00, 81_00))


def test_an_order_through_the_touch_completes_at_the_touch_after_its_latency(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(price=101)
    assert desk.statuses(order_id) == PLACED
    desk.wait(79)
    assert desk.statuses(order_id) == PLACED
    desk.wait(1)
    assert desk.statuses(order_id) == [*PLACED, "OPEN", "COMPLETE"]
    assert desk.fills(order_id) == [(LOT, 100.0)]
    assert desk.pushed() == [("COMPLETE", LOT)]


def test_an_order_sees_the_book_as_it_is_when_it_arrives(rules: MarketRules) -> None:
    desk = bench(rules, ((OPEN, 99_00, 100_00), (NOON + 50, 109_00, 110_00)))
    order_id = desk.place(price=120)
    desk.wait()
    assert desk.fills(order_id) == [(LOT, 110.0)]


def test_a_large_order_walks_the_depth_and_fills_in_parts(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(quantity=22 * LOT, price=101)
    desk.wait()
    assert desk.fills(order_id) == [(750, 100.0), (750, 100.05), (150, 100.1)]
    assert desk.last(order_id)["average_price"] == pytest.approx((750 * 100 + 750 * 100.05 + 150 * 100.1) / 1650, 1e-5)
    assert desk.pushed() == [("UPDATE", 750), ("UPDATE", 1500), ("COMPLETE", 1650)]


def test_the_rest_of_a_limit_order_waits_and_fills_at_its_own_price_each_second(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(quantity=20 * LOT, price=100)
    desk.wait()
    assert (desk.last(order_id)["status"], desk.last(order_id)["filled_quantity"]) == ("OPEN", 750)
    desk.until(NOON + 1_000)
    assert desk.fills(order_id) == [(750, 100.0), (750, 100.0)]
    assert desk.last(order_id)["status"] == "COMPLETE"


def test_the_rest_of_an_immediate_order_is_cancelled_with_what_it_got(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(quantity=20 * LOT, price=100, validity="IOC")
    desk.wait()
    row = desk.last(order_id)
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 750, 750)


def test_a_bid_below_the_market_waits_until_the_offer_comes_down_to_it(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    order_id = desk.place(price=90)
    desk.until(NOON + 4_999)
    assert desk.last(order_id)["status"] == "OPEN"
    desk.until(NOON + 5_000)
    assert desk.fills(order_id) == [(LOT, 90.0)]


def test_a_stop_waits_for_its_trigger_and_then_takes_the_bid(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=75, trigger_price=82)
    desk.wait()
    assert desk.last(stop)["status"] == "TRIGGER PENDING"
    desk.until(NOON + 5_000)
    assert desk.statuses(stop) == [*PLACED, "TRIGGER PENDING", "OPEN", "COMPLETE"]
    assert desk.fills(stop) == [(LOT, 80.0)]
    assert desk.pushed() == [("COMPLETE", LOT), ("OPEN", 0), ("COMPLETE", LOT)]


def test_a_stop_that_the_price_jumped_over_rests_until_the_price_comes_back(rules: MarketRules) -> None:
    path = (*FALL, (NOON + 9_000, 90_00, 91_00))
    desk = bench(rules, path)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=85, trigger_price=86)
    desk.until(NOON + 8_999)
    assert (desk.last(stop)["status"], desk.last(stop)["filled_quantity"]) == ("OPEN", 0)
    desk.until(NOON + 9_000)
    assert desk.fills(stop) == [(LOT, 85.0)]


def test_a_released_stop_outside_the_price_range_is_rejected(rules: MarketRules) -> None:
    desk = bench(rules, ((OPEN, 99_00, 100_00), (NOON + 65_000, 299_00, 300_00)))
    desk.bought()
    stop = desk.place("BUY", order_type="SL", price=120, trigger_price=110)
    high = desk.place("BUY", order_type="SL", price=144, trigger_price=142)
    desk.until(NOON + 65_000)
    assert desk.last(stop)["status"] == "OPEN"
    assert desk.last(high)["status"] == "REJECTED"
    assert desk.last(high)["status_message"].startswith("Price exceeds circuit limits")


@pytest.mark.parametrize(
    ("protection", "limit", "tags"), [(-1, 102.45, ["mktp", "mktp:3.00"]), (10, 109.45, ["mktp", "mktp:10.00"])]
)
def test_a_market_order_shows_as_the_protected_limit_it_became(
    rules: MarketRules, protection: int, limit: float, tags: list[str]
) -> None:
    desk = bench(rules)
    order_id = desk.place(order_type="MARKET", market_protection=protection)
    desk.wait()
    row = desk.last(order_id)
    assert (row["order_type"], row["price"], row["tags"], row["status"]) == ("LIMIT", limit, tags, "COMPLETE")
    assert desk.fills(order_id) == [(LOT, 100.0)]


def test_the_rest_of_a_market_order_stays_when_the_price_ran_away(rules: MarketRules) -> None:
    desk = bench(rules, ((OPEN, 99_00, 100_00), (NOON + 50, 119_00, 120_00)))
    order_id = desk.place(order_type="MARKET", market_protection=-1)
    desk.until(NOON + 5_000)
    row = desk.last(order_id)
    assert (row["status"], row["price"], row["filled_quantity"]) == ("OPEN", 102.45, 0)


@pytest.mark.parametrize(
    "market",
    [
        pytest.param({"silences": [(NOON - 61_000, NOON + 300_000)]}, id="the book is older than a minute"),
        pytest.param({"path": ((OPEN, 99_00, 0, 99_50),)}, id="nothing is offered"),
        pytest.param({"path": ((NOON + 3_600_000, 99_00, 100_00),)}, id="nothing is known"),
    ],
)
def test_nothing_fills_where_there_is_no_fresh_offer(rules: MarketRules, market: dict[str, Any]) -> None:
    desk = bench(rules, **market)
    order_id = desk.place(price=101)
    desk.until(NOON + 30_000)
    row = desk.last(order_id)
    assert (row["status"], row["filled_quantity"]) == ("OPEN", 0)


def test_two_orders_do_not_share_the_same_displayed_quantity(rules: MarketRules) -> None:
    desk = bench(rules, (Point(OPEN, 99_00, 100_00, ask_qty=LOT),))
    first, second = desk.place(price=100), desk.place(price=100)
    desk.wait()
    assert (desk.last(first)["status"], desk.last(second)["status"]) == ("COMPLETE", "OPEN")
    desk.until(NOON + 1_000)
    assert desk.last(second)["status"] == "COMPLETE"


def test_a_modification_takes_effect_when_it_arrives(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(price=90)
    desk.wait()
    desk.kite.modify_order("regular", order_id, quantity=2 * LOT, price=101)
    assert desk.last(order_id)["status"] == "MODIFY PENDING"
    desk.wait()
    assert desk.statuses(order_id) == [*PLACED, "OPEN", *CHANGED, "OPEN", "COMPLETE"]
    assert desk.fills(order_id) == [(2 * LOT, 100.0)]
    assert desk.last(order_id)["modified"] is True


def test_a_stop_becomes_a_limit_order_by_modification(rules: MarketRules) -> None:
    desk = bench(rules)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=75, trigger_price=80)
    desk.wait()
    desk.kite.modify_order("regular", stop, order_type="LIMIT", price=98)
    desk.wait()
    row = desk.last(stop)
    assert (row["status"], row["order_type"], row["trigger_price"]) == ("COMPLETE", "LIMIT", 0)
    assert desk.fills(stop) == [(LOT, 99.0)]


def test_a_stop_trails_by_modification_and_still_waits(rules: MarketRules) -> None:
    desk = bench(rules)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=75, trigger_price=80)
    desk.wait()
    desk.kite.modify_order("regular", stop, price=85, trigger_price=90)
    desk.wait()
    row = desk.last(stop)
    assert (row["status"], row["price"], row["trigger_price"]) == ("TRIGGER PENDING", 85, 90)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": 110, "trigger_price": 110}, "should be lower than the last traded price"),
        ({"price": 70, "trigger_price": 90}, "Stop limit order price range check failed"),
        ({"quantity": 2 * LOT}, "Insufficient funds"),
    ],
)
def test_a_refused_modification_leaves_the_order_as_it_was_and_says_why(
    rules: MarketRules, change: dict[str, Any], message: str
) -> None:
    desk = bench(rules)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=75, trigger_price=80)
    desk.wait()
    desk.kite.modify_order("regular", stop, **change)
    desk.wait()
    row = desk.last(stop)
    assert desk.statuses(stop)[-2:] == ["NOT MODIFIED", "TRIGGER PENDING"]
    assert message in row["status_message"]
    assert (row["quantity"], row["price"], row["trigger_price"], row["modified"]) == (LOT, 75, 80, False)


def test_a_fill_before_the_cancellation_arrives_wins(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    order_id = desk.place(price=90)
    desk.until(NOON + 4_950)
    desk.kite.cancel_order("regular", order_id)
    desk.wait()
    assert desk.statuses(order_id)[-2:] == ["CANCEL PENDING", "COMPLETE"]
    assert desk.pushed() == [("COMPLETE", LOT)]


def test_a_cancellation_that_arrives_first_wins(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    order_id = desk.place(price=90)
    desk.until(NOON + 4_900)
    desk.kite.cancel_order("regular", order_id)
    desk.wait()
    assert desk.statuses(order_id)[-2:] == ["CANCEL PENDING", "CANCELLED"]
    assert desk.last(order_id)["cancelled_quantity"] == LOT
    assert desk.pushed() == [("CANCELLED", 0)]


def test_a_fill_before_the_modification_arrives_wins(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    order_id = desk.place(price=90)
    desk.until(NOON + 4_950)
    desk.kite.modify_order("regular", order_id, price=70)
    desk.wait()
    assert desk.statuses(order_id)[-2:] == ["MODIFY PENDING", "COMPLETE"]


def test_a_stop_released_before_its_new_trigger_arrives_keeps_the_old_terms(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    desk.bought()
    stop = desk.place("SELL", order_type="SL", price=88, trigger_price=90)
    desk.until(NOON + 4_950)
    desk.kite.modify_order("regular", stop, price=94, trigger_price=95)
    desk.wait()
    assert desk.statuses(stop)[-3:] == ["MODIFY PENDING", "NOT MODIFIED", "OPEN"]
    row = desk.last(stop)
    assert (row["price"], row["status_message"]) == (88, "The stop has already been triggered.")


def test_a_stop_that_jumps_out_of_the_price_range_while_it_is_changed_is_rejected_afterwards(
    rules: MarketRules,
) -> None:
    desk = bench(rules, ((OPEN, 99_00, 100_00), (NOON + 65_000, 299_00, 300_00)))
    stop = desk.place(order_type="SL", price=144, trigger_price=142)
    desk.until(NOON + 64_950)
    desk.kite.modify_order("regular", stop, price=144.05)
    desk.wait(50)
    assert desk.last(stop)["status"] == "MODIFY PENDING"
    desk.wait()
    assert desk.statuses(stop)[-3:] == ["MODIFIED", "TRIGGER PENDING", "REJECTED"]


def test_a_quantity_that_fills_overtook_is_not_taken_over(rules: MarketRules) -> None:
    desk = bench(rules, (Point(OPEN, 99_00, 100_00, ask_qty=5 * LOT),))
    order_id = desk.place(quantity=20 * LOT, price=100)
    desk.until(NOON + 950)
    desk.kite.modify_order("regular", order_id, quantity=10 * LOT)
    desk.wait()
    row = desk.last(order_id)
    assert desk.statuses(order_id)[-2:] == ["NOT MODIFIED", "OPEN"]
    assert (row["quantity"], row["filled_quantity"]) == (20 * LOT, 10 * LOT)
    assert row["status_message"] == "The order was filled beyond the new quantity."


def test_an_order_in_transit_can_be_neither_modified_nor_cancelled(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(price=90)
    with pytest.raises(InputException, match=r"cannot be modified as it is being processed. Try later."):
        desk.kite.modify_order("regular", order_id, price=91)
    with pytest.raises(InputException, match=r"cannot be cancelled as it is being processed. Try later."):
        desk.kite.cancel_order("regular", order_id)


def test_the_twenty_sixth_modification_is_refused(rules: MarketRules) -> None:
    desk = bench(rules)
    order_id = desk.place(price=90)
    desk.wait()
    for count in range(25):
        desk.kite.modify_order("regular", order_id, price=80 + count / 4)
        desk.wait()
    with pytest.raises(NetworkException, match="Maximum allowed order modifications exceeded") as refused:
        desk.kite.modify_order("regular", order_id, price=90)
    assert refused.value.code == 400


@pytest.mark.parametrize("act", ["modify_order", "cancel_order"])
def test_an_order_that_is_over_or_unknown_cannot_be_touched(rules: MarketRules, act: str) -> None:
    desk = bench(rules)
    done = desk.bought()
    with pytest.raises(InputException, match="already complete"):
        getattr(desk.kite, act)("regular", done)
    with pytest.raises(GeneralException, match=r"Couldn't find that `order_id`."):
        getattr(desk.kite, act)("regular", "1")


def test_the_close_cancels_what_is_open_and_refuses_what_is_on_its_way(rules: MarketRules) -> None:
    desk = bench(rules, start_ms=CLOSE - 10_000)
    desk.exchange.advance(CLOSE - 10_000)
    resting = desk.place(price=90, product="NRML")
    stop = desk.place("BUY", order_type="SL", price=125, trigger_price=120, product="NRML")
    changing = desk.place(price=89, product="NRML")
    leaving = desk.place(price=88, product="NRML")
    desk.until(CLOSE - 50)
    desk.kite.modify_order("regular", changing, price=91)
    desk.kite.cancel_order("regular", leaving)
    late = desk.place(price=101, product="NRML")
    desk.until(CLOSE + 1_000)
    assert desk.statuses(resting)[-2:] == ["OPEN", "CANCELLED"]
    assert desk.statuses(stop)[-2:] == ["TRIGGER PENDING", "CANCELLED"]
    assert desk.statuses(changing)[-4:] == ["MODIFY PENDING", "NOT MODIFIED", "OPEN", "CANCELLED"]
    assert desk.statuses(leaving)[-2:] == ["CANCEL PENDING", "CANCELLED"]
    assert desk.statuses(late)[-2:] == ["OPEN PENDING", "REJECTED"]
    assert desk.exchange.trades() == []


@pytest.mark.parametrize("start_ms", [OPEN - 60_000, CLOSE])
def test_an_order_outside_the_session_is_rejected_by_the_broker(rules: MarketRules, start_ms: int) -> None:
    desk = bench(rules, start_ms=start_ms)
    order_id = desk.place(price=101, product="NRML")
    assert desk.statuses(order_id) == ["PUT ORDER REQ RECEIVED", "REJECTED"]
    assert "After Market Order" in desk.last(order_id)["status_message"]
    assert desk.pushed() == [("REJECTED", 0)]


def story(desk: Bench, step_ms: int) -> list[Any]:
    """A few orders in a moving market, and everything the broker says about them; time moves by steps."""

    def until(moment: int) -> None:
        for step in range(desk.clock.now_ms(), moment, step_ms):
            desk.until(step)
            desk.exchange.advance(step)
        desk.until(moment)

    desk.place(quantity=2 * LOT, price=101)
    until(NOON + 1_000)
    desk.place("SELL", order_type="SL", price=78, trigger_price=85)
    desk.place(quantity=15 * LOT, price=95)
    until(NOON + 20_000)
    view = [desk.exchange.orders(), desk.exchange.trades(), desk.exchange.margins(), desk.exchange.positions()]
    histories = [desk.exchange.order_history(row["order_id"]) for row in desk.exchange.orders()]
    return [*view, histories, desk.exchange.take_order_updates()]


def test_the_day_is_the_same_however_time_is_advanced(rules: MarketRules) -> None:
    first, second = (story(bench(rules, FALL, jitter_ms=400, seed=5), step) for step in (20_000, 70))
    assert len(first[1]) == 4
    assert first == second


def test_latency_is_drawn_from_the_seed_within_its_bounds(rules: MarketRules) -> None:
    arrivals = {}
    for seed in (1, 2):
        latency = Latency(80, 40, seed)
        arrivals[seed] = [latency.of(number) for number in range(200)]
        assert (min(arrivals[seed]), max(arrivals[seed])) == (80, 120)
    assert arrivals[1] != arrivals[2]
