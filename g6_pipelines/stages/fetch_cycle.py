"""Fetches one cycle: the quotes of the indices and of their universes, in as few calls as the limit allows."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, MarketQuote, Turns, fetch_quotes, wait_for_turn
from g6_core.domain.errors import BrokerError, TryLater
from g6_core.ports import Clock
from g6_pipelines.collection.plan import IndexPlan
from g6_pipelines.collection.rows import Moment

ATTEMPTS_MAX = 3
CALLS_MAX = 30


@dataclass(slots=True)
class Fetched:
    """Quotes of one cycle so far and how they were got."""

    quotes: dict[str, MarketQuote] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    started_ms: int = 0
    ended_ms: int = 0
    calls: int = 0
    calls_failed: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def keys_missing(self) -> int:
        """Keys that were asked for and not in the replies."""
        return len(self.asked - self.quotes.keys())


def fetch_cycle(
    kite: KiteConnect, clock: Clock, turns: Turns, plans: Sequence[IndexPlan], moment: Moment
) -> Generator[int, None, Fetched]:
    """What a cycle could fetch; yields the next time (ms) at which to be resumed."""
    fetched = Fetched(started_ms=clock.now_ms())
    yield from _fetch(kite, clock, turns, plans, moment, fetched)
    fetched.ended_ms = clock.now_ms()
    return fetched


def _fetch(
    kite: KiteConnect,
    clock: Clock,
    turns: Turns,
    plans: Sequence[IndexPlan],
    moment: Moment,
    fetched: Fetched,
) -> Generator[int, None, None]:
    """Quotes of the indices and of their universes, in as few calls as the money allows.

    The indices go first: with their levels known, the other calls ask for the strikes of now, and an index that has
    moved to another strike costs a call only where the last one is full.
    """
    for _ in range(CALLS_MAX):
        wanted = [plan.index_key for plan in plans]
        wanted += [key for plan in plans for key in plan.contract_keys(fetched.asked, moment)]
        keys = [key for key in dict.fromkeys(wanted) if key not in fetched.asked]
        if not keys:
            break
        in_time = yield from _call(kite, clock, turns, keys[:QUOTE_KEYS_MAX], fetched, moment)
        if not in_time:
            break
        for plan in plans:
            # Without its index the money is read from the options, and from all of them that were asked for.
            if plan.index_key in fetched.quotes or fetched.asked.issuperset(plan.contract_keys(fetched.asked, moment)):
                plan.locate(fetched.quotes, moment)


def _call(
    kite: KiteConnect,
    clock: Clock,
    turns: Turns,
    keys: Sequence[str],
    fetched: Fetched,
    moment: Moment,
) -> Generator[int, None, bool]:
    """One quote call, repeated a few times where the broker asks for patience, never beyond its cycle.

    False when no turn came in the cycle's time: the next call would have none either.
    """
    fetched.asked.update(keys)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        problem = yield from wait_for_turn(clock, turns, moment.time_ms + moment.interval_ms)
        if problem:
            fetched.reasons.append(problem)
            return False
        turns.spend()
        fetched.calls += 1
        try:
            fetched.quotes.update(fetch_quotes(kite, keys))
            return True
        except TryLater as error:
            fetched.calls_failed += 1
            if attempt == ATTEMPTS_MAX:
                fetched.reasons.append(str(error))
        except BrokerError as error:
            fetched.calls_failed += 1
            fetched.reasons.append(str(error))
            return True
    return True
