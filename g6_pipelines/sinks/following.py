"""How a collection brings its copies up to date: after each cycle, for a bounded time, whatever their stores do."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

from g6_core.adapters.closeable import Closeable
from g6_core.domain.errors import G6Error

BUDGET_S: Final = 2.5
LAST_BUDGET_S: Final = 20.0
# A sink looks at its budget between two requests; one request more has to fit into the waiting.
_PATIENCE: Final = 1.2


class Sink(Protocol):
    """A copy of the lake in another store."""

    @property
    def name(self) -> str:
        """How people call the store."""
        ...

    def follow(self, budget_s: float) -> tuple[str, ...]:
        """Copy what the lake has and the copy lacks, oldest first, for about `budget_s` of the machine's time.

        A store that is away or refuses is no error: it is said (each thing once, in one line) and tried again in a
        later call.
        """
        ...

    def close(self) -> None:
        """Let go of connections and locks."""
        ...


class Sinks(Closeable):
    """The sinks of a collection, each with a thread of its own. Use as a context manager.

    A sink that does not come back in time (a name server that hangs, say) is left alone until it has; one that fails
    by a fault of its own is said and not asked again.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._opened = tuple(sinks)
        self._sinks = list(sinks)
        self._pools = {sink.name: ThreadPoolExecutor(1, thread_name_prefix=sink.name) for sink in self._sinks}
        self._busy: dict[str, Future[tuple[str, ...]]] = {}
        self.said: list[str] = []
        self._told = 0

    def follow(self, budget_s: float = BUDGET_S) -> None:
        """Let every sink follow, and hear what they have to say."""
        for sink in self._sinks:
            if sink.name not in self._busy:
                self._busy[sink.name] = self._pools[sink.name].submit(sink.follow, budget_s)
        wait(self._busy.values(), timeout=budget_s * _PATIENCE)
        for sink in tuple(self._sinks):
            self.said += self._outcome(sink)

    def news(self) -> tuple[str, ...]:
        """What was said since this was last asked."""
        told, self._told = self._told, len(self.said)
        return tuple(self.said[told:])

    def _outcome(self, sink: Sink) -> tuple[str, ...]:
        if not self._busy[sink.name].done():
            return ()
        outcome = self._busy.pop(sink.name)
        error = outcome.exception()
        if error is None:
            return outcome.result()
        self._sinks.remove(sink)
        what = str(error) if isinstance(error, G6Error) else f"{type(error).__name__}: {error}"
        return (f"{sink.name}: stopped for the rest of this run ({what}); the lake goes on and has everything",)

    def close(self) -> None:
        """Close all sinks; one that is still busy after a moment closes when it is done."""
        wait([self._pools[sink.name].submit(sink.close) for sink in self._opened], timeout=BUDGET_S)
        for pool in self._pools.values():
            pool.shutdown(wait=False)
