"""The served exchange as one ASGI application: Kite's routes, the login page, and `/sim/...` to steer it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from g6_core.domain.ist import utc_text
from g6_core.sim import routes
from g6_core.sim.refusals import kite_error
from g6_core.sim.server import login
from g6_core.sim.server.faults import FAULTS_MAX, Fault
from g6_core.sim.server.http import KiteHttp
from g6_core.sim.server.pace import Pace
from g6_core.sim.server.sockets import Sockets
from g6_core.sim.server.world import World

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class ExchangeApp:
    """The application. `POST /sim/stop` sets `stopping`; whoever runs the server ends it then.

    Kite's calls and the sockets, of which a day has a hundred thousand, pass by the framework's layers: they have one
    route each, and errors of their own.
    """

    def __init__(self, world: World, pace: Pace, sockets: Sockets, redirect_url: str, stopping: asyncio.Event) -> None:
        self._kite = KiteHttp(world, pace, stopping)
        self._sockets = {"/": sockets.ticker, "/sim/clock": sockets.clock}
        self._rest = _rest(world, pace, self._kite, redirect_url, stopping)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection or request."""
        path = scope.get("path", "")
        if scope["type"] == "websocket" and path in self._sockets:
            await self._sockets[path](WebSocket(scope, receive, send))
        elif scope["type"] == "http" and scope["method"] in METHODS and not path.startswith(("/sim/", "/connect/")):
            answer = await self._kite.answer(Request(scope, receive))
            await answer(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _rest(world: World, pace: Pace, kite: KiteHttp, redirect_url: str, stopping: asyncio.Event) -> FastAPI:
    """The login page, and what steers the exchange."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    _add_control(app, world, pace, kite, stopping)

    @app.exception_handler(RequestValidationError)
    async def bad_control_call(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse({"status": "error", "message": f"{where}: {first['msg']}"}, 400)

    async def log_in(request: Request) -> Response:
        if not login.is_known_app(request.query_params.get("api_key", "")):
            refused = routes.refusal(kite_error("bad_field", field="api_key"))
            return Response(refused.body, refused.status, {"Content-Type": refused.content_type})
        if request.method == "GET":
            return HTMLResponse(login.page(request.query_params["api_key"]))
        landing = login.landing(redirect_url, request.query_params.get("redirect_params", ""))
        return RedirectResponse(landing, 303)

    app.add_route("/connect/login", log_in, ["GET", "POST"])
    answer: Callable[[Request], Awaitable[Response]] = kite.answer
    app.add_route("/{path:path}", answer, METHODS)
    return app


def _add_control(app: FastAPI, world: World, pace: Pace, kite: KiteHttp, stopping: asyncio.Event) -> None:
    @app.get("/sim/status")
    async def status() -> dict[str, Any]:
        pace.refresh()
        source, now_ms = world.exchange.source, world.now_ms()
        return {
            "now_ms": now_ms,
            "now": utc_text(now_ms),
            "mode": pace.label,
            "source": source.label,
            "seed": world.exchange.seed,
            "spot_kind": getattr(source, "spot_kind", "index"),
            "touch": getattr(source, "touch_kind", "modelled"),
            "date": str(source.trade_date),
            "indices": source.underlyings,
            "open_ms": source.session.open_ms,
            "close_ms": source.session.close_ms,
            "final_ms": getattr(source, "final_ms", 0),
            "participants": [{"name": one.name, "done_until": one.wake_ms} for one in pace.participants],
            "tickers": [{"instruments": ticker.instruments} for ticker in world.tickers],
            "requests": kite.requests,
            "faults_fired": world.faults.fired,
        }

    @app.post("/sim/faults")
    async def order_faults(faults: Annotated[list[Fault], Body(max_length=FAULTS_MAX)]) -> dict[str, Any]:
        pace.refresh()
        world.faults.order(faults, world.now_ms())
        world.apply_faults()
        return {"ordered": len(faults), "now_ms": world.now_ms()}

    @app.delete("/sim/faults")
    async def clear_faults() -> dict[str, Any]:
        world.faults.clear()
        return {"ordered": 0, "now_ms": world.now_ms()}

    @app.post("/sim/stop")
    async def stop() -> dict[str, Any]:
        stopping.set()
        return {"stopping": True}
