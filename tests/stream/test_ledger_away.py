"""A session whose ledger is in a database that dies: the trade goes on, and afterwards the ledger has all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from g6_core.adapters.ledger import Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import StoreDown
from g6_core.domain.money import paise
from g6_stream.trading import LEDGER_RETRY_MS
from tests.postgres import Postgres, serving_postgres
from tests.stream.test_outage import Held
from tests.stream.world import DAY, World

pytestmark = pytest.mark.slow


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    with serving_postgres() as server:
        yield server


@pytest.fixture
def held(
    tmp_path: Path, rules: MarketRules, settings: Settings, mortal: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Held]:
    world = World(tmp_path, rules, settings)
    world.crash()
    world.ledger.close()
    world.ledger = Ledger.open(mortal.new_database())
    held = Held(world, monkeypatch)
    world.run = world.start()
    yield held
    world.crash()
    world.ledger.close()


def sell(world: World, row: dict[str, object]) -> None:
    """The held contract leaps past its target, and the session gets out."""
    entry = paise(float(str(row["average_price"])))
    world.steer(row, lambda _: (int(entry * 1.7) // 5 * 5, int(entry * 1.7) // 5 * 5 + 5))
    assert world.advance(world.clock.now_ms() + 200_000, lambda: not world.positions()), "it was not sold"


def check_whole(world: World) -> None:
    """The ledger has what the broker has."""
    kept = world.ledger.day(DAY)
    assert {one.fill.trade_id for one in kept.fills} == {str(one["trade_id"]) for one in world.kite.trades()}
    assert {one.tag for one in kept.orders} == {one["tag"] for one in world.kite.orders()}
    assert [trade.exit_ms > 0 for trade in kept.trades] == [True]


def test_a_position_is_left_while_the_database_is_away_and_the_ledger_gets_every_fill_later(
    held: Held, mortal: Postgres
) -> None:
    world = held.world
    row = world.enter()
    mortal.kill()
    sell(world, row)
    held.later(120_000)
    said = [alert.text for alert in world.alerts if "start the database" in alert.text]
    assert len(said) == 1, "once an outage"
    mortal.start()
    held.later(LEDGER_RETRY_MS + 5_000)
    check_whole(world)


def test_an_end_without_the_database_is_an_error_and_the_next_start_brings_the_ledger_up(
    held: Held, mortal: Postgres
) -> None:
    world = held.world
    row = world.enter()
    mortal.kill()
    sell(world, row)
    held.later(5_000)
    with pytest.raises(StoreDown, match="start the database"):
        held.session.finish(world.clock.now_ms())
    world.crash()
    mortal.start()
    world.run = world.start()
    held.later(60_000)
    check_whole(world)
