"""What historical candles are read off: the series of every source says what its quotes say."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.sim.historical import Window, candles
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.recorded import RecordedSource
from g6_core.sim.scripted import ScriptedSource
from g6_core.sim.source import MarketSource, asked_one_by_one

DAY = date(2025, 8, 29)
FIELDS = ["token", "exchange_ms", "ltp_paise", "volume", "oi"]


@pytest.fixture(params=["recorded", "modelled", "scripted"])
def source(request: pytest.FixtureRequest, rules: MarketRules) -> MarketSource:
    if request.param == "recorded":
        shared: Path = request.getfixturevalue("shared_data")
        return RecordedSource(shared / "nse-chain-20250829" / "NIFTY.parquet", rules)
    if request.param == "modelled":
        return ModelledSource(("NIFTY",), DAY, rules, seed=3)
    open_ms = rules.session(DAY, "NFO").open_ms
    return ScriptedSource.of("NIFTY", DAY, rules, spot_path=((open_ms, 24_512_35),))


def test_a_series_says_what_the_quotes_say_at_each_moment(source: MarketSource) -> None:
    session, rows = source.session, source.instruments.rows
    # Before the open, the first minutes, a middle, and over the close; the index, the money, the edge, a foreigner.
    spans = (
        range(session.open_ms - 5 * SECOND_MS, session.open_ms + 5 * MINUTE_MS, SECOND_MS),
        range(session.open_ms + 180 * MINUTE_MS + 500, session.open_ms + 183 * MINUTE_MS, 7 * SECOND_MS),
        range(session.close_ms - MINUTE_MS, session.close_ms + MINUTE_MS, SECOND_MS),
    )
    traded = False
    for token in (rows[0].token, rows[len(rows) // 8].token, rows[len(rows) // 2].token, rows[-1].token, 1):
        for moments in spans:
            series, asked = source.series(token, moments)[FIELDS], asked_one_by_one(source, token, moments)[FIELDS]
            assert np.array_equal(series, asked), (token, moments)
            traded |= bool(series["volume"].any())
    assert traded


def test_what_a_record_shows_after_the_close_is_in_the_last_candle(shared_data: Path, rules: MarketRules) -> None:
    """Recorders pause over the close: the day's candles add up to its volume once the record shows it, not before."""
    path = shared_data / "kite-chain-2026q1" / "snapshots.parquet"
    source = RecordedSource(path, rules, date(2026, 1, 8), "NIFTY")
    options = [row for row in source.instruments if row.is_option][::7]
    tokens = np.array([row.token for row in options], np.int64)
    final = source.quotes(tokens, source.final_ms)["volume"]
    window = Window("minute", source.session.open_ms, source.session.close_ms, with_oi=True)

    def added_up(now_ms: int) -> list[int]:
        return [sum(int(one[5]) for one in candles(source, row, window, now_ms)) for row in options]

    assert added_up(source.final_ms) == final.tolist()
    early = np.array(added_up(source.final_ms - SECOND_MS))
    assert (early <= final).all() and early.sum() < final.sum()
