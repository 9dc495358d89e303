"""Ticks of a market source: what a feed makes of its quotes, priced without what no tick shows."""

from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import at
from g6_core.domain.market import ticks_of
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.recorded import RecordedSource
from tests.sim.test_nse_chain import DAY, chain, written


def moments(day: date) -> list[int]:
    """Before the open, at snapshots, between them, in a later silence and after the close."""
    whens = (time(9), time(9, 15), time(9, 20), time(9, 20, 31, 500_000), time(9, 21, 59), time(12), time(15, 40))
    return [at(day, when) for when in whens]


@pytest.mark.parametrize("kind", ["recorded", "modelled"])
def test_ticks_are_those_of_the_quotes_at_any_moment(kind: str, tmp_path: Path, rules: MarketRules) -> None:
    recorded = kind == "recorded"
    source = (
        RecordedSource(written(tmp_path, chain()), rules) if recorded else ModelledSource(("BANKNIFTY",), DAY, rules)
    )
    tokens = np.array([*[row.token for row in source.instruments][::7], 1], np.int64)
    priced = [(source.ticks(tokens, moment), ticks_of(source.quotes(tokens, moment))) for moment in moments(DAY)]
    assert all(ticks.tobytes() == expected.tobytes() for ticks, expected in priced)
    assert len(priced[0][0]) == 0 < len(priced[3][0]) < len(tokens)
    assert (priced[3][0]["bid_qty"] > 0).any()
