"""The unmodified `KiteConnect` over HTTP: session, market data, orders, calculators, history."""

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import InputException, NetworkException, TokenException

from tests.sim.server.kit import DAY, INDEX_TOKEN, Address, Desk, on, ticks, yesterday


def mock(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "kiteconnect-mocks" / f"{name}.json").read_text(encoding="utf-8"))["data"]


def asked(desk: Desk, side: str = "BUY", lots: int = 1, **more: Any) -> dict[str, Any]:
    """A row of a calculator's list."""
    fixed = {"exchange": "NFO", "tradingsymbol": desk.contract["tradingsymbol"], "variety": "regular"}
    return {
        **fixed,
        "transaction_type": side,
        "product": "MIS",
        "order_type": "LIMIT",
        "quantity": lots * desk.lot,
    } | more


def cheapest(desk: Desk) -> dict[str, Any]:
    """The option of the desk's expiry whose price is the lowest."""
    rows = [row for row in desk.kite.instruments("NFO") if row["expiry"] == desk.contract["expiry"]]
    rows = [row for row in rows if row["name"] == desk.contract["name"] and row["instrument_type"] == "CE"]
    return max(rows, key=lambda row: float(row["strike"]))


def test_an_order_is_placed_filled_and_seen_in_trades_and_positions(desk: Desk) -> None:
    ask = desk.quote()["depth"]["sell"][0]["price"]
    before = sum(row["quantity"] for row in desk.kite.positions()["net"])
    order_id = desk.place(desk.lot, ticks(ask * 1.05))
    desk.wait()
    assert desk.statuses(order_id)[-1] == "COMPLETE"
    fill = desk.kite.order_trades(order_id)[0]
    assert (fill["quantity"], fill["average_price"] <= ticks(ask * 1.05)) == (desk.lot, True)
    assert sum(row["quantity"] for row in desk.kite.positions()["net"]) == before + desk.lot


def test_a_resting_order_is_modified_and_cancelled(desk: Desk) -> None:
    low = ticks(desk.quote()["last_price"] * 0.8)
    order_id = desk.place(desk.lot, low)
    desk.wait()
    desk.kite.modify_order("regular", order_id, quantity=2 * desk.lot, price=low + 1)
    desk.wait()
    desk.kite.cancel_order("regular", order_id)
    desk.wait()
    changed = ["MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "OPEN"]
    assert desk.statuses(order_id)[3:] == ["OPEN", *changed, "CANCEL PENDING", "CANCELLED"]
    row = next(row for row in desk.kite.orders() if row["order_id"] == order_id)
    assert (row["quantity"], row["price"], row["cancelled_quantity"]) == (2 * desk.lot, low + 1, 2 * desk.lot)


def test_an_odd_lot_is_refused(desk: Desk) -> None:
    with pytest.raises(InputException, match="multiples of lot size") as refused:
        desk.place(desk.lot + 1, 100)
    assert refused.value.code == 400


def test_a_second_quote_call_in_a_second_is_too_many(desk: Desk) -> None:
    desk.kite.quote(desk.key)
    with pytest.raises(NetworkException, match="Too many requests") as refused:
        desk.kite.quote(desk.key)
    assert refused.value.code == 429
    desk.wait()
    assert desk.kite.quote(desk.key)


def test_while_nobody_can_move_time_limits_pass_with_the_wall_clock(server: Address) -> None:
    # Before the participants come and after they have gone, a job must be able to wait for its turn.
    kite = KiteConnect("g6sim", root=server.url)
    kite.reqsession.trust_env = False
    answered = 0
    for _ in range(10_000):
        try:
            kite.quote("NSE:NIFTY 50")
        except TokenException:
            answered += 1
        except NetworkException:
            continue
        if answered == 2:
            break
    assert answered == 2


def test_a_wrong_secret_and_a_wrong_token_are_refused(desk: Desk) -> None:
    with pytest.raises(TokenException, match="Invalid `checksum`"):
        KiteConnect("g6sim", root=desk.server.url).generate_session("g6sim", "wrong")
    stranger = KiteConnect("g6sim", access_token="wrong", root=desk.server.url)
    with pytest.raises(TokenException, match="Incorrect `api_key` or `access_token`") as refused:
        stranger.orders()
    assert refused.value.code == 403


def test_the_dump_travels_gzipped(desk: Desk) -> None:
    with desk.server.call("GET", "/instruments/NFO", stream=True) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert reply.headers["Content-Type"].startswith("text/csv")
        text = gzip.decompress(reply.raw.read()).decode()
    assert text.startswith("instrument_token,exchange_token,tradingsymbol")
    assert text.count("\n") == len(desk.kite.instruments("NFO")) + 1


def test_candles_agree_with_the_quote(desk: Desk) -> None:
    quote = desk.quote()
    asked_for = (desk.token, on(DAY, "09:15:00"), on(DAY, "15:40:00"))
    minutes = desk.kite.historical_data(*asked_for, "minute", oi=True)
    whole = desk.kite.historical_data(*asked_for[:1], on(DAY, "00:00:00"), asked_for[2], "day")
    quote = desk.kite.quote(desk.key)[desk.key]
    assert sum(candle["volume"] for candle in minutes) == quote["volume"] == whole[0]["volume"]
    assert (minutes[-1]["close"], minutes[-1]["oi"]) == (quote["last_price"], quote["oi"])
    assert max(candle["high"] for candle in minutes) == quote["ohlc"]["high"] == whole[0]["high"]
    assert minutes[0]["open"] == quote["ohlc"]["open"]
    assert minutes[0]["date"].isoformat() == f"{DAY}T09:15:00+05:30"
    assert minutes[-1]["date"].replace(tzinfo=None) <= quote["timestamp"]


def test_candles_of_an_index_and_of_another_day(desk: Desk) -> None:
    half = desk.kite.historical_data(INDEX_TOKEN, on(DAY, "09:15:00"), on(DAY, "09:59:00"), "15minute", oi=True)
    assert [(candle["date"].minute, candle["volume"], candle["oi"]) for candle in half] == [
        (15, 0, 0),
        (30, 0, 0),
        (45, 0, 0),
    ]
    assert all(candle["low"] <= candle["open"] <= candle["high"] for candle in half)
    assert (
        desk.kite.historical_data(INDEX_TOKEN, on(yesterday(), "09:15:00"), on(yesterday(), "15:00:00"), "minute") == []
    )


@pytest.mark.parametrize(
    ("interval", "from_text", "to_text", "message"),
    [
        ("minute", "2026-09-01 00:00:00", "2026-11-18 00:00:00", "interval exceeds max limit: 60 days"),
        ("60minute", "2025-09-01 00:00:00", "2026-11-18 00:00:00", "interval exceeds max limit: 400 days"),
        ("minute", "2026-11-18 10:00:00", "2026-11-18 09:00:00", "`from` cannot be after `to`"),
        ("2minute", "2026-11-18 09:00:00", "2026-11-18 10:00:00", "Invalid `interval`"),
        ("minute", "yesterday", "2026-11-18 10:00:00", "Invalid `from`"),
    ],
)
def test_what_a_call_for_candles_must_not_ask(
    desk: Desk, interval: str, from_text: str, to_text: str, message: str
) -> None:
    with pytest.raises(InputException, match=message) as refused:
        desk.kite.historical_data(INDEX_TOKEN, from_text, to_text, interval)
    assert refused.value.code == 400


def test_a_sliced_order_answers_with_parent_and_children(desk: Desk) -> None:
    bid = desk.quote()["last_price"]
    low = ticks(bid * 0.8)
    lots_of_freeze = 1_800 // desk.lot
    reply = desk.kite.place_autoslice_order(
        "regular",
        "NFO",
        desk.contract["tradingsymbol"],
        "BUY",
        (2 * lots_of_freeze + 1) * desk.lot,
        "MIS",
        "LIMIT",
        low,
    )
    # Two of the freeze quantity need more than the account has: the second is refused, the rest of a lot is not.
    first, second, third = reply["children"]
    assert second["error"]["error_type"] == "MarginException"
    assert set(second["error"]) == {"code", "error_type", "message", "data"}
    rows = {row["order_id"]: row for row in desk.kite.orders()}
    kept = [rows[child["order_id"]] for child in (first, third)]
    assert [row["quantity"] for row in kept] == [lots_of_freeze * desk.lot, desk.lot]
    assert {row["parent_order_id"] for row in kept} == {reply["order_id"]}
    desk.wait()
    for row in kept:
        desk.kite.cancel_order("regular", row["order_id"])


def test_every_slice_of_an_affordable_order_is_an_order_of_its_own(desk: Desk, shared_data: Path) -> None:
    sample = mock(shared_data, "autoslice_response")
    largest = 1_800 // desk.lot * desk.lot
    symbol, quantity = cheapest(desk)["tradingsymbol"], 2 * largest + desk.lot
    bought = desk.kite.place_autoslice_order("regular", "NFO", symbol, "BUY", quantity, "MIS", "LIMIT", 0.05, tag="one")
    assert set(bought) == set(sample)
    assert [set(child) for child in bought["children"]] == [{"order_id"}] * 3, "as the official sample's good children"
    ids = [child["order_id"] for child in bought["children"]]
    assert len({bought["order_id"], *ids}) == 4
    rows = {row["order_id"]: row for row in desk.kite.orders()}
    assert bought["order_id"] not in rows, "the parent is no order of its own"
    assert [rows[one]["quantity"] for one in ids] == [largest, largest, desk.lot]
    assert {(rows[one]["parent_order_id"], rows[one]["tag"]) for one in ids} == {(bought["order_id"], "one")}
    desk.wait()
    assert {row["status"] for row in desk.kite.orders() if row["order_id"] in ids} <= {"OPEN", "COMPLETE"}
    for row in desk.kite.orders():
        if row["order_id"] in ids and row["status"] == "OPEN":
            desk.kite.cancel_order("regular", row["order_id"])


@pytest.mark.parametrize(("lots", "message"), [(0.5, "multiples of lot size"), (1_000, "more than 10 slices")])
def test_what_cannot_be_sliced_is_refused_as_a_whole(desk: Desk, lots: float, message: str) -> None:
    with pytest.raises(InputException, match=message):
        desk.kite.place_autoslice_order(
            "regular", "NFO", desk.contract["tradingsymbol"], "BUY", int(lots * desk.lot), "MIS", "LIMIT", 100
        )


def test_a_small_order_needs_no_slices(desk: Desk) -> None:
    reply = desk.kite.place_autoslice_order(
        "regular", "NFO", desk.contract["tradingsymbol"], "BUY", desk.lot, "MIS", "LIMIT", 1
    )
    assert list(reply) == ["order_id"]


def test_margins_of_orders_and_baskets_have_the_official_shape(desk: Desk, shared_data: Path) -> None:
    rows = [asked(desk, price=100), asked(desk, "SELL", lots=50, price=100)]
    bought, sold = desk.kite.order_margins(rows)
    assert set(bought) == set(mock(shared_data, "order_margins")[0])
    assert bought["total"] == bought["option_premium"] == 100 * desk.lot
    assert sold["total"] == sold["span"] > 40 * desk.lot * desk.contract["strike"]
    basket = desk.kite.basket_order_margins([rows[0], asked(desk, "SELL", price=110)], consider_positions=False)
    sample = mock(shared_data, "basket_margins")
    assert (set(basket), set(basket["final"])) == (set(sample), set(sample["final"]))
    assert (basket["final"]["span"], basket["final"]["option_premium"]) == (0, -10 * desk.lot)
    assert desk.kite.basket_order_margins(rows, mode="compact")["orders"] == []


def test_the_contract_note_charges_the_rates_of_the_day(desk: Desk, shared_data: Path) -> None:
    rows = [asked(desk, side, average_price=100.0, order_id="x") for side in ("BUY", "SELL")]
    bought, sold = desk.kite.get_virtual_contract_note(rows)
    sample = mock(shared_data, "virtual_contract_note")[2]
    assert (set(bought), set(bought["charges"])) == (set(sample), set(sample["charges"]))
    assert (bought["charges"]["brokerage"], bought["charges"]["transaction_tax"]) == (20, 0)
    assert sold["charges"]["transaction_tax"] == round(100 * desk.lot * 0.0015, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda kite, row: kite.order_margins([]),
        lambda kite, row: kite.order_margins([row | {"quantity": 0}]),
        lambda kite, row: kite.order_margins([row | {"quantity": True}]),
        lambda kite, row: kite.order_margins([row | {"tradingsymbol": "NIFTY"}]),
        lambda kite, row: kite.order_margins([row | {"product": "BO"}]),
        lambda kite, row: kite.order_margins(["text"]),
        lambda kite, row: kite.get_virtual_contract_note([row | {"average_price": "much"}]),
        lambda kite, row: kite._post("order.margins", params={"not": "json"}),
    ],
)
def test_calculators_refuse_what_makes_no_sense(desk: Desk, call: Callable[[KiteConnect, dict[str, Any]], Any]) -> None:
    with pytest.raises(InputException) as refused:
        call(desk.kite, asked(desk, price=100))
    assert refused.value.code == 400


def test_the_login_page_sends_the_browser_back_with_a_request_token(desk: Desk) -> None:
    path = "/connect/login?v=3&api_key=g6sim&redirect_params=next%3Dhome%26id%3D7"
    page = desk.server.call("GET", path)
    assert '<form method="post">' in page.text
    sent_back = desk.server.call("POST", path)
    assert sent_back.status_code == 303
    target = "http://127.0.0.1:8766/?request_token=g6sim&action=login&type=login&status=success&next=home&id=7"
    assert sent_back.headers["Location"] == target
    refused = desk.server.call("GET", "/connect/login?v=3&api_key=<b>")
    assert (refused.status_code, refused.json()["message"]) == (400, "Invalid `api_key`.")


def test_the_session_carries_the_time_of_the_exchange(desk: Desk) -> None:
    session = desk.kite.generate_session("g6sim", "g6sim")
    assert isinstance(session["login_time"], datetime)
    assert session["login_time"].date() == DAY


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/instruments", "text/csv"),
        ("/instruments/NFO", "text/csv"),
        ("/user/profile", "application/json"),
        ("/nowhere", "application/json"),
    ],
)
def test_the_content_type_is_exactly_kites(desk: Desk, path: str, content_type: str) -> None:
    # The JavaScript client parses instruments only when nothing follows the type.
    reply = desk.server.call("GET", path, headers={"Authorization": f"token {desk.kite.api_key}:none"})
    assert reply.headers["Content-Type"] == content_type


def test_the_account_holds_no_shares(desk: Desk) -> None:
    assert desk.kite.holdings() == desk.kite.get_auction_instruments() == []
