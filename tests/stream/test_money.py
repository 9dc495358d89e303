"""Whose orders a journal holds: paper money is not taken for real, and every product of a contract counts."""

from dataclasses import replace
from pathlib import Path

import pytest

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.journal import Journal, read_header, read_journal
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


def test_paper_positions_end_with_their_process_and_the_next_one_says_so(
    rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    world = World(tmp_path, rules, settings)
    world.enter()
    world.advance(world.clock.now_ms() + 5_000)
    world.crash()
    path = world.paths.journal(DAY)
    records, header = list(read_journal(path)), read_header(path)
    path.unlink()
    paper, _ = Journal.open(path, replace(header, money="paper kite"))
    for record in records:
        paper.append(record.kind, record.time_ms, record.payload)
    paper.close()
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    inputs = day_inputs(pack, rules, world.params)
    gateway = KiteGateway(world.kite, world.clock, inputs.book)
    known = (gateway, SimFeed(world.exchange), pack, inputs, world.params, world.paths, world.ledger)
    with (
        pytest.raises(DataError, match="it leaves a paper position open, and paper money does not outlive its process"),
        open_session(*known, world.clock.now_ms(), money="paper kite"),
    ):
        pass
    assert len(list(read_journal(path))) == len(records), "nothing was added"
    world.ledger.close()


def test_positions_of_all_products_of_a_contract_are_compared_together(
    rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    world = World(tmp_path, rules, settings)
    pack = load_day_pack(world.paths.day_pack(DAY), day=DAY, config_sha256=world.params.config_sha256)
    state = EngineState.fresh(world.params, day_inputs(pack, rules, world.params))
    assert position_differences(state, ((7, 65), (7, -65))) == []
    assert position_differences(state, ((7, 195), (7, 65))) == ["position of token 7: broker has 260, journal 0"]
    world.ledger.close()
