"""An unmodified `KiteTicker` in a process of its own (Twisted's reactor runs once): one JSON line per callback.

python kite_ticker.py ws://127.0.0.1:PORT ACCESS_TOKEN ltp=1 quote=2,3 full=4      ends when stdin closes
"""

import json
import sys
from threading import Thread
from typing import Any

from kiteconnect import KiteTicker
from twisted.internet import reactor


def say(kind: str, **what: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **what}, default=str) + "\n")
    sys.stdout.flush()


def main() -> None:
    url, token, *modes = sys.argv[1:]
    pairs = [one.split("=") for one in modes]
    wanted = [(mode, [int(token) for token in tokens.split(",")]) for mode, tokens in pairs]
    ticker = KiteTicker("g6sim", token, root=url)

    def connected(socket: KiteTicker, _: Any) -> None:
        for mode, tokens in wanted:
            socket.subscribe(tokens)
            socket.set_mode(mode, tokens)
        say("connect")

    def message(_: KiteTicker, payload: bytes, binary: bool) -> None:
        if binary and len(payload) == 1:
            say("heartbeat")

    ticker.on_connect = connected
    ticker.on_message = message
    ticker.on_ticks = lambda _, ticks: say("ticks", ticks=ticks)
    ticker.on_order_update = lambda _, data: say("order", data=data)
    ticker.on_error = lambda _, code, reason: say("error", code=code, reason=str(reason))
    ticker.on_reconnect = lambda _, attempts: say("reconnect", attempts=attempts)

    def stop_with_stdin() -> None:
        sys.stdin.read()
        reactor.callFromThread(reactor.stop)

    Thread(target=stop_with_stdin, daemon=True).start()
    ticker.connect()


if __name__ == "__main__":
    main()
