"""What a run of hours tells Dagster on its way: it may be late or get lost, the run may not."""

import sys
from collections.abc import Callable
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Self

import dagster as dg

WAITING_MAX = 1_000
# Dagster tries for this long and longer to reach a storage that is away.
LAST_WORDS_S = 10.0
LOOK_EVERY_S = 0.1


class Told:
    """Messages and observations of one step, handed to Dagster by a thread: a cycle never waits for its storage.

    While that is away messages are dropped and counted; the count is said with the next one that arrives. Nothing is
    lost for good: cycles and coverage are in the lake and its log. Use it as a context manager.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._waiting: Queue[Callable[[], None]] = Queue(WAITING_MAX)
        self._ended = Event()
        self._dropped = 0
        self._thread = Thread(target=self._work, name="told", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(LAST_WORDS_S)

    def info(self, text: str) -> None:
        """A line of the run's log."""
        self._tell(lambda: self._context.log.info(text))

    def warning(self, text: str) -> None:
        """A line that somebody should read."""
        self._tell(lambda: self._context.log.warning(text))

    def observation(self, event: dg.AssetObservation) -> None:
        """Figures of a partition that is under way."""
        self._tell(lambda: self._context.log_event(event))

    def _tell(self, send: Callable[[], None]) -> None:
        try:
            self._waiting.put_nowait(send)
        except Full:
            self._dropped += 1

    def _work(self) -> None:
        while True:
            try:
                send = self._waiting.get(timeout=LOOK_EVERY_S)
            except Empty:
                if self._ended.is_set():
                    return
                continue
            try:
                send()
                if self._dropped:
                    self._context.log.warning(f"{self._dropped} messages were dropped: Dagster's storage was away")
                    self._dropped = 0
            except Exception as error:  # noqa: BLE001 - whatever the storage's driver says, the collection goes on
                self._dropped += 1
                sys.stderr.write(f"Dagster's storage is away, the collection goes on: {error}\n")
