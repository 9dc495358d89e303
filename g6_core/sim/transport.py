"""The simulated exchange behind kiteconnect's own `requests` session: no sockets, the client unmodified."""

import io
from collections.abc import Mapping
from urllib.parse import parse_qs, parse_qsl, urlsplit

import kiteconnect
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from g6_core.domain.ist import http_date
from g6_core.sim.exchange import Exchange
from g6_core.sim.kite_shapes import API_KEY, API_SECRET, REQUEST_TOKEN
from g6_core.sim.routes import handle

KITE_ROOT = "https://api.kite.trade"


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
            parse_qs(str(url.query), keep_blank_values=True),
            dict(parse_qsl(text, keep_blank_values=True)),
            request.headers,
            text.encode(),
        )
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(
            {"Content-Type": answer.content_type, "Date": http_date(self._exchange.clock.now_ms())}
        )
        response.encoding = "utf-8"
        response.raw = io.BytesIO(answer.body)
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is held open."""


def connect(exchange: Exchange) -> kiteconnect.KiteConnect:
    """The real client, logged in to the simulated exchange."""
    kite = kiteconnect.KiteConnect(API_KEY)
    kite.reqsession.trust_env = False
    kite.reqsession.mount(KITE_ROOT, SimTransport(exchange))
    kite.generate_session(REQUEST_TOKEN, API_SECRET)
    return kite
