"""Kite's HTTP routes over the simulated exchange, without any transport: a request in, a response out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from g6_core.sim.exchange import Exchange
from g6_core.sim.limits import Bucket
from g6_core.sim.refusals import KiteError, kite_error

JSON = "application/json"
CSV = "text/csv"

Query = Mapping[str, Sequence[str]]
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back to the client."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A matched request: the exchange, the parts of the path, the query (lists) and the form (last value wins)."""

    exchange: Exchange
    path: Mapping[str, str]
    query: Query
    form: Form

    def first(self, name: str) -> str:
        """First value of a query parameter, or ""."""
        return next(iter(self.query.get(name, ())), "")


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the API. `public` routes need no session."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Call], Any]
    bucket: Bucket = Bucket.OTHER
    public: bool = False
    places_order: bool = False


def _route(method: str, path: str, answer: Callable[[Call], Any], bucket: Bucket = Bucket.OTHER, **more: bool) -> Route:
    return Route(method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), answer, bucket, **more)


def _order_id(order_id: str) -> dict[str, str]:
    return {"order_id": order_id}


ROUTES: tuple[Route, ...] = (
    _route(
        "POST",
        "/session/token",
        lambda c: c.exchange.login(
            c.form.get("api_key", ""), c.form.get("request_token", ""), c.form.get("checksum", "")
        ),
        public=True,
    ),
    _route("DELETE", "/session/token", lambda c: c.exchange.logout(c.first("api_key"), c.first("access_token"))),
    _route("GET", "/user/profile", lambda c: c.exchange.profile()),
    _route("GET", "/user/margins", lambda c: c.exchange.margins()),
    _route("GET", "/user/margins/{segment}", lambda c: c.exchange.margins(c.path["segment"])),
    _route("GET", "/instruments", lambda c: c.exchange.instruments(), public=True),
    _route("GET", "/instruments/{exchange}", lambda c: c.exchange.instruments(c.path["exchange"]), public=True),
    _route("GET", "/quote", lambda c: c.exchange.quote(c.query.get("i", ())), Bucket.QUOTE),
    _route("GET", "/quote/ohlc", lambda c: c.exchange.ohlc(c.query.get("i", ())), Bucket.QUOTE),
    _route("GET", "/quote/ltp", lambda c: c.exchange.ltp(c.query.get("i", ())), Bucket.QUOTE),
    _route("GET", "/orders", lambda c: c.exchange.orders()),
    _route(
        "POST",
        "/orders/{variety}",
        lambda c: _order_id(c.exchange.place(c.form, c.path["variety"])),
        Bucket.ORDER,
        places_order=True,
    ),
    _route(
        "PUT",
        "/orders/{variety}/{order_id}",
        lambda c: _order_id(c.exchange.modify(c.path["order_id"], c.form)),
        Bucket.ORDER,
    ),
    _route(
        "DELETE",
        "/orders/{variety}/{order_id}",
        lambda c: _order_id(c.exchange.cancel(c.path["order_id"])),
        Bucket.ORDER,
    ),
    _route("GET", "/orders/{order_id}", lambda c: c.exchange.order_history(c.path["order_id"])),
    _route("GET", "/orders/{order_id}/trades", lambda c: c.exchange.order_trades(c.path["order_id"])),
    _route("GET", "/trades", lambda c: c.exchange.trades()),
    _route("GET", "/portfolio/positions", lambda c: c.exchange.positions()),
)


def handle(
    exchange: Exchange, method: str, path: str, query: Query, form: Form, headers: Mapping[str, str]
) -> Response:
    """Answer one request at the clock's time. `headers` has the Authorization header under that name.

    Errors become Kite's error bodies: 400 bad parameters, 403 session, 404 path, 405 method, 429 rate.
    """
    now_ms = exchange.clock.now_ms()
    exchange.advance(now_ms)
    try:
        route, parts = _find(method, path)
        if not exchange.limits.admit(route.bucket, now_ms, places_order=route.places_order):
            raise kite_error("too_many_requests")
        if not route.public:
            exchange.authorise(headers.get("Authorization", ""))
        data = route.answer(Call(exchange, parts, query, form))
    except KiteError as error:
        body = {"status": "error", "message": error.message, "error_type": error.error_type}
        return Response(error.http_status, JSON, msgspec.json.encode(body))
    if isinstance(data, bytes):
        return Response(200, CSV, data)
    return Response(200, JSON, msgspec.json.encode({"status": "success", "data": data}))


def _find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    known_path = False
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict()
        known_path = known_path or match is not None
    raise kite_error("no_method" if known_path else "no_route")
