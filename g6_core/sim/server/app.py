"""The served exchange as one ASGI application: Kite's routes, the login page, and `/sim/...` to steer it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

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


def build_app(world: World, pace: Pace, sockets: Sockets, redirect_url: str, stopping: asyncio.Event) -> FastAPI:
    """The application. `POST /sim/stop` sets `stopping`; whoever runs the server ends it then."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    kite = KiteHttp(world, pace, stopping)
    app.add_api_websocket_route("/", sockets.ticker)
    app.add_api_websocket_route("/sim/clock", sockets.clock)
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
