"""Sinks beside a collection: however a store behaves, following it takes a bounded time and breaks nothing."""

import threading
from collections.abc import Callable
from time import monotonic

import pytest

from g6_core.domain.errors import DataError
from g6_pipelines.sinks.following import Sink, Sinks

BUDGET_S = 0.2


class Store:
    """A sink that does what a test wants of it."""

    name = "store"

    def __init__(self, act: Callable[[int], tuple[str, ...]]) -> None:
        self._act = act
        self.calls = 0
        self.closed = threading.Event()

    def follow(self, budget_s: float) -> tuple[str, ...]:
        assert budget_s == BUDGET_S
        self.calls += 1
        return self._act(self.calls)

    def close(self) -> None:
        self.closed.set()


def sinks_of(store: Sink) -> Sinks:
    return Sinks([store])


def test_what_a_sink_says_is_news_once_and_kept() -> None:
    store = Store(lambda call: (f"call {call}",) if call != 2 else ())
    with sinks_of(store) as sinks:
        heard = []
        for _ in range(3):
            sinks.follow(BUDGET_S)
            heard.append(sinks.news())
    assert heard == [("call 1",), (), ("call 3",)]
    assert sinks.said == ["call 1", "call 3"]
    assert store.closed.is_set()


def test_a_sink_that_does_not_come_back_is_left_alone_until_it_does() -> None:
    release = threading.Event()

    def act(call: int) -> tuple[str, ...]:
        if call == 1:
            release.wait(30)
        return (f"call {call}",)

    store = Store(act)
    with sinks_of(store) as sinks:
        began = monotonic()
        for _ in range(3):
            sinks.follow(BUDGET_S)
        assert monotonic() - began < 10, "it would come back after 30 s"
        assert (store.calls, sinks.said) == (1, [])
        release.set()
        sinks.follow(30 * BUDGET_S)
        assert sinks.said == ["call 1"]
        sinks.follow(BUDGET_S)
        assert sinks.said == ["call 1", "call 2"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("the disk is full"), "store: stopped for the rest of this run (the disk is full); the lake goes on"),
        (KeyError("x"), "store: stopped for the rest of this run (KeyError: 'x'); the lake goes on"),
    ],
)
def test_a_sink_with_a_fault_of_its_own_is_said_and_not_asked_again(error: Exception, said: str) -> None:
    def act(call: int) -> tuple[str, ...]:
        raise error

    store = Store(act)
    with sinks_of(store) as sinks:
        for _ in range(3):
            sinks.follow(BUDGET_S)
    assert store.calls == 1
    assert len(sinks.said) == 1
    assert sinks.said[0].startswith(said)
    assert store.closed.is_set()


def test_without_sinks_nothing_happens() -> None:
    with Sinks([]) as sinks:
        sinks.follow(BUDGET_S)
        assert sinks.news() == ()
