"""Whose orders a journal holds: paper money is not taken for real, and every product of a contract counts."""

from pathlib import Path

import pytest

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.journal import read_journal
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.engine.state import EngineState
from g6_core.research.inputs import day_inputs
from g6_core.sim.feed import SimFeed
from g6_stream.arming import position_differences
from g6_stream.gateway import KiteGateway
from g6_stream.session import open_session
from tests.stream.world import DAY, World


def test_a_journal_goes_on_only_with_its_own_paper_account(
    rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    world = World(tmp_path, rules, settings)
    world.enter()
    world.advance(world.clock.now_ms() + 5_000)
    world.crash()
    path, account = world.paths.journal(DAY), world.paths.paper_account(DAY)
    records = len(list(read_journal(path)))
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    inputs = day_inputs(pack, rules, world.params)
    gateway = KiteGateway(world.kite, world.clock, inputs.book)
    known = (gateway, SimFeed(world.exchange), pack, inputs, world.params, world.paths, world.ledger)
    own = {row["order_id"]: row["tag"] for row in world.kite.orders()}
    first, second = own
    foreign = {
        f"order {first} is only in the journal": {},
        f"order {second} is only in the journal": {first: own[first]},
        "order 250829000000003 is only in the account": own | {"250829000000003": "STRANGE"},
    }
    for says, tags in foreign.items():
        with (
            pytest.raises(DataError, match=f"{account}: not the paper account of {path}, {says}; bring") as refusal,
            open_session(*known, world.clock.now_ms(), paper_tags=tags),
        ):
            pass
        assert "\n" not in str(refusal.value)
        assert len(list(read_journal(path))) == records, "nothing was added"
    with open_session(*known, world.clock.now_ms(), paper_tags=own) as (session, _):
        assert [trade.closed_ms for trade in session.state.open_trades] == [0]
    world.ledger.close()


def test_positions_of_all_products_of_a_contract_are_compared_together(
    rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    world = World(tmp_path, rules, settings)
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    state = EngineState.fresh(world.params, day_inputs(pack, rules, world.params))
    assert position_differences(state, ((7, 65, "MIS"), (7, -65, "NRML"))) == []
    found = position_differences(state, ((7, 195, "MIS"), (7, 65, "NRML")))
    assert found == ["position of token 7: broker has 260, journal 0"]
    world.ledger.close()
