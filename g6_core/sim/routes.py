"""Kite's HTTP routes over the simulated exchange, without any transport: a request in, a response out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from g6_core.sim.exchange import Exchange
from g6_core.sim.historical import Window
from g6_core.sim.limits import Bucket
from g6_core.sim.refusals import KiteError, kite_error

JSON = "application/json"
CSV = "text/csv"
# What the market shows is put together for each request.
MADE_ANEW = frozenset({Bucket.QUOTE, Bucket.HISTORICAL})

Query = Mapping[str, Sequence[str]]
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back to the client: bytes, or what is read from its JSON; `fresh` when nobody else has that object."""

    status: int
    content_type: str
    document: Any
    fresh: bool = False

    @property
    def body(self) -> bytes:
        """As it is on the wire."""
        return self.document if isinstance(self.document, bytes) else msgspec.json.encode(self.document)


@dataclass(frozen=True, slots=True)
class Call:
    """A matched request: the exchange, parts of the path, query (lists), form (last value wins), raw body."""

    exchange: Exchange
    path: Mapping[str, str]
    query: Query
    form: Form
    body: bytes

    def first(self, name: str) -> str:
        """First value of a query parameter, or ""."""
        return next(iter(self.query.get(name, ())), "")

    def json(self) -> Any:
        """The body of the few routes that take JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise kite_error("no_json") from None


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


def _place(call: Call) -> dict[str, Any]:
    if call.form.get("autoslice") == "true":
        return call.exchange.place_sliced(call.form, call.path["variety"])
    return _order_id(call.exchange.place(call.form, call.path["variety"]))


def _candles(call: Call) -> dict[str, Any]:
    texts = [call.first(name) for name in ("from", "to", "continuous", "oi")]
    token = call.path["token"]
    if not token.isdecimal():
        raise kite_error("bad_field", field="instrument_token")
    return call.exchange.candles(int(token), Window.of(call.path["interval"], *texts))


def _basket(call: Call) -> dict[str, Any]:
    # The client writes Python's True into the query.
    consider = call.first("consider_positions").lower() != "false"
    compact = call.first("mode") == "compact"
    return call.exchange.calculator().basket_margins(call.json(), consider_positions=consider, compact=compact)


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
        _place,
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
    # The account trades options only: it never holds a share.
    _route("GET", "/portfolio/holdings", lambda _: []),
    _route("GET", "/portfolio/holdings/auctions", lambda _: []),
    _route("GET", "/instruments/historical/{token}/{interval}", _candles, Bucket.HISTORICAL),
    _route("POST", "/margins/orders", lambda c: c.exchange.calculator().order_margins(c.json())),
    _route("POST", "/margins/basket", _basket),
    _route("POST", "/charges/orders", lambda c: c.exchange.calculator().contract_note(c.json())),
)


def handle(
    exchange: Exchange,
    method: str,
    path: str,
    query: Query,
    form: Form,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    limits_ms: int | None = None,
) -> Response:
    """Answer one request at the clock's time. `headers` has the Authorization header under that name.

    `body` is what a JSON route reads; `limits_ms` is the time that rate limits are counted in, the clock's by default.

    Errors become Kite's error bodies: 400 bad parameters, 403 session, 404 path, 405 method, 429 rate.
    """
    now_ms = exchange.clock.now_ms()
    exchange.advance(now_ms)
    try:
        route, parts = _find(method, path)
        counted_ms = now_ms if limits_ms is None else limits_ms
        if not exchange.limits.admit(route.bucket, counted_ms, places_order=route.places_order):
            raise kite_error("too_many_requests")
        if not route.public:
            exchange.authorise(headers.get("Authorization", ""))
        data = route.answer(Call(exchange, parts, query, form, body))
    except KiteError as error:
        return refusal(error)
    if isinstance(data, bytes):
        return Response(200, CSV, data)
    return Response(200, JSON, {"status": "success", "data": data}, route.bucket in MADE_ANEW)


def refusal(error: KiteError) -> Response:
    """Kite's error body."""
    body = {"status": "error", "message": error.message, "error_type": error.error_type}
    return Response(error.http_status, JSON, body)


def _find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    known_path = False
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict()
        known_path = known_path or match is not None
    raise kite_error("no_method" if known_path else "no_route")
