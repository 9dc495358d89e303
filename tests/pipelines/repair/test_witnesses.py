"""The broker's candles bear witness in the evening: of contracts seen all day, against a history that is not whole."""

import json
from datetime import datetime

import polars as pl
import pytest
import requests

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.lake import Lake, read_lake, remove_lake
from g6_core.domain.ist import MINUTE_MS, to_ms
from g6_core.schema.options import OPTION_COLUMNS
from g6_pipelines.collection.candle_match import MATCH_COLUMNS, witnesses
from g6_pipelines.stages.reconcile_candles import priced_by_candles, reconcile_candles
from tests.pipelines.evening import DAY, DOWN_FROM, DOWN_UNTIL, NAME, Evening


def test_witnesses_are_asked_for_the_whole_session_and_agree_with_what_was_collected(after: Evening) -> None:
    assert after.repair() is not None
    answers = read_answers(after.paths.answers(DAY, NAME)).filter(pl.col("symbol") != "NIFTY 50")
    windows = answers.select("symbol", "from", "to").unique()
    session = after.source.session
    minutes = (pl.col("to") - pl.col("from")).dt.total_minutes() + 1
    assert windows.filter(minutes != (session.close_ms - session.open_ms) // MINUTE_MS).is_empty()
    lake = read_lake(after.paths.lake(DAY, NAME), MATCH_COLUMNS)
    assert witnesses(lake, after.settings.collection.witnesses, DAY) <= set(windows["symbol"])
    checks = reconcile_candles(after.paths, after.settings, after.rules, DAY, NAME)
    assert [(check.name, check.passed) for check in checks] == [
        (name, True) for name in ("candles_known", "candle_prices", "candle_volumes", "candle_open_interest")
    ]
    assert all(int(check.figures["compared"]) > 300 for check in checks[1:])


@pytest.mark.parametrize("stray", [0, 2], ids=["empty", "with two candles"])
def test_a_history_with_a_hole_where_volume_grew_is_no_answer_and_asked_again(after: Evening, stray: int) -> None:
    """The broker tells of hardly a trade while the collector was dead, and its own volumes before and after say
    otherwise."""
    inner = after.wire.inner

    def holed_history(request: requests.PreparedRequest, number: int) -> requests.Response:
        answer = inner.send(request)
        candles = answer.json()["data"]["candles"]
        inside = [one for one in candles if DOWN_FROM <= to_ms(datetime.fromisoformat(one[0])) < DOWN_UNTIL]
        kept = [one for one in candles if one not in inside[stray:]]
        answer._content = json.dumps({"status": "success", "data": {"candles": kept}}).encode()
        return answer

    after.wire.fault = holed_history
    report = after.repair()
    assert report is not None and report.asked.answered > 0
    found = after.account()
    assert not found.complete and found.repaired <= stray * report.asked.answered
    assert found.denied == found.open and "the broker's silence is not believed" in found.line()
    volumes = reconcile_candles(after.paths, after.settings, after.rules, DAY, NAME)[2]
    assert not volumes.passed and "volume grew by" in volumes.detail
    after.wire.fault = lambda request, number: None
    assert after.repair() is not None
    assert after.account().complete and after.account().repaired > 0
    calls = len(after.wire.times_ms)
    assert after.repair() is not None and len(after.wire.times_ms) == calls


@pytest.mark.parametrize(("cycles", "is_sound"), [(1, True), (12, False)])
def test_a_contract_that_is_priced_like_another_for_some_minutes_fails_the_chain(
    after: Evening, cycles: int, is_sound: bool
) -> None:
    """Of the busiest contract, in lake and CSV alike; a single stray price is named and stops nothing."""
    assert after.repair() is not None
    path = after.paths.lake(DAY, NAME)
    rows = read_lake(path)
    busiest = rows.sort("call_volume", descending=True, nulls_last=True)["call_symbol"][0]
    times = rows.filter((pl.col("call_symbol") == busiest) & (pl.col("call_status") == "live"))["timestamp"]
    strange = pl.col("timestamp").is_in(times[30 : 30 + cycles].implode()) & (pl.col("call_symbol") == busiest)
    priced = pl.when(strange).then(pl.col("call_ltp") * 0.3).otherwise("call_ltp").round(2).alias("call_ltp")
    changed = rows.with_columns(priced).with_columns(pl.col(pl.Datetime).dt.timestamp("ms"))
    remove_lake(path)
    with Lake.open(path, OPTION_COLUMNS) as lake:
        lake.append(changed.rows())
    found = priced_by_candles(after.paths, after.settings, after.rules, DAY, NAME)
    assert found.passed is is_sound
    prices = reconcile_candles(after.paths, after.settings, after.rules, DAY, NAME)[1]
    assert not prices.passed and f"{cycles} of" in prices.detail and busiest in prices.detail
    assert busiest in found.detail or is_sound
