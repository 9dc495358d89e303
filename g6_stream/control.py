"""The control port: what the sidecar is doing, and a person's orders to it. HTTP on loopback, orders with a token."""

import hmac
import os
import secrets
import socket
import time
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from g6_core.domain.errors import ConfigError, DataError, UserError
from g6_core.domain.events import OperatorAction
from g6_core.domain.ist import utc_text
from g6_stream.loop import StatusBoard
from g6_stream.telemetry import Telemetry
from g6_stream.timers import Asked, Inbox

HOST = "127.0.0.1"
DEFAULT_PORT = 9103
# A person waits this long for his order to be in force; it is carried out in any case.
IN_FORCE_S = 2.0
# The loop leaves a status every second.
SILENT_LOOP_S = 5.0
ACTIONS = {"pause": OperatorAction.PAUSE, "resume": OperatorAction.ARM, "flatten": OperatorAction.FLATTEN}


def control_port() -> int:
    """`G6_CONTROL_PORT`, 9103 by default. Raises ConfigError."""
    text = os.environ.get("G6_CONTROL_PORT") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise ConfigError(f"G6_CONTROL_PORT={text}: not a port; write a number from 1 to 65535")
    return int(text)


def control_token(path: Path) -> str:
    """`G6_CONTROL_TOKEN`; without it a new one that only this user can read at `path`."""
    given = os.environ.get("G6_CONTROL_TOKEN", "")
    if given:
        return given
    token = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(token)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; choose a --data-dir you can write to") from error
    return token


def listen(port: int) -> socket.socket:
    """The listening socket of the control port. Raises UserError when somebody else has it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"control port {port}: {error.strerror}; end what listens there or set G6_CONTROL_PORT"
        ) from error
    return listener


def control_app(board: StatusBoard, telemetry: Telemetry, inbox: Inbox, token: str) -> FastAPI:
    """The HTTP application. No GET changes anything; orders go through the loop's one inbox."""
    app = FastAPI(title="G6 sidecar", docs_url=None, redoc_url=None)
    # Without it a page in the operator's browser could read the status under a name that resolves to loopback.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    heard = _Pulse(board)

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        """The process answers."""
        return {"alive": True}

    @app.get("/readyz")
    def readyz(response: Response) -> dict[str, Any]:
        """Whether it would enter now, else 503 and why not."""
        reasons = heard.reasons()
        response.status_code = 503 if reasons else 200
        return {"ready": not reasons, "reasons": reasons}

    @app.get("/status")
    def status() -> dict[str, Any]:
        """Mode, positions, orders, result, feed and journal."""
        newest = board.newest
        if newest is None:
            raise HTTPException(503, "starting")
        return {"time": utc_text(newest.time_ms)} | asdict(newest)

    @app.get("/metrics")
    def metrics() -> Response:
        """For Prometheus."""
        return Response(telemetry.page(), media_type="text/plain; version=0.0.4")

    @app.post("/{action}")
    def operate(action: str, response: Response, authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        """Pause, resume or flatten; 202 when it is not in force yet."""
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "the bearer token of the control port is needed", {"WWW-Authenticate": "Bearer"})
        if action not in ACTIONS:
            raise HTTPException(404, f"unknown; one of {', '.join(ACTIONS)}")
        asked = Asked(ACTIONS[action], f"{action} through the control port")
        inbox.put(asked)
        in_force = asked.done.wait(IN_FORCE_S)
        response.status_code = 200 if in_force else 202
        newest = board.newest
        return {"asked": action, "in_force": in_force, "mode": newest.mode if newest is not None else ""}

    return app


class _Pulse:
    """Notices when the loop leaves no new status."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._seen: tuple[object, float] = (None, time.monotonic())

    def reasons(self) -> list[str]:
        newest = self._board.newest
        if newest is None:
            return ["starting"]
        if newest is not self._seen[0]:
            self._seen = (newest, time.monotonic())
        silent_s = time.monotonic() - self._seen[1]
        stuck = [f"no word from the trading loop for {silent_s:.0f} s"] if silent_s > SILENT_LOOP_S else []
        return [*newest.reasons, *stuck]


class ControlServer:
    """Serves the application from a thread until it is closed."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = Thread(target=self._server.run, args=([listener],), name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end the thread."""
        self._server.should_exit = True
        self._thread.join(5)
        self._listener.close()
