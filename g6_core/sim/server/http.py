"""Kite's REST over HTTP: the routes of the exchange, and what faults make of their answers."""

import asyncio
import contextlib
import gzip
from collections.abc import Mapping
from urllib.parse import parse_qs, parse_qsl

from fastapi import Request, Response

from g6_core.domain.ist import http_date
from g6_core.sim import routes
from g6_core.sim.refusals import KiteError, kite_error
from g6_core.sim.server.faults import Fault, FaultKind
from g6_core.sim.server.pace import Pace
from g6_core.sim.server.world import World

BODY_MAX = 1_000_000
# A lost answer: clients give up after some seconds (kiteconnect: 7), the socket is not kept for ever.
NEVER_S = 60.0
ANSWERED_BADLY = frozenset(
    {
        FaultKind.HTTP_429,
        FaultKind.HTTP_5XX,
        FaultKind.HTML_BODY,
        FaultKind.MALFORMED_JSON,
        FaultKind.TIMEOUT_LOST,
    }
)
SLOW = frozenset({FaultKind.SLOW_MS})
WRONG_TIME = frozenset({FaultKind.CLOCK_OFF})
MISSING = frozenset({FaultKind.MISSING_KEYS})
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class KiteHttp:
    """Answers requests of the REST API. `stopping` ends the wait of answers that never come."""

    def __init__(self, world: World, pace: Pace, stopping: asyncio.Event) -> None:
        self.requests = 0
        self._world = world
        self._pace = pace
        self._stopping = stopping

    async def answer(self, request: Request) -> Response:
        """Answer one request at the time of the world."""
        response = await self._answer(request)
        response.headers["Date"] = self._date(request.method, request.url.path)
        return response

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        self.requests += 1
        self._pace.refresh()
        faults, method, path = self._world.faults, request.method, request.url.path
        if slow := faults.hit(SLOW, self._world.now_ms(), method, path):
            await self._wait(slow.delay_ms / 1000)
            self._pace.refresh()
        if bad := faults.hit(ANSWERED_BADLY, self._world.now_ms(), method, path):
            return await self._bad_answer(bad, request, body)
        return _packed(self._handle(request, body))

    def _date(self, method: str, path: str) -> str:
        """The time of the exchange as answers tell it; a fault makes it another."""
        now_ms = self._world.now_ms()
        off = self._world.faults.hit(WRONG_TIME, now_ms, method, path)
        return http_date(now_ms + (off.off_ms if off else 0))

    def _handle(self, request: Request, body: bytes) -> routes.Response:
        if len(body) > BODY_MAX:
            return routes.refusal(kite_error("bad_field", field="body"))
        path, now_ms = request.url.path, self._world.now_ms()
        query: Mapping[str, list[str]] = parse_qs(request.url.query, keep_blank_values=True)
        if "i" in query and (fault := self._world.faults.hit(MISSING, now_ms, request.method, path)):
            kept = [key for key in query["i"] if fault.keys and key not in fault.keys]
            query = {**query, "i": kept}
        text = body.decode("utf-8", "replace")
        answer = routes.handle(
            self._world.exchange,
            request.method,
            path,
            query,
            dict(parse_qsl(text, keep_blank_values=True)),
            {"Authorization": request.headers.get("Authorization", "")},
            body,
            limits_ms=self._pace.limits_ms(),
        )
        if not self._pace.lockstep:
            self._world.push_updates()
        return answer

    async def _bad_answer(self, fault: Fault, request: Request, body: bytes) -> Response:
        answer = self._handle(request, body) if fault.happens else None
        match fault.kind:
            case FaultKind.TIMEOUT_LOST:
                await self._wait(NEVER_S)
                return Response(status_code=504)
            case FaultKind.HTML_BODY:
                return Response(HTML, 502, _typed("text/html"))
            case FaultKind.MALFORMED_JSON:
                whole = answer.body if answer is not None else b'{"status":"success","data":{"order'
                return Response(whole[: len(whole) // 2], 200, _typed(routes.JSON))
            case FaultKind.HTTP_429:
                return _packed(routes.refusal(kite_error("too_many_requests")))
            case _:
                return _packed(routes.refusal(KiteError(fault.status, "NetworkException", "Gateway timed out")))

    async def _wait(self, seconds: float) -> None:
        """Wait in real time; the end of the server ends it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _packed(answer: routes.Response) -> Response:
    """Return the answer as it is sent; Kite sends its dump gzipped."""
    if answer.content_type != routes.CSV:
        return Response(answer.body, answer.status, _typed(answer.content_type))
    packed = gzip.compress(answer.body, mtime=0)
    return Response(packed, answer.status, {"Content-Encoding": "gzip", **_typed(routes.CSV)})


def _typed(content_type: str) -> dict[str, str]:
    """Return the header as Kite writes it: by a media type the framework would add a charset, and clients compare."""
    return {"Content-Type": content_type}
