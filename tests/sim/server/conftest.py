"""One lockstep exchange for all tests of this folder; each test is the only participant while it runs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from g6_core.adapters.broker import open_kite
from g6_core.adapters.clock import SimClock
from tests.sim.server.kit import Address, Desk, money_contract, serving_here


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    """The exchange at ten o'clock, in lockstep."""
    with serving_here() as running:
        yield running


@contextmanager
def participant(server: Address) -> Iterator[SimClock]:
    """The clock of the only participant of a server without faults, when the rate limits of earlier tests are over."""
    server.call("DELETE", "/sim/faults")
    with closing(SimClock(server.url, "tests")) as clock:
        clock.sleep_until(clock.now_ms() + 2_000)
        yield clock


@pytest.fixture(scope="session")
def contract(server: Address) -> dict[str, Any]:
    """The contract that the tests trade."""
    with participant(server):
        return money_contract(open_kite(server.settings))


@pytest.fixture
def desk(server: Address, contract: dict[str, Any]) -> Iterator[Desk]:
    """A client with fresh rate limits and no faults."""
    with participant(server) as clock:
        yield Desk(server, clock, open_kite(server.settings), contract)
