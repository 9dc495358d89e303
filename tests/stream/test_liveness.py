"""Liveness by data, on lists: what is noticed within ten seconds, what is no alarm, how often a connection is made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, time

import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import SECOND_MS, at
from g6_core.sim.scripted import ScriptedSource
from g6_stream.liveness import REMAKE_MS, SUSPECT_MS, Hours, Liveness, hours_of
from tests.engine.kit import day_inputs_of

OPEN_MS = 1_763_523_900_000
CLOSE_MS = OPEN_MS + 22_500_000
INDEX, BUSY, OTHER, IDLE, LATE = 256265, 2 + 256, 2 + 512, 2 + 768, 2 + 1024
NAMES = {INDEX: "NIFTY 50", BUSY: "BUSY CE", OTHER: "OTHER PE", IDLE: "IDLE CE", LATE: "LATE CE"}
WITHIN_MS = range(5 * SECOND_MS, 10 * SECOND_MS + 1)
Stream = Callable[[int], dict[int, int]]


def well(now_ms: int) -> dict[int, int]:
    """What a good stream brings in a second: everything busy, and the idle contract each minute."""
    busy = dict.fromkeys((INDEX, BUSY, OTHER), now_ms)
    return busy | ({IDLE: now_ms} if now_ms % 60_000 == 0 else {})


@dataclass
class Bench:
    """A feed in the hands of a test: a second brings a frame, then the suspects are asked for."""

    liveness: Liveness = field(
        default_factory=lambda: Liveness(
            lambda token: Hours(NAMES[token], OPEN_MS, CLOSE_MS - 900_000 if token == INDEX else CLOSE_MS)
        )
    )
    now_ms: int = OPEN_MS - 60_000
    remade_ms: list[int] = field(default_factory=list)
    questions: int = 0

    def __post_init__(self) -> None:
        self.liveness.linked(self.now_ms)
        self.liveness.asked((INDEX, BUSY, OTHER, IDLE), self.now_ms)

    def run(self, seconds: int, stream: Stream, broker: Stream | None = well) -> int:
        """Let seconds pass; returns how many milliseconds it took until the feed was known to be sick, 0 for never."""
        found_ms, start_ms = 0, self.now_ms
        newest: dict[int, int] = {}
        for _ in range(seconds):
            self.now_ms += SECOND_MS
            newest |= broker(self.now_ms) if broker is not None else {}
            frame = stream(self.now_ms)
            self.liveness.took(tuple(frame), tuple(frame.values()), self.now_ms)
            if self.liveness.judge(self.now_ms):
                self.remade_ms.append(self.now_ms)
                self.liveness.linked(self.now_ms)
            if self.liveness.reason and not found_ms:
                found_ms = self.now_ms - start_ms
            if suspects := self.liveness.suspects(self.now_ms):
                self.questions += 1
                self.liveness.answered(suspects, newest if broker is not None else None, self.now_ms)
        return found_ms


@pytest.fixture
def bench() -> Bench:
    """A feed that has been well for the first ten minutes of the session."""
    found = Bench()
    assert found.run(660, well) == 0
    assert found.liveness.reason == ""
    return found


def nothing(_: int) -> dict[int, int]:
    """Heartbeats only."""
    return {}


def old(now_ms: int) -> dict[int, int]:
    """Prices that come with stamps that stand still."""
    return dict.fromkeys(well(now_ms), OPEN_MS + 600_000)


def without(*dead: int) -> Stream:
    """Return a stream in which some subscriptions are dead."""
    return lambda now_ms: {token: stamp for token, stamp in well(now_ms).items() if token not in dead}


@pytest.mark.parametrize(
    ("stream", "words", "broker"),
    [
        (nothing, ["no tick of NIFTY 50"], well),
        (nothing, ["no tick of NIFTY 50"], None),
        (old, ["NIFTY 50", "time stands still"], well),
        (old, ["NIFTY 50", "time stands still"], None),
        (without(INDEX), ["no tick of NIFTY 50"], well),
        (without(INDEX), ["no tick of NIFTY 50"], None),
        (without(BUSY), ["1 of 4 subscriptions", "BUSY CE"], well),
        (without(BUSY, OTHER), ["2 of 4 subscriptions", "BUSY CE, OTHER PE"], well),
    ],
)
def test_each_kind_of_dead_feed_is_noticed_named_and_made_anew(
    bench: Bench, stream: Stream, words: list[str], broker: Stream | None
) -> None:
    assert bench.run(20, stream, broker) in WITHIN_MS
    assert all(word in bench.liveness.reason for word in words), bench.liveness.reason
    assert bench.remade_ms[0] == bench.liveness.since_ms
    bench.run(2, well)
    assert bench.liveness.reason == ""


def test_a_ticker_that_is_dead_from_its_first_second_is_noticed() -> None:
    bench = Bench(now_ms=OPEN_MS)
    assert bench.run(20, nothing) in WITHIN_MS


def test_where_time_is_fast_the_limits_grow_with_it(bench: Bench) -> None:
    bench.liveness.suspect_ms = 4 * SUSPECT_MS
    assert bench.run(60, nothing) in range(4 * WITHIN_MS.start, 4 * WITHIN_MS.stop)


def test_a_subscription_that_never_brought_anything_is_dead_if_the_broker_has_a_quote(bench: Bench) -> None:
    bench.liveness.asked((LATE,), bench.now_ms)
    assert bench.run(20, well, lambda now_ms: well(now_ms) | {LATE: now_ms}) in WITHIN_MS
    assert "LATE CE" in bench.liveness.reason


def test_a_contract_that_nobody_trades_is_no_alarm_and_is_seldom_asked_for(bench: Bench) -> None:
    bench.run(3_600, without(IDLE), without(IDLE))
    assert bench.liveness.reason == ""
    bench.liveness.asked((LATE,), bench.now_ms)
    before = bench.questions
    bench.run(3_600, well)
    assert (bench.liveness.reason, bench.remade_ms) == ("", [])
    assert 1 <= bench.questions - before < 80, "unknown is asked again, less and less often"


def test_a_busy_contract_that_is_quiet_at_the_exchange_is_no_alarm(bench: Bench) -> None:
    bench.run(300, without(BUSY), without(BUSY))
    assert (bench.liveness.reason, bench.remade_ms) == ("", [])


def test_a_quiet_contract_does_not_die_of_questions_that_nobody_answers(bench: Bench) -> None:
    bench.run(120, without(BUSY), None)
    assert (bench.liveness.reason, bench.remade_ms) == ("", [])


def test_an_index_has_patience_from_the_first_question_that_nobody_answers(bench: Bench) -> None:
    bench.run(60, without(INDEX), without(INDEX))
    while not bench.liveness.suspects(bench.now_ms + SECOND_MS):
        bench.run(1, without(INDEX), without(INDEX))
    assert bench.run(2, without(INDEX), None) == 0
    assert bench.run(60, without(INDEX), without(INDEX)) == 0, "one question was lost, the next says that all is well"


def test_what_was_dead_is_asked_for_again_and_cleared_by_a_quote_that_is_no_newer(bench: Bench) -> None:
    assert bench.run(12, without(BUSY), well) in WITHIN_MS
    bench.run(30, without(BUSY), without(BUSY))
    assert bench.liveness.reason == ""


@pytest.mark.parametrize("ahead_ms", [3_600_000, 400 * 86_400_000])
def test_a_stamp_from_the_future_does_not_hide_what_dies_after_it(bench: Bench, ahead_ms: int) -> None:
    bench.liveness.took((INDEX,), (bench.now_ms + ahead_ms,), bench.now_ms)
    assert bench.run(20, without(INDEX)) in WITHIN_MS


def test_a_quote_from_the_future_accuses_nobody(bench: Bench) -> None:
    assert bench.run(60, without(BUSY), lambda now_ms: without(BUSY)(now_ms) | {BUSY: now_ms + 3_600_000}) == 0


def test_while_something_is_held_only_indices_and_that_are_asked_for(bench: Bench) -> None:
    bench.run(5, nothing, None)
    assert bench.liveness.suspects(bench.now_ms, (OTHER,)) == (INDEX, OTHER)
    assert set(bench.liveness.suspects(bench.now_ms)) > {INDEX, OTHER}


@pytest.mark.parametrize(
    ("from_ms", "stream"),
    [(OPEN_MS - 3_600_000, nothing), (CLOSE_MS - 890_000, without(INDEX)), (CLOSE_MS + 10_000, nothing)],
    ids=["before the open", "stocks have closed", "night"],
)
def test_outside_of_its_hours_nothing_is_expected(from_ms: int, stream: Stream) -> None:
    bench = Bench(now_ms=from_ms)
    bench.run(800, stream)
    assert (bench.liveness.reason, bench.remade_ms) == ("", [])


def test_the_connection_is_made_less_and_less_often_while_that_does_not_help(bench: Bench) -> None:
    bench.run(6 * 3600 - 1_800, nothing)
    apart = [after - before for before, after in zip(bench.remade_ms, bench.remade_ms[1:], strict=False)]
    assert apart[:4] == [REMAKE_MS, 2 * REMAKE_MS, 4 * REMAKE_MS, 8 * REMAKE_MS]
    assert len(bench.remade_ms) < 80
    assert bench.liveness.remakes == len(bench.remade_ms)


def test_a_feed_that_dies_again_at_once_is_not_made_anew_each_time(bench: Bench) -> None:
    for _ in range(60):
        bench.run(10, nothing)
        bench.run(10, well)
    assert len(bench.remade_ms) < 12
    bench.run(120, well)
    assert bench.run(12, nothing) in WITHIN_MS
    assert bench.now_ms - bench.remade_ms[-1] < 10_000, "a minute of health, and it is made anew at once"


def test_the_hours_are_those_of_the_stocks_and_of_each_contract(rules: MarketRules) -> None:
    day = date(2026, 11, 25)
    source = ScriptedSource.of("NIFTY", day, rules, spot_path=[(at(day, time(9, 15)), 24_500_00)])
    inputs = day_inputs_of(source, rules)
    hours = hours_of(inputs, rules)
    index, contract = inputs.underlyings[0].index, next(row for row in source.instruments.rows if row.is_option)
    assert hours(index.token) == Hours(index.tradingsymbol, source.session.open_ms, at(day, time(15, 15)))
    assert hours(contract.token) == Hours(contract.tradingsymbol, source.session.open_ms, at(day, time(15, 40)))
    assert hours(1) is None
