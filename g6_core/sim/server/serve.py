"""Running the served exchange: one port, one event loop, a clean end on SIGTERM, Ctrl+C or `POST /sim/stop`."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

import uvicorn

from g6_core.domain.errors import UserError
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.server.app import ExchangeApp
from g6_core.sim.server.pace import Flow, Lockstep
from g6_core.sim.server.sockets import Sockets
from g6_core.sim.server.world import World

HOST = "127.0.0.1"
GRACE_S = 1
# Longer than any pause of a client: a kept connection that ends under a request looks like a lost order.
KEEP_ALIVE_S = 3_600


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve. `speed` None is lockstep with the `participants`; `seconds` is the machine's monotonic clock."""

    port: int
    speed: float | None
    participants: tuple[str, ...]
    redirect_url: str
    seconds: Callable[[], float]


# uvicorn says this of every handshake that is refused with a status of its own, which is no mistake.
REFUSED_HANDSHAKE = "ASGI callable returned without completing handshake."


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would end the process with the signal instead of a clean 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one. Raises UserError when the port cannot be had."""
    # asyncio turns Nagle's algorithm off only on sockets that name TCP; with it each answer takes 40 ms of real time.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is in use; choose another with --port") from error
        raise UserError(f"port {port}: {error.strerror}; choose another with --port") from error
    return sock


def serve(exchange: Exchange, clock: VirtualClock, serving: Serving, on_ready: Callable[[str], None]) -> None:
    """Serve until told to stop; `on_ready` hears the address once requests are answered. Raises UserError."""
    sock = listen(serving.port)
    try:
        asyncio.run(_serve(exchange, clock, serving, sock, on_ready))
    finally:
        sock.close()


async def _serve(
    exchange: Exchange, clock: VirtualClock, serving: Serving, sock: socket.socket, on_ready: Callable[[str], None]
) -> None:
    stopping = asyncio.Event()
    # Signals are a process's: a server in a thread of another program ends by `POST /sim/stop` alone.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    world = World(exchange, clock)
    pace: Flow | Lockstep
    if serving.speed is None:
        pace = Lockstep(world, serving.participants, serving.seconds)
    else:
        pace = Flow(world, serving.speed, serving.seconds)
    sockets = Sockets(world, pace)
    config = uvicorn.Config(
        ExchangeApp(world, pace, sockets, serving.redirect_url, stopping),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        server_header=False,
        date_header=False,  # answers carry the time of the exchange
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg != REFUSED_HANDSHAKE)
    async with asyncio.TaskGroup() as tasks:
        serving_task = tasks.create_task(server.serve(sockets=[sock]))
        passing_task = tasks.create_task(pace.run())
        on_ready(f"http://{HOST}:{sock.getsockname()[1]}")
        await stopping.wait()
        passing_task.cancel()
        await sockets.close()
        server.should_exit = True
        await serving_task
        # Who was killed or does not read keeps a socket open, which the program that serves in a thread would inherit.
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
