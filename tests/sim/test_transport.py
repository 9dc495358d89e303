"""Kite's API over the simulated exchange: the real client, the official shapes, limits and errors."""

import json
from datetime import date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import GeneralException, InputException, NetworkException, TokenException

from g6_core.adapters.kite.transport import KITE_ROOT, SimTransport
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.domain.market import TICK
from g6_core.sim.limits import Bucket, RateLimiter
from g6_core.sim.routes import handle
from tests.sim.kit import DAY, EXPIRY, LOT, NOON, OPEN, STRIKE, Bench, bench

KEY = "NFO:NIFTY2590224500CE"
FALL = ((OPEN, 99_00, 100_00), (NOON + 5_000, 80_00, 81_00))
# Present only where they apply: lifetimes, auctions, tags, the terminal of the sender.
OPTIONAL = {"account_id", "validity_ttl", "tags", "auction_number", "terminal_id"}


def kinds(value: Any) -> Any:
    """The shape of a JSON value: keys and kinds; numbers are one kind, a list is known by its first element."""
    match value:
        case dict():
            return {key: kinds(inner) for key, inner in value.items()}
        case list():
            return [kinds(value[0])] if value else []
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


def mock(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "kiteconnect-mocks" / f"{name}.json").read_text(encoding="utf-8"))["data"]


def answer(desk: Bench, path: str, method: str = "GET", **query: str) -> Any:
    """The raw JSON reply of a route."""
    headers = {"Authorization": f"token g6sim:{desk.kite.access_token}"}
    response = handle(desk.exchange, method, path, {key: [value] for key, value in query.items()}, {}, headers)
    assert response.content_type == "application/json"
    return json.loads(response.body)["data"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/quote", {"i": [KEY, "NSE:NIFTY 50"]}),
        ("/quote/ohlc", {"i": [KEY]}),
        ("/quote/ltp", {"i": [KEY]}),
        (
            "/instruments/historical/{token}/minute",
            {"from": [f"{DAY} 09:15:00"], "to": [f"{DAY} 15:30:00"], "oi": ["1"]},
        ),
    ],
)
def test_what_is_handed_over_is_what_its_json_would_be_read_into(traded: Bench, path: str, query: Any) -> None:
    token = traded.exchange.source.instruments.by_key(KEY).token  # type: ignore[union-attr]
    headers = {"Authorization": f"token g6sim:{traded.kite.access_token}"}
    response = handle(traded.exchange, "GET", path.format(token=token), query, {}, headers)
    assert response.fresh and response.document["data"]
    assert repr(response.document) == repr(json.loads(response.body))


@pytest.fixture
def traded(rules: MarketRules) -> Bench:
    """A bench with a filled, an open and a rejected order."""
    desk = bench(rules)
    desk.bought()
    desk.place(price=90, tag="open one")
    desk.place(quantity=24 * LOT, price=130, tag="too dear")
    desk.wait()
    return desk


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("profile", "/user/profile"),
        ("margins", "/user/margins"),
        ("margins_equity", "/user/margins/equity"),
        ("trades", "/trades"),
        ("positions", "/portfolio/positions"),
        ("ltp", "/quote/ltp"),
        ("ohlc", "/quote/ohlc"),
        ("quote", "/quote"),
    ],
)
def test_replies_have_the_shape_of_the_official_samples(shared_data: Path, traded: Bench, name: str, path: str) -> None:
    sample, reply = mock(shared_data, name), answer(traded, path, i=KEY)
    if path.startswith("/quote"):
        sample, reply = sample["NSE:INFY"], reply[KEY]
    assert kinds(reply) == kinds(sample)


def test_the_session_reply_has_the_shape_of_the_official_sample(shared_data: Path, rules: MarketRules) -> None:
    desk = bench(rules)
    checksum = sha256(b"g6simg6simg6sim").hexdigest()
    reply = desk.exchange.login("g6sim", "g6sim", checksum)
    sample = mock(shared_data, "generate_session") | {"avatar_url": None}
    assert kinds(reply) == kinds(sample)


def test_orders_have_the_keys_and_kinds_of_the_official_samples(shared_data: Path, traded: Bench) -> None:
    samples = mock(shared_data, "orders")
    possible: dict[str, set[str]] = {}
    for sample in samples:
        for key, value in sample.items():
            possible.setdefault(key, set()).add(str(kinds(value)))
    for row in answer(traded, "/orders"):
        assert set(possible) - OPTIONAL <= set(row) <= set(possible)
        assert {key: kinds(value) for key, value in row.items() if str(kinds(value)) not in possible[key]} == {}


def test_a_history_and_an_order_s_trades_have_the_keys_of_the_official_samples(
    shared_data: Path, traded: Bench
) -> None:
    order_id = traded.exchange.orders()[0]["order_id"]
    history = answer(traded, f"/orders/{order_id}")
    assert {key for row in mock(shared_data, "order_info") for key in row} <= set(history[0])
    assert [row["status"] for row in history][-1] == "COMPLETE"
    assert kinds(answer(traded, f"/orders/{order_id}/trades")) == kinds(mock(shared_data, "order_trades"))


def test_a_pushed_update_has_the_keys_and_the_checksum_of_a_postback(shared_data: Path, traded: Bench) -> None:
    sample = json.loads((shared_data / "kiteconnect-mocks" / "postback.json").read_text(encoding="utf-8"))
    update = traded.exchange.take_order_updates()[0]
    assert set(update) == set(sample)
    signed = update["order_id"] + update["order_timestamp"] + "g6sim"
    assert update["checksum"] == sha256(signed.encode()).hexdigest()
    assert traded.exchange.take_order_updates() == []


def test_the_dump_parses_like_the_official_one(shared_data: Path, rules: MarketRules) -> None:
    desk = bench(rules)
    rows = desk.kite.instruments("NFO")
    header = (shared_data / "kiteconnect-mocks" / "instruments_all.csv").read_text(encoding="utf-8").splitlines()[0]
    assert list(rows[0]) == header.split(",")
    row = next(row for row in rows if row["tradingsymbol"] == "NIFTY2590224500CE")
    assert (row["expiry"], row["strike"], row["lot_size"], row["tick_size"]) == (EXPIRY, 24_500.0, LOT, 0.05)
    assert (row["name"], row["segment"], row["instrument_token"]) == ("NIFTY", "NFO-OPT", desk.contract.token)
    (index,) = desk.kite.instruments("NSE")
    assert (index["tradingsymbol"], index["name"], index["segment"]) == ("NIFTY 50", "NIFTY 50", "INDICES")
    assert (index["instrument_token"], index["expiry"]) == (256_265, "")
    assert len(desk.kite.instruments()) == len(rows) + 1


def test_times_reach_the_client_as_indian_wall_clock(traded: Bench) -> None:
    order = traded.kite.orders()[0]
    assert order["order_timestamp"] == datetime(2025, 8, 29, 12, 0, 0)  # noqa: DTZ001 (Kite's are naive IST)
    assert order["exchange_update_timestamp"] == "2025-08-29 12:00:00"
    assert traded.kite.trades()[0]["order_timestamp"] == "12:00:00"


def test_a_quote_is_what_the_source_says(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    desk.until(NOON + 7_000)
    quote = desk.kite.quote(KEY)[KEY]
    assert (quote["last_price"], quote["volume"], quote["oi"]) == (80.5, 9_907 * 2 * LOT, 20_000 * LOT)
    assert quote["depth"]["buy"][1] == {"price": 79.95, "quantity": 10 * LOT, "orders": 1}
    assert quote["depth"]["sell"][4] == {"price": 81.2, "quantity": 10 * LOT, "orders": 1}
    assert quote["timestamp"] == datetime(2025, 8, 29, 12, 0, 7)  # noqa: DTZ001 (Kite's are naive IST)
    assert (quote["ohlc"]["close"], quote["net_change"]) == (99.5, -19.0)
    assert quote["lower_circuit_limit"] < 80.5 < quote["upper_circuit_limit"]


def test_an_index_quote_has_prices_only(rules: MarketRules) -> None:
    quote = bench(rules).kite.quote("NSE:NIFTY 50")["NSE:NIFTY 50"]
    assert set(quote) == {"instrument_token", "timestamp", "last_price", "net_change", "ohlc"}
    assert quote["last_price"] == STRIKE / 100


def test_keys_that_are_unknown_or_without_data_are_missing_without_a_word(rules: MarketRules) -> None:
    desk = bench(rules, ((NOON + 60_000, 99_00, 100_00),))
    assert set(desk.kite.ltp(KEY, "NFO:NIFTY2590224550CE", "NFO:NOSUCH", "BSE:SENSEX")) == {"NFO:NIFTY2590224550CE"}


@pytest.mark.parametrize(("call", "most"), [("quote", 500), ("ohlc", 1_000), ("ltp", 1_000)])
def test_a_request_holds_so_many_instruments_and_no_more(rules: MarketRules, call: str, most: int) -> None:
    desk = bench(rules)
    names = [f"NFO:X{place}" for place in range(most)]
    assert getattr(desk.kite, call)(names) == {}
    desk.wait(1_000)
    with pytest.raises(InputException, match=f"at most {most} per request"):
        getattr(desk.kite, call)([*names, KEY])


def test_quotes_are_answered_once_a_second_of_virtual_time(rules: MarketRules) -> None:
    desk = bench(rules)
    desk.kite.quote(KEY)
    for call in (desk.kite.quote, desk.kite.ohlc, desk.kite.ltp):
        with pytest.raises(NetworkException, match="Too many requests") as refused:
            call(KEY)
        assert refused.value.code == 429
    desk.wait(1_000)
    assert desk.kite.ltp(KEY)


def test_an_eleventh_order_in_a_second_is_not_placed(rules: MarketRules) -> None:
    desk = bench(rules)
    for _ in range(10):
        desk.place(price=50)
    with pytest.raises(NetworkException) as refused:
        desk.place(price=50)
    assert refused.value.code == 429
    assert len(desk.exchange.orders()) == 10
    desk.wait(1_000)
    assert desk.place(price=50)


def test_orders_are_limited_by_the_minute_and_by_the_day() -> None:
    limiter = RateLimiter()
    accepted = [
        limiter.admit(Bucket.ORDER, at(DAY, time(9, 15)) + second * 1_000, places_order=True)
        for second in range(60)
        for _ in range(10)
    ]
    assert sum(accepted) == 400
    later = [limiter.admit(Bucket.ORDER, NOON + second * 1_000, places_order=True) for second in range(5_000)]
    assert sum(later) == 4_600
    assert limiter.admit(Bucket.ORDER, NOON + 6_000_000), "changes and cancellations do not count to the day"


def test_a_wrong_login_is_refused(rules: MarketRules) -> None:
    desk = bench(rules)
    for api_key, request_token, secret in (("me", "g6sim", "g6sim"), ("g6sim", "x", "g6sim"), ("g6sim", "g6sim", "x")):
        kite = KiteConnect(api_key)
        kite.reqsession.mount(KITE_ROOT, SimTransport(desk.exchange))
        with pytest.raises(TokenException) as refused:
            kite.generate_session(request_token, secret)
        assert refused.value.code == 403


def test_a_wrong_or_ended_session_is_refused(rules: MarketRules) -> None:
    desk = bench(rules)
    token = desk.kite.access_token
    desk.kite.set_access_token("wrong")
    with pytest.raises(TokenException, match=r"Incorrect `api_key` or `access_token`."):
        desk.kite.profile()
    desk.kite.set_access_token(token)
    assert desk.kite.invalidate_access_token() is True
    with pytest.raises(TokenException) as refused:
        desk.kite.orders()
    assert refused.value.code == 403
    assert len(desk.kite.instruments("NFO")) > 0, "the dump is public"
    desk.kite.generate_session("g6sim", "g6sim")
    assert desk.kite.access_token == token
    assert desk.kite.orders() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/gtt/triggers", 404), ("GET", "/", 404), ("PUT", "/trades", 405), ("DELETE", "/quote", 405)],
)
def test_other_paths_and_methods_are_refused(rules: MarketRules, method: str, path: str, status: int) -> None:
    response = handle(bench(rules).exchange, method, path, {}, {}, {})
    assert response.status == status
    assert json.loads(response.body)["error_type"] == "GeneralException"


def test_a_segment_that_does_not_exist_is_refused(rules: MarketRules) -> None:
    with pytest.raises(InputException, match=r"Invalid `segment`."):
        bench(rules).kite.margins("crypto")


def test_the_history_of_an_unknown_order_is_refused(rules: MarketRules) -> None:
    desk = bench(rules)
    for call in (desk.kite.order_history, desk.kite.order_trades):
        with pytest.raises(GeneralException, match=r"Couldn't find that `order_id`."):
            call("250829000000001")


def test_the_feed_gives_the_touch_of_what_is_known(rules: MarketRules) -> None:
    desk = bench(rules, FALL)
    index = desk.source.instruments.index("NIFTY")
    assert index is not None
    tokens = [desk.contract.token, 1, index.token]
    ticks = desk.exchange.ticks(np.array(tokens))
    assert ticks.dtype == TICK
    assert ticks["token"].tolist() == [desk.contract.token, index.token]
    assert ticks["ltp_paise"].tolist() == [99_50, STRIKE]


def test_the_access_token_and_order_ids_depend_on_day_and_seed_alone(rules: MarketRules) -> None:
    first, second, other = bench(rules, seed=1), bench(rules, seed=1), bench(rules, seed=2)
    assert first.kite.access_token == second.kite.access_token != other.kite.access_token
    assert first.place(price=90) == second.place(price=90) == f"{date(2025, 8, 29):%y%m%d}000000001"
