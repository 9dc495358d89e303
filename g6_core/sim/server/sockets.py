"""The two WebSockets: Kite's ticker, and the clock of lockstep participants.

ws://HOST/?api_key=..&access_token=..      the ticker: `ticker.Ticker` says what is sent
ws://HOST/sim/clock?name=collector         the clock, JSON both ways; `&now=ms` of who has seen that time already:
    server {"now": ms, "speed": x}         at once, and whenever the asked time has come; speed 0 is lockstep
    client {"done_until": ms}              nothing to do before; hears when time is there
"""

import asyncio
import json
from contextlib import suppress

from fastapi import Response, WebSocket, WebSocketDisconnect

from g6_core.sim.refusals import KiteError
from g6_core.sim.server.faults import FaultKind
from g6_core.sim.server.pace import Pace
from g6_core.sim.server.ticker import Ticker
from g6_core.sim.server.world import World

CONNECTIONS_MAX = 3
GOING_AWAY, REFUSED, RESTARTS = 1001, 1008, 1012
MESSAGE_MAX = 1_000_000


class Sockets:
    """Serves both kinds of connection."""

    def __init__(self, world: World, pace: Pace) -> None:
        self._world = world
        self._pace = pace
        self._clocks: set[WebSocket] = set()

    async def ticker(self, socket: WebSocket) -> None:
        """One ticker connection from handshake to end."""
        self._pace.refresh()
        status = self._handshake_problem(socket)
        if status:
            await socket.send_denial_response(Response(status_code=status))
            return
        await socket.accept()
        source = self._world.exchange.source
        ticker = Ticker(source, lockstep=self._pace.lockstep, connected_ms=self._world.now_ms())
        self._world.tickers.append(ticker)
        reading = asyncio.create_task(self._read(socket, ticker))
        try:
            await self._write(socket, ticker)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            if ticker in self._world.tickers:
                self._world.tickers.remove(ticker)

    def _handshake_problem(self, socket: WebSocket) -> int:
        """HTTP status of a refused handshake, 0 when it is fine."""
        self._world.apply_faults()
        if self._world.faults.is_on(FaultKind.WS_DROP, self._world.now_ms()):
            return 503
        query = socket.query_params
        try:
            self._world.exchange.authorise(f"token {query.get('api_key', '')}:{query.get('access_token', '')}")
        except KiteError as error:
            return error.http_status
        return 403 if len(self._world.tickers) >= CONNECTIONS_MAX else 0

    async def _read(self, socket: WebSocket, ticker: Ticker) -> None:
        """Requests of the client; binary ones mean nothing to Kite."""
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("text") is not None:
                    self._pace.refresh()
                    now_ms = self._world.now_ms()
                    ticker.take(message["text"], now_ms, self._world.faults.ills(now_ms, ticker.connected_ms))
        finally:
            ticker.cut()

    async def _write(self, socket: WebSocket, ticker: Ticker) -> None:
        # A client that has gone is noticed by the reader too; what was on its way to it is lost.
        with suppress(WebSocketDisconnect, RuntimeError):
            while (message := await ticker.outbox.get()) is not None:
                await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message))
            await socket.close(RESTARTS)

    async def clock(self, socket: WebSocket) -> None:
        """One participant from handshake to end."""
        await socket.accept()

        async def send(text: str) -> None:
            # A participant that has gone leaves below, when its end is read.
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_text(text)

        try:
            query = socket.query_params
            participant = await self._pace.join(query.get("name", ""), send, _known_ms(query.get("now", "0")))
        except ValueError as error:
            await socket.close(REFUSED, str(error))
            return
        self._clocks.add(socket)
        try:
            while True:
                wake_ms = _done_until(await socket.receive_text())
                if wake_ms is None:
                    await socket.close(REFUSED, 'messages look like {"done_until": 1756439056000}')
                    return
                self._pace.wait(participant, wake_ms)
        except WebSocketDisconnect:
            return
        finally:
            self._clocks.discard(socket)
            self._pace.leave(participant)

    async def close(self) -> None:
        """End all connections."""
        for ticker in self._world.tickers:
            ticker.cut()
        for socket in list(self._clocks):
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.close(GOING_AWAY, "the exchange stops")


def _known_ms(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError("now is a time in milliseconds")
    return int(text)


def _done_until(text: str) -> int | None:
    try:
        value = json.loads(text)["done_until"]
    except (ValueError, TypeError, KeyError):
        return None
    return value if type(value) is int else None
