"""A session is not armed while the broker certainly holds less than the journal, however the products add up."""

from dataclasses import replace
from pathlib import Path

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.engine.holdings import SETTLE_MS, UNEXPLAINED_MS
from g6_stream.arming import reasons_not_to_arm
from tests.engine.driving import Driving, base_of


def test_a_position_converted_to_another_product_keeps_the_session_from_arming(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world = Driving(base_of(tmp_path, rules, settings))
    world.tick(1)
    world.quiet(2 + SETTLE_MS // 1000)
    assert reasons_not_to_arm(world.state, world.broker.book(world.now_ms)) == []
    ((token, quantity, _),) = world.broker.book(world.now_ms).positions or ()
    converted = ((token, 0, "MIS"), (token, quantity, "NRML"))
    for _ in range(UNEXPLAINED_MS // 1000 + 2):
        world.tick(1)
        world.take(replace(world.broker.book(world.now_ms), positions=converted))
    (trade,) = world.state.open_trades
    assert reasons_not_to_arm(world.state, replace(world.broker.book(world.now_ms), positions=converted)) == [
        f"the broker holds less of {trade.instrument.tradingsymbol} (MIS) than the journal"
    ]
