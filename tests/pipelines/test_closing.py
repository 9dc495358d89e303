"""The closing state after a scripted session, with a broker that answers, waits or refuses."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import requests

from g6_core.adapters.kite_market import CallSpacing
from g6_core.adapters.lake import read_lake
from g6_core.domain.end_of_day import FINAL_AFTER_MS
from g6_core.domain.errors import TryLater
from g6_core.domain.ist import MINUTE_MS
from g6_core.sim.clock import VirtualClock
from g6_pipelines.stages.closing import contracts_of_day, read_closing
from tests.pipelines.collecting import CLOSE, DAY, OPEN, Collecting, collecting, narrowed, refusal

CYCLES = 25
# The money moves by two strikes, so the day has more contracts than any cycle.
MOVING = ((OPEN, 24_512_35), (OPEN + 120 * MINUTE_MS, 24_612_35))


@pytest.fixture
def small(settings):
    return narrowed(settings)


@dataclass
class AfterClose:
    """A fault of quote calls from the close on: `answer` replaces the exchange's, None leaves it."""

    answer: Callable[[requests.PreparedRequest, int], requests.Response | None]
    clock: VirtualClock | None = None

    def __call__(self, request: requests.PreparedRequest, number: int) -> requests.Response | None:
        assert self.clock is not None
        now_ms = self.clock.now_ms()
        return self.answer(request, now_ms) if now_ms >= CLOSE else None

    def over(self, rules, settings, root) -> Collecting:
        world = collecting(rules, settings, root, fault=self)
        self.clock = world.clock
        return world


def test_every_contract_of_the_day_has_a_last_quote_and_the_lake_is_as_it_was(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path, spot_path=MOVING)
    report = world.finish()
    rows = read_closing(world.index_day)
    lake = read_lake(world.paths.lake(DAY, "NIFTY"))
    seen = {*lake["call_symbol"], *lake["put_symbol"]}
    assert set(rows["symbol"]) == seen and len(rows) == len(seen) > 2 * 2 * 5
    assert rows["timestamp"].dt.timestamp("ms").min() == CLOSE + FINAL_AFTER_MS
    assert lake["timestamp"].n_unique() == report.cycles == CYCLES, "it is no cycle"
    assert report.closing is not None
    assert (report.closing.contracts, report.closing.quoted, report.closing.calls) == (len(seen), len(seen), 1)
    contract = world.book.by_key(f"NFO:{rows['symbol'][0]}")
    quote = world.source.quotes(np.array([contract.token]), CLOSE + FINAL_AFTER_MS)[0]
    assert (rows["volume"][0], rows["oi"][0]) == (quote["volume"], quote["oi"])


def test_it_is_asked_for_once_and_a_day_made_again_has_the_same_bytes(rules, small, tmp_path) -> None:
    worlds = [collecting(rules, small, tmp_path / name, spot_path=MOVING) for name in ("one", "two")]
    for world in worlds:
        world.finish()
    first, second = (world.paths.closing(DAY, "NIFTY").read_bytes() for world in worlds)
    assert first == second
    calls = len(worlds[0].transport.times_ms)
    again = worlds[0].finish()
    assert len(worlds[0].transport.times_ms) == calls and again.closing.contracts == 0
    assert worlds[0].paths.closing(DAY, "NIFTY").read_bytes() == first


def test_a_broker_that_wants_patience_gets_it(rules, small, tmp_path) -> None:
    def busy(request, now_ms):
        late = now_ms >= CLOSE + FINAL_AFTER_MS + 3 * MINUTE_MS
        return None if late else refusal(request, 429, "NetworkException", "Too many requests")

    closing = AfterClose(busy).over(rules, small, tmp_path).finish().closing
    assert (closing.quoted, closing.unwritten) == (closing.contracts, ())
    assert 3 * MINUTE_MS // 5_000 <= closing.calls <= 40


@pytest.mark.parametrize(
    ("status", "kind", "calls"), [(429, "NetworkException", range(100, 130)), (403, "PermissionException", range(1, 2))]
)
def test_without_an_answer_nothing_is_kept_it_is_said_and_the_next_start_asks_again(
    rules, small, tmp_path, status, kind, calls
) -> None:
    answering = False
    fault = AfterClose(lambda request, _: None if answering else refusal(request, status, kind, "no"))
    world = fault.over(rules, small, tmp_path)
    closing = world.finish().closing
    assert closing.unwritten == ("NIFTY",) and closing.calls in calls
    assert f"not kept: NIFTY ({next(iter(closing.reasons))}" in closing.line()
    assert not world.paths.closing(DAY, "NIFTY").exists() and len(read_closing(world.index_day)) == 0
    answering = True
    assert world.finish().closing.quoted == closing.contracts


def test_a_turn_that_cannot_be_told_is_waited_for_and_then_said(rules, small, tmp_path) -> None:
    for name, minutes, unwritten in (("short", 3, ()), ("long", 30, ("NIFTY",))):
        world = collecting(rules, small, tmp_path / name)
        held = (CLOSE, CLOSE + minutes * MINUTE_MS)

        class Locked(CallSpacing):
            def due_ms(self, clock=world.clock, held=held) -> int:
                if held[0] <= clock.now_ms() < held[1]:
                    raise TryLater("not sent: locked")
                return super().due_ms()

        world.turns = Locked(world.clock)
        closing = world.finish().closing
        assert closing.unwritten == unwritten
        assert dict(closing.reasons) == ({"not sent: locked": 1} if unwritten else {})


@pytest.mark.parametrize(("empty_replies", "kept"), [(1, True), (2, True), (99, False)])
def test_keys_that_a_reply_lacks_are_asked_for_again_before_they_count_as_unknown(
    rules, small, tmp_path, empty_replies: int, kept: bool
) -> None:
    replies = 0

    def forgetful(request, _):
        nonlocal replies
        replies += 1
        if replies > empty_replies:
            return None
        answer = refusal(request, 200, "", "")
        answer._content = b'{"status":"success","data":{}}'
        return answer

    world = AfterClose(forgetful).over(rules, small, tmp_path)
    closing = world.finish().closing
    assert world.paths.closing(DAY, "NIFTY").exists() is kept
    if kept:
        assert (closing.quoted, closing.calls) == (closing.contracts, empty_replies + 1)
    else:
        assert closing.line().endswith("not kept: NIFTY (no contract of it is in the replies)")


def test_on_a_later_day_nothing_is_asked(rules, small, tmp_path) -> None:
    world = collecting(rules, small, tmp_path)
    assert world.run(until_ms=CLOSE + FINAL_AFTER_MS) is None, "stopped while it waited"
    world.clock.sleep_until(CLOSE + 24 * 60 * MINUTE_MS)
    calls = len(world.transport.times_ms)
    assert world.finish().closing.contracts == 0
    assert len(world.transport.times_ms) == calls
    assert len(contracts_of_day(world.index_day)) == 20, "the day itself is there"
