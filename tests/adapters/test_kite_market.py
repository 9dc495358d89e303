"""Kite's market JSON in our units, and its failures sorted."""

import json
from datetime import date, datetime, time
from typing import Any

import pytest
import requests
from kiteconnect import KiteConnect
from requests.adapters import BaseAdapter

from g6_core.adapters.kite_market import (
    CallSpacing,
    MarketQuote,
    fetch_instruments,
    fetch_quotes,
    instruments_from_kite,
    stamp_ms,
)
from g6_core.domain.errors import DataError, Refused, TryLater
from g6_core.domain.ist import at, to_ms
from g6_core.sim.clock import VirtualClock
from tests.pipelines.collecting import OPEN, collecting

ROOT = "https://api.kite.trade"


class Canned(BaseAdapter):
    """Answers every request with one body, or fails as the network does."""

    def __init__(self, status: int = 200, body: str = "", content_type: str | None = "application/json",
                 error: Exception | None = None) -> None:  # fmt: skip
        super().__init__()
        self._status, self._body, self._content_type, self._error = status, body, content_type, error

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if self._error is not None:
            raise self._error
        response = requests.Response()
        response.status_code = self._status
        if self._content_type:
            response.headers["Content-Type"] = self._content_type
        response._content = self._body.encode()
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is held open."""


def client(**canned: Any) -> KiteConnect:
    kite = KiteConnect("key", access_token="token")
    kite.reqsession.mount(ROOT, Canned(**canned))
    return kite


def test_an_official_sample_quote_is_read_in_our_units(shared_data) -> None:
    body = (shared_data / "kiteconnect-mocks" / "quote.json").read_text()
    assert fetch_quotes(client(body=body), ["NSE:INFY"]) == {
        "NSE:INFY": MarketQuote(
            exchange_ms=at(date(2021, 6, 8), time(15, 45, 56)),
            ltp=1412.95,
            bid=None,
            ask=1412.95,
            bid_qty=0,
            ask_qty=5191,
            volume=7_360_198,
            oi=0,
            average_price=1412.47,
        )
    }


def test_quotes_agree_with_the_client_s_own_public_method(rules, settings, tmp_path) -> None:
    world = collecting(rules, settings, tmp_path, start_ms=OPEN + 3_600_000)
    keys = [row.kite_key for row in world.book.rows[:40]] + ["NFO:NOTHING"]
    ours = fetch_quotes(world.kite, keys)
    world.clock.sleep_until(world.clock.now_ms() + 1_000)
    theirs = world.kite.quote(keys)
    assert ours.keys() == theirs.keys() == set(keys[:40])
    for key, quote in theirs.items():
        # A scripted market stamps the second of the question, and theirs came a second later.
        assert to_ms(quote["timestamp"]) - ours[key].exchange_ms == 1_000
        assert (ours[key].ltp, ours[key].oi) == (quote["last_price"], quote.get("oi", 0))
        if "depth" in quote:
            assert ours[key].bid == (quote["depth"]["buy"][0]["price"] or None)


@pytest.mark.parametrize("text", ["2025-08-29 09:15:00", "2025-08-29 00:00:00", "2025-08-29 23:59:59"])
def test_stamps_are_ist(text: str) -> None:
    assert stamp_ms(text) == to_ms(datetime.fromisoformat(text))


@pytest.mark.parametrize("text", ["", "2025-08-29", "2025-08-29T09:15:00", "2025-08-29 09:15", "29-08-2025 09:15:00"])
def test_an_odd_stamp_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|unpack|invalid literal"):
        stamp_ms(text)


def error_body(error_type: str) -> str:
    return json.dumps({"status": "error", "message": "no", "error_type": error_type, "data": None})


@pytest.mark.parametrize(
    ("canned", "expected"),
    [
        ({"status": 429, "body": error_body("NetworkException")}, TryLater),
        ({"status": 503, "body": error_body("NetworkException")}, TryLater),
        ({"status": 504, "body": "<html>", "content_type": "text/html"}, TryLater),
        ({"status": 403, "body": error_body("TokenException")}, Refused),
        ({"status": 400, "body": error_body("InputException")}, Refused),
        ({"body": "{}", "content_type": None}, TryLater),
        ({"status": 500, "body": '{"status":"error"}'}, TryLater),
        ({"body": '{"status":"success","data":{"NFO:X":{"timestamp":"soon"}}}'}, TryLater),
        ({"error": requests.ReadTimeout()}, TryLater),
        ({"error": requests.ConnectionError()}, TryLater),
    ],
)
def test_failures_are_sorted_by_whether_to_try_again(canned: dict[str, Any], expected: type[Exception]) -> None:
    with pytest.raises(expected, match="quote of 1 instruments"):
        fetch_quotes(client(**canned), ["NFO:X"])


def test_a_refused_token_is_tried_again_only_by_a_client_that_logs_in_by_itself() -> None:
    kite = client(status=403, body=error_body("TokenException"))
    with pytest.raises(Refused, match="TokenException 403: no; log in again, set the new KITE_ACCESS_TOKEN and start"):
        fetch_quotes(kite, ["NFO:X"])
    hooked: list[bool] = []
    kite.set_session_expiry_hook(lambda: hooked.append(True))
    with pytest.raises(TryLater, match=r"TokenException 403: no$"):
        fetch_quotes(kite, ["NFO:X"])
    assert hooked == [True]


def test_a_dump_that_cannot_be_fetched_names_its_exchange() -> None:
    with pytest.raises(TryLater, match="instruments of NFO: NetworkException 503: no"):
        fetch_instruments(client(status=503, body=error_body("NetworkException")), "NFO")


LIST = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size"


@pytest.mark.parametrize(
    "body",
    [
        "<html>maintenance</html>\n<p>back soon</p>",
        f"{LIST}\n12,1,NIFTY26",
        f"{LIST}\n12,1,NIFTY26,NIFTY,0,2026-13-45,24000,0.05,75",
    ],
    ids=["a page", "cut off", "no date"],
)
def test_a_list_that_is_none_is_asked_for_again_and_then_an_error_of_the_broker(body: str) -> None:
    waited: list[float] = []
    with pytest.raises(TryLater, match=r"instruments of NFO: odd reply"):
        fetch_instruments(client(body=body, content_type="text/csv"), "NFO", waited.append)
    assert waited == [1.0, 2.0]


def test_the_simulated_dump_comes_back_as_the_book_it_was_made_from(rules, settings, tmp_path) -> None:
    world = collecting(rules, settings, tmp_path)
    rows = [row for exchange in ("NFO", "NSE") for row in fetch_instruments(world.kite, exchange)]
    book = instruments_from_kite(rows, rules, ["NIFTY"])
    assert sorted(book, key=lambda row: row.token) == sorted(world.book, key=lambda row: row.token)


def test_only_rows_of_the_wanted_underlyings_are_read(rules, settings, tmp_path) -> None:
    world = collecting(rules, settings, tmp_path)
    row = fetch_instruments(world.kite, "NFO")[0]
    others = [row | {"name": "NIFTYNXT50"}, row | {"segment": "NFO-FUT", "instrument_type": "FUT"}]
    assert len(instruments_from_kite(others, rules, ["NIFTY"])) == 0
    assert len(instruments_from_kite([row], rules, ["BANKNIFTY"])) == 0
    with pytest.raises(DataError, match="has the expiry 'soon'"):
        instruments_from_kite([row | {"expiry": "soon"}], rules, ["NIFTY"])
    for cell in ({"strike": float("nan")}, {"exchange_token": "x"}, {"tick_size": float("inf")}):
        with pytest.raises(DataError, match=rf"{row['tradingsymbol']}: .*; fetch the dump again"):
            instruments_from_kite([row | cell], rules, ["NIFTY"])
    for column in ("segment", "name", "exchange", "lot_size"):
        lacking = {name: value for name, value in row.items() if name != column}
        with pytest.raises(DataError, match=rf"KeyError '{column}'; fetch the dump again"):
            instruments_from_kite([lacking], rules, ["NIFTY"])


def test_calls_are_kept_a_second_apart() -> None:
    clock = VirtualClock(at(date(2025, 8, 29), time(9, 15)))
    spacing = CallSpacing(clock)
    assert spacing.due_ms() == clock.now_ms()
    spacing.spend()
    assert spacing.due_ms() == clock.now_ms() + 1_000
    clock.sleep_until(clock.now_ms() + 5_000)
    assert spacing.due_ms() == clock.now_ms()
