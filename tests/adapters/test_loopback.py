"""The WebSocket client without threads against the server of `websockets`."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.server import ServerConnection, serve

from g6_core.adapters.loopback import LoopbackSocket


@contextmanager
def served(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/clock?name=one"
        server.shutdown()
        thread.join(5)


def echo(peer: ServerConnection) -> None:
    for message in peer:
        peer.send(message)


def test_messages_go_both_ways_in_their_order() -> None:
    with served(echo) as url, closing(LoopbackSocket(url, timeout_s=5)) as client:
        for text in ("one", "zwei ₹", "x" * 70_000):
            client.send(text)
        assert [client.receive(5) for _ in range(3)] == ["one", "zwei ₹", "x" * 70_000]


def test_a_message_sent_with_the_handshake_is_not_lost() -> None:
    def greet(peer: ServerConnection) -> None:
        peer.send("hello")
        echo(peer)

    with served(greet) as url, closing(LoopbackSocket(url, timeout_s=5)) as client:
        assert client.receive(5) == "hello"


def test_silence_is_a_timeout_and_the_connection_stays_good() -> None:
    with served(echo) as url, closing(LoopbackSocket(url, timeout_s=5)) as client:
        with pytest.raises(TimeoutError):
            client.receive(0.02)
        client.send("still here")
        assert client.receive(5) == "still here"


def test_a_ping_is_answered_while_waiting() -> None:
    answered = []

    def ping(peer: ServerConnection) -> None:
        answered.append(peer.ping().wait(5))
        peer.send("done")

    with served(ping) as url, closing(LoopbackSocket(url, timeout_s=5)) as client:
        assert client.receive(5) == "done"
    assert answered == [True]


def test_the_reason_of_a_close_is_told_by_both_calls() -> None:
    def refuse(peer: ServerConnection) -> None:
        peer.close(1008, "the name is taken")

    with served(refuse) as url, closing(LoopbackSocket(url, timeout_s=5)) as client:
        for call in (lambda: client.receive(5), lambda: client.send("more"), lambda: client.receive(5)):
            with pytest.raises(ConnectionClosed) as caught:
                call()
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1008, "the name is taken")


def test_a_peer_that_dies_is_a_closed_connection() -> None:
    def die(peer: ServerConnection) -> None:
        peer.recv()
        peer.socket.shutdown(socket.SHUT_RDWR)

    with served(die) as url, closing(LoopbackSocket(url, timeout_s=5)) as client:
        client.send("go")
        with pytest.raises(ConnectionClosed):
            client.receive(5)


def test_somebody_who_speaks_no_websocket_is_a_failed_handshake() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(InvalidHandshake):
            LoopbackSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=5)
        thread.join(5)


def test_nobody_there_is_an_os_error() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OSError):
        LoopbackSocket(f"ws://127.0.0.1:{port}/", timeout_s=1)


def test_somebody_who_says_nothing_is_not_waited_for_without_end() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute, pytest.raises(TimeoutError):
        LoopbackSocket(f"ws://127.0.0.1:{mute.getsockname()[1]}/", timeout_s=0.05)
