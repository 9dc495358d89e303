"""What a served exchange must not forget when its process dies: a log of the day's order requests, and its replay.

Matching follows from the seed and from the requests with their times, so the requests are all that is kept: replayed,
they rebuild orders, trades, positions, funds and order ids. The file is JSON by line, only appended to:

    {"version": 1, "start_ms": .., "market": {..}}      what is served; a log of another market is refused
    [1795061480000, "place", {"variety": .., ..}]       a request, written before it is carried out
    [1795061481000]                                     time has come here; once for each second that was reached

A line that was torn by the death is cut off. Nothing is fsynced: this is made for a killed process, whose writes the
operating system keeps, not for a machine that loses power.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from g6_core.adapters.files import unwritable, write_all
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError, UserError
from g6_core.domain.ist import SECOND_MS, ist_clock
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.kite_shapes import Json
from g6_core.sim.refusals import KiteError
from g6_core.sim.source import MarketSource

VERSION = 1
Line = tuple[int, str, dict[str, Any]]


class ExchangeLog:
    """The file, with one writer; `lines` were found in it, `start_ms` is the time at which its day began."""

    def __init__(self, path: Path, lock: FileLock, start_ms: int, lines: list[Line]) -> None:
        self.start_ms = start_ms
        self.lines = lines
        self._path = path
        self._lock = lock
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    @classmethod
    def open(cls, path: Path, market: Mapping[str, object], start_ms: int) -> "ExchangeLog":
        """Open or create. UserError when another exchange writes it, DataError when it is damaged or of another day."""
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            text = path.read_bytes() if path.exists() else b""
            whole, newline, _ = text.rpartition(b"\n")
            if not newline:
                head = {"version": VERSION, "start_ms": start_ms, "market": dict(market)}
                path.write_bytes(msgspec.json.encode(head) + b"\n")
                return cls(path, lock, start_ms, [])
            os.truncate(path, len(whole) + 1)
            return cls(path, lock, *_read(path, whole, market))
        except Timeout:
            raise UserError(
                f"{path}: another exchange keeps its day there; end it, or choose another --state"
            ) from None
        except OSError as error:
            lock.release()
            raise unwritable(path, error) from error
        except DataError:
            lock.release()
            raise

    def append(self, *line: object) -> None:
        """Write one line. DataError when the disk does not take it; then nothing of it stays in the file."""
        size = os.fstat(self._descriptor).st_size
        try:
            write_all(self._descriptor, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Close the file and let another exchange have it."""
        os.close(self._descriptor)
        self._lock.release()


class KeptExchange(Exchange):
    """An exchange that writes a log and begins with what the log holds.

    The clock must stand at the log's `start_ms`; it is brought to the last time in the log.
    """

    def __init__(
        self, log: ExchangeLog, source: MarketSource, rules: MarketRules, clock: VirtualClock, **terms: int
    ) -> None:
        super().__init__(source, rules, clock, **terms)
        self._day_log: ExchangeLog | None = None
        self._noted_second = 0
        for time_ms, what, known in log.lines:
            clock.sleep_until(time_ms)
            with suppress(KiteError):
                self._repeat(what, known)
        super().advance(clock.now_ms())
        self.take_order_updates()  # pushed before the death, or lost with it, as on Kite
        self.continued = f"continued at {ist_clock(clock.now_ms())} with {len(self._log.orders)} orders"
        self._noted_second = clock.now_ms() // SECOND_MS
        self._day_log = log

    def _repeat(self, what: str, known: dict[str, Any]) -> None:
        match what:
            case "place":
                self.place(known["params"], known["variety"])
            case "place_sliced":
                self.place_sliced(known["params"], known["variety"])
            case "modify":
                self.modify(known["order_id"], known["params"])
            case "cancel":
                self.cancel(known["order_id"])
            case "session":
                self._logged_in = known["logged_in"]

    def _keep(self, what: str, **known: object) -> None:
        """Write a request; one that cannot be kept is not carried out."""
        if self._day_log is not None:
            try:
                self._day_log.append(self.clock.now_ms(), what, known)
            except DataError as error:
                raise KiteError(500, "GeneralException", str(error)) from error

    def advance(self, to_ms: int) -> None:
        """Process all arrivals, matching and the close up to a time, and note each second that was reached."""
        super().advance(to_ms)
        if to_ms // SECOND_MS > self._noted_second and self._day_log is not None:
            self._noted_second = to_ms // SECOND_MS
            # Without the note a restart begins a little earlier; a request that cannot be kept is refused.
            with suppress(DataError):
                self._day_log.append(to_ms)

    def login(self, api_key: str, request_token: str, checksum: str) -> Json:
        """As `Exchange.login`."""
        session = super().login(api_key, request_token, checksum)
        self._keep("session", logged_in=True)
        return session

    def logout(self, api_key: str, access_token: str) -> bool:
        """As `Exchange.logout`."""
        done = super().logout(api_key, access_token)
        self._keep("session", logged_in=False)
        return done

    def expire_session(self) -> None:
        """As `Exchange.expire_session`."""
        super().expire_session()
        self._keep("session", logged_in=False)

    def place(self, params: Mapping[str, str], variety: str = "regular") -> str:
        """As `Exchange.place`."""
        self._keep("place", params=dict(params), variety=variety)
        return super().place(params, variety)

    def place_sliced(self, params: Mapping[str, str], variety: str = "regular") -> Json:
        """As `Exchange.place_sliced`."""
        self._keep("place_sliced", params=dict(params), variety=variety)
        return super().place_sliced(params, variety)

    def modify(self, order_id: str, params: Mapping[str, str]) -> str:
        """As `Exchange.modify`."""
        self._keep("modify", order_id=order_id, params=dict(params))
        return super().modify(order_id, params)

    def cancel(self, order_id: str) -> str:
        """As `Exchange.cancel`."""
        self._keep("cancel", order_id=order_id)
        return super().cancel(order_id)


def _read(path: Path, whole: bytes, market: Mapping[str, object]) -> tuple[int, list[Line]]:
    """(start, lines) of a log. DataError when it is damaged or of another market."""
    head, *rest = whole.split(b"\n")
    try:
        known = msgspec.json.decode(head)
        version, start_ms, served = known["version"], int(known["start_ms"]), dict(known["market"])
        lines = [_line(one) for one in rest]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not the log of an exchange, or damaged ({error}); move it away") from error
    if version != VERSION:
        raise DataError(f"{path}: log version {version!r}, this program reads {VERSION}; move it away")
    if served != dict(market):
        differs = ", ".join(f"{name} {served.get(name)}" for name in market if served.get(name) != market[name])
        raise DataError(f"{path}: the log of another market ({differs}); serve that one, or choose another --state")
    return start_ms, lines


def _line(text: bytes) -> Line:
    time_ms, *more = msgspec.json.decode(text)
    what, known = more or ("", {})
    return int(time_ms), str(what), dict(known)
