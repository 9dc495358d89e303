"""kiteconnect's REST client and its errors, without its ticker unless somebody asks for that.

The package imports its ticker at once, and with it Twisted: a third of a second in each of our processes, which read
the feed by a codec of their own.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

import msgspec
import requests

TICKER = "kiteconnect.ticker"


def _without_ticker() -> ModuleType:
    """Import kiteconnect; its `KiteTicker` is imported at the first use of that name."""
    if "kiteconnect" in sys.modules:
        return sys.modules["kiteconnect"]
    stand_in = ModuleType(TICKER)
    stand_in.KiteTicker = None  # type: ignore[attr-defined]
    sys.modules[TICKER] = stand_in
    try:
        package = importlib.import_module("kiteconnect")
    finally:
        del sys.modules[TICKER]
    del package.KiteTicker

    def later(name: str) -> Any:
        if name != "KiteTicker":
            raise AttributeError(f"module 'kiteconnect' has no attribute {name!r}")
        return importlib.import_module(TICKER).KiteTicker

    package.__getattr__ = later  # type: ignore[method-assign]
    return package


_without_ticker()

from kiteconnect import KiteConnect, exceptions  # noqa: E402 - after the line above, which is what it is for

__all__ = ["KiteConnect", "Reply", "exceptions"]


class Reply(requests.Response):
    """A response whose JSON is read by msgspec, in half the time."""

    def json(self, **kwargs: Any) -> Any:
        """Return the body as JSON reads it; raises the error of `requests` when it is none."""
        try:
            return msgspec.json.decode(self.content)
        except msgspec.DecodeError:
            return super().json(**kwargs)
