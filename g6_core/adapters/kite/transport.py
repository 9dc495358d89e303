"""The simulated exchange behind kiteconnect: no sockets, the client unmodified.

`connect` gives the client a session without what only a network needs (cookies, redirects, proxies): that costs more
than most answers. A client's own session works as well, with `SimTransport` mounted on it. Quotes and candles are
handed over as what their JSON would be read into: to write and to read it would be most of a cycle.
"""

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote_plus, unquote_plus, urlencode, urlsplit

import msgspec
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from g6_core.adapters.kite.client import KiteConnect, Reply
from g6_core.domain.ist import http_date
from g6_core.sim.exchange import Exchange
from g6_core.sim.kite_shapes import API_KEY, API_SECRET, REQUEST_TOKEN
from g6_core.sim.routes import Response, handle

KITE_ROOT = "https://api.kite.trade"

# The same few hundred keys of contracts are asked for all day.
_quoted = lru_cache(maxsize=4096)(quote_plus)
_unquoted = lru_cache(maxsize=4096)(unquote_plus)


class _Handed(Reply):
    """A reply that has the answer itself, until somebody reads or replaces its text."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self._answer = answer
        self._content: bytes | Literal[False] = False  # type: ignore[assignment] # as `requests` has it when unread

    @property
    def content(self) -> bytes:
        """As it would come on the wire."""
        if self._content is False:
            self._content = self._answer.body
        return self._content

    def json(self, **kwargs: Any) -> Any:
        """Return the answer's document."""
        return self._answer.document if self._content is False else super().json(**kwargs)


class SimTransport(BaseAdapter):
    """A `requests` adapter that answers from the exchange at the virtual time of the call.

    Mount it on a session for `KITE_ROOT`; the parameters of `send` other than the request mean nothing here.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one prepared request."""
        url = urlsplit(request.url or "")
        body = request.body or ""
        text = body.decode() if isinstance(body, bytes) else str(body)
        answer = handle(
            self._exchange,
            request.method or "",
            str(url.path),
            _values(str(url.query)),
            {name: values[-1] for name, values in _values(text).items()},
            request.headers,
            text.encode(),
        )
        response = _Handed(answer) if answer.fresh else Reply()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(
            {"Content-Type": answer.content_type, "Date": http_date(self._exchange.clock.now_ms())}
        )
        response.encoding = "utf-8"
        if not answer.fresh:
            response.raw = io.BytesIO(answer.body)
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is held open."""


class SimSession(requests.Session):
    """A session that sends a request of kiteconnect as it is: for an exchange in this process."""

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> requests.Response:
        """Send a request and return its answer; what concerns the network only means nothing here."""
        request = requests.PreparedRequest()
        request.method = method
        request.url = f"{url}?{_encoded(params)}" if params else url
        request.headers = CaseInsensitiveDict(headers or {})
        request.body = _encoded(data or {}) if json is None else msgspec.json.encode(json)
        request.hooks = self.hooks
        return self.send(request, stream=True, allow_redirects=False, proxies={})


def _encoded(values: Mapping[str, Any]) -> str:
    """As `requests` encodes them: a list once for each of its values, None not at all."""
    known = {name: value for name, value in values.items() if value is not None}
    return urlencode(known, doseq=True, quote_via=lambda text, *_: _quoted(text))


def _values(text: str) -> dict[str, list[str]]:
    """Each name of a query or form with its values, empty ones included."""
    found: dict[str, list[str]] = {}
    for part in text.split("&") if text else ():
        name, _, value = part.partition("=")
        found.setdefault(_unquoted(name), []).append(_unquoted(value))
    return found


def connect(exchange: Exchange) -> KiteConnect:
    """The real client, logged in to the simulated exchange."""
    kite = KiteConnect(API_KEY)
    kite.reqsession = SimSession()
    kite.reqsession.mount(KITE_ROOT, SimTransport(exchange))
    kite.generate_session(REQUEST_TOKEN, API_SECRET)
    return kite
