"""A broker whose history is away says that nothing was traded: that is believed only where something shows it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import requests

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.sim.modelled import ModelledSource
from g6_pipelines.collection.accounting import DayAccount
from g6_pipelines.collection.candle_match import QUIET_MAX_MS, most_traded
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.candles import UNSHOWN
from g6_pipelines.stages.prepare import store_dump
from g6_pipelines.stages.repair import controls
from tests.pipelines.collecting import narrowed
from tests.pipelines.evening import DAY, NAME, Evening, Fault, evening, live_through, no_history

# The first call is the index's.
OPTIONS_FROM = 1


@pytest.fixture
def backfilled(market: ModelledSource, rules: MarketRules, small: Settings, tmp_path: Path) -> Evening:
    """A day of which nothing was collected, so that neither quotes nor a closing state object to anything."""
    found = evening(market, rules, narrowed(small, interval_s=900), tmp_path)
    found.clock.sleep_until(market.session.close_ms)
    store_dump(found.kite, rules, found.paths, DAY, (NAME,))
    return found


@pytest.fixture
def truth(backfilled: Evening, tmp_path: Path) -> DayAccount:
    """The day as a broker without faults tells it."""
    other = replace(backfilled, paths=replace(backfilled.paths, root=tmp_path / "other"))
    store_dump(other.kite, other.rules, other.paths, DAY, (NAME,))
    assert other.repair() is not None
    day = other.account()
    assert day.complete and day.repaired > 100
    backfilled.wire.times_ms.clear()
    return day


def nothing(request: requests.PreparedRequest, number: int) -> None:
    """No fault."""


def away(first: int, last: int) -> Fault:
    """The history is away from one call to another."""
    return lambda request, number: no_history(request) if first <= number <= last else None


def only(one: Evening, request: requests.PreparedRequest, is_kept: Callable[[str], bool]) -> requests.Response:
    """The true answer without the minutes (like 09:15) that are not kept."""
    answer = one.wire.inner.send(request)
    body = answer.json()
    body["data"]["candles"] = [candle for candle in body["data"]["candles"] if is_kept(candle[0][11:16])]
    answer._content = json.dumps(body).encode()
    return answer


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 10), (3, 8), (5, 5)])
def test_an_outage_within_a_run_is_asked_again(backfilled: Evening, truth: DayAccount, first: int, last: int) -> None:
    backfilled.wire.fault = away(first, last)
    report = backfilled.repair()
    assert report is not None
    assert (backfilled.account(), dict(report.asked.reasons)) == (truth, {})


def test_an_outage_of_the_whole_run_is_not_believed_when_a_later_run_was_killed_early(
    backfilled: Evening, truth: DayAccount
) -> None:
    backfilled.wire.fault = away(OPTIONS_FROM, 10_000)
    report = backfilled.repair()
    assert report is not None and report.asked.reasons[UNSHOWN] > 10
    assert backfilled.account().no_trade == backfilled.account().repaired == 0
    backfilled.wire.fault = nothing
    assert backfilled.repair(dies_after=len(backfilled.wire.times_ms) + 2) is None
    assert backfilled.account().no_trade < 50
    assert backfilled.repair() is not None
    assert backfilled.account() == truth


def test_an_index_without_a_candle_is_asked_again(backfilled: Evening, truth: DayAccount) -> None:
    backfilled.wire.fault = away(0, 0)
    report = backfilled.repair()
    assert report is not None and report.asked.reasons[UNSHOWN] == 1
    assert backfilled.account().expected == 0
    assert backfilled.repair() is not None
    assert backfilled.account() == truth


@pytest.mark.parametrize("until", ["11:00", "15:20"])
def test_an_index_that_falls_silent_long_before_its_stocks_is_asked_again(
    backfilled: Evening, truth: DayAccount, until: str
) -> None:
    """Where the money went afterwards is not known, and so is not which contracts were to be expected."""

    backfilled.wire.fault = lambda request, number: (
        only(backfilled, request, lambda minute: minute < until) if number == 0 else None
    )
    report = backfilled.repair()
    assert report is not None and report.asked.reasons[UNSHOWN] >= 1
    assert backfilled.repair() is not None
    assert backfilled.account() == truth


def test_a_halt_of_the_index_is_asked_about_once(after: Evening) -> None:
    """The collector was dead while the index had no candle either: whoever has the rest of the day has the history."""
    after.wire.fault = lambda request, number: (
        only(after, request, lambda minute: not "09:55" <= minute < "10:55") if number == 0 else None
    )
    report = after.repair()
    assert report is not None and (dict(report.asked.reasons), after.account().complete) == ({}, True)
    calls = len(after.wire.times_ms)
    assert after.repair() is not None
    assert len(after.wire.times_ms) == calls


def test_the_control_is_who_is_still_listed(after: Evening) -> None:
    """The contract that was traded most has expired since: the next one bears witness."""
    today = date(2025, 9, 3)
    accounted = account_day(after.paths, after.settings, after.rules, DAY, NAME)
    gone = {row.tradingsymbol for row in after.source.instruments if row.expiry is not None and row.expiry < today}
    listed = {row.tradingsymbol for row in after.source.instruments} - gone
    (best,) = most_traded(accounted.lake.filter(pl.col("expiry") >= today), today)[:1]
    assert most_traded(accounted.lake, DAY)[0] in gone
    assert [gap.symbol for gap in controls(accounted, today, listed)] == [best]


def test_a_control_that_proves_to_have_been_silent_is_replaced_by_the_next(after: Evening) -> None:
    """Who was traded most has no candle in the last minutes, and one that was never traded is to be believed."""
    accounted = account_day(after.paths, after.settings, after.rules, DAY, NAME)
    best, second = most_traded(accounted.lake, DAY)[:2]
    listed = {row.tradingsymbol for row in after.source.instruments}
    assert [gap.symbol for gap in controls(accounted, DAY, listed)] == [best]
    short = pl.DataFrame(
        [{"symbol": best, "timestamp": datetime(2025, 8, 29, 9, 50, tzinfo=UTC), "volume": 10**9}],
        schema={name: accounted.answers.schema[name] for name in ("symbol", "timestamp", "volume")},
    )
    known = replace(accounted, answers=pl.concat([accounted.answers, short], how="diagonal"))
    assert [gap.symbol for gap in controls(known, DAY, listed)] == [second]


def test_each_close_of_an_expiry_day_has_its_control(rules: MarketRules, small: Settings, tmp_path: Path) -> None:
    """From 2026-12-07 what expires, and is traded most, closes a quarter of an hour before the rest."""
    day = date(2026, 12, 8)
    own = evening(ModelledSource((NAME,), day, rules, 7), rules, small, tmp_path)
    live_through(own)
    accounted = account_day(own.paths, own.settings, rules, day, NAME)
    found = controls(accounted, day, {row.tradingsymbol for row in own.source.instruments})
    closes = [rules.session(day, "NFO", expiry).close_ms for expiry in rules.expiries(NAME, day)[:2]]
    assert sorted(gap.reach_ms for gap in found) == [close - QUIET_MAX_MS for close in closes]
    assert closes[0] < closes[1]


@pytest.mark.parametrize("until", [6, 10_000])
def test_a_history_that_ends_early_says_nothing_of_what_came_after(
    backfilled: Evening, truth: DayAccount, until: int
) -> None:
    backfilled.wire.fault = lambda request, number: (
        only(backfilled, request, lambda minute: minute < "11:00") if OPTIONS_FROM <= number <= until else None
    )
    report = backfilled.repair()
    assert report is not None
    if until < 10_000:
        assert (backfilled.account(), dict(report.asked.reasons)) == (truth, {})
        return
    day = backfilled.account()
    assert 0 < day.repaired < truth.repaired and day.open > day.expected // 2
    backfilled.wire.fault = nothing
    assert backfilled.repair() is not None
    assert backfilled.account() == truth


def test_one_contract_alone_is_confirmed_by_another_that_was_traded_to_the_end(
    backfilled: Evening, truth: DayAccount
) -> None:
    symbols = sorted(row.token for row in backfilled.source.instruments if row.is_option)
    silent: set[int] = set()

    def mute(request: requests.PreparedRequest, number: int) -> requests.Response | None:
        token = int(str(request.url).split("/historical/")[1].split("/")[0])
        if token in symbols and (not silent or token in silent):
            silent.add(token)
            return no_history(request)
        return None

    backfilled.wire.fault = mute
    assert backfilled.repair() is not None
    day = backfilled.account()
    assert day.complete and day.repaired < truth.repaired, "a contract that nobody traded, said twice"
    calls = len(backfilled.wire.times_ms)
    assert backfilled.repair() is not None
    assert len(backfilled.wire.times_ms) == calls, "what is confirmed is not asked again"
