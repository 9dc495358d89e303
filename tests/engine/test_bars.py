"""Bars of the index: what changes them, what must not, and agreement with an independent resample of real ticks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS
from g6_core.engine import bars
from g6_core.engine.board import QuoteBoard
from g6_core.sim.recorded import RecordedSource
from tests.engine.kit import OPEN, SPOT, tick_rows

TOKEN = 256265
WIDTHS = {0: MINUTE_MS, 1: 5 * MINUTE_MS}
Bars = list[tuple[int, ...]]
# When it came, its stamp, its price in paise.
Arrival = tuple[int, int, int]


def _run(arrivals: list[Arrival], *, open_ms: int = OPEN) -> tuple[Bars, QuoteBoard]:
    """Bars of ticks in order of arrival, with the timer once a second until nothing is open any more."""
    board = QuoteBoard.of((TOKEN,), open_ms)
    found: Bars = []
    now_ms = min(arrival for arrival, _, _ in arrivals) // 1000 * 1000
    end_ms = max(arrival for arrival, _, _ in arrivals) + 5 * MINUTE_MS + 5_000
    waiting = sorted(arrivals, key=lambda one: one[0])
    place = 0
    while now_ms < end_ms:
        while place < len(waiting) and waiting[place][0] < now_ms:
            arrival, stamp, price = waiting[place]
            board.apply(tick_rows((TOKEN, stamp, price)), arrival)
            place += 1
        found += board.close_bars(0, now_ms)
        now_ms += 1000
    return found, board


def _reference(ticks: list[tuple[int, int]]) -> Bars:
    """The same bars by grouping in polars; `ticks` are (stamp, price), equal stamps in order of arrival."""
    table = pl.DataFrame(ticks, schema=["stamp", "price"], orient="row").sort("stamp", maintain_order=True)
    found: Bars = []
    for frame, width in WIDTHS.items():
        grouped = table.group_by((pl.col("stamp") // width * width).alias("start"), maintain_order=True).agg(
            pl.col("price").first().alias("o"),
            pl.col("price").max().alias("h"),
            pl.col("price").min().alias("l"),
            pl.col("price").last().alias("c"),
            (pl.col("stamp") // 1000).n_unique().alias("parts"),
        )
        found += [(frame, *row) for row in grouped.rows()]
    return found


@st.composite
def _streams(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[Arrival]]:
    """Ticks with their own stamps, and the same ticks as a feed would deliver them: late up to 2 s, some twice."""
    steps = draw(
        st.lists(
            st.tuples(
                st.one_of(st.integers(1, 1_500), st.integers(1, 70_000)),
                st.integers(SPOT - 200_00, SPOT + 200_00),
                st.integers(0, 1_999),
                st.one_of(st.none(), st.integers(0, 1_999)),
            ),
            min_size=1,
            max_size=25,
        )
    )
    stamp, ticks, arrivals = OPEN, [], []
    for gap, price, delay, again in steps:
        stamp += gap
        ticks.append((stamp, price))
        arrivals.append((stamp + delay, stamp, price))
        if again is not None:
            arrivals.append((stamp + again, stamp, price))
    return ticks, arrivals


@given(_streams())
@settings(max_examples=60, deadline=None)
def test_duplicates_and_disorder_within_two_seconds_change_nothing(
    stream: tuple[list[tuple[int, int]], list[Arrival]],
) -> None:
    ticks, arrivals = stream
    found, board = _run(arrivals)
    assert sorted(found) == _reference(ticks)
    assert board.counters[0, 1:].tolist() == [0, 0]


@given(_streams())
@settings(max_examples=25, deadline=None)
def test_bars_come_in_order_of_their_end_and_the_minute_before_the_five(
    stream: tuple[list[tuple[int, int]], list[Arrival]],
) -> None:
    found, _ = _run(stream[1])
    ends = [(start + WIDTHS[frame], frame) for frame, start, *_ in found]
    assert ends == sorted(ends)
    assert len(set(ends)) == len(ends)


def test_a_tick_that_is_too_late_is_counted_and_changes_nothing() -> None:
    arrivals = [(OPEN + 100, OPEN + 100, SPOT), (OPEN + 10_000, OPEN + 10_000, SPOT + 5)]
    late = (OPEN + 10_500, OPEN + 200, SPOT + 90_00)
    plain, _ = _run(arrivals)
    found, board = _run([*arrivals, late])
    assert found == plain
    assert board.counters[0, 1] == 1


def test_a_second_is_open_until_two_seconds_after_its_end() -> None:
    last = OPEN + 59_999
    board = QuoteBoard.of((TOKEN,), OPEN)
    board.apply(tick_rows((TOKEN, last, SPOT)), last)
    assert board.close_bars(0, OPEN + MINUTE_MS + 1_000) == []
    board.apply(tick_rows((TOKEN, last - 500, SPOT + 7)), OPEN + MINUTE_MS + 1_900)
    assert board.close_bars(0, OPEN + MINUTE_MS + 2_000) == [(0, OPEN, SPOT + 7, SPOT + 7, SPOT, SPOT, 1)]


@pytest.mark.parametrize(
    ("offset_ms", "minute", "five"),
    [
        pytest.param(0, 0, 0, id="the first millisecond of the session"),
        pytest.param(59_999, 0, 0, id="the last of the first minute"),
        pytest.param(60_000, 1, 0, id="the first of the second minute"),
        pytest.param(299_999, 4, 0, id="the last of five minutes"),
        pytest.param(300_000, 5, 1, id="the first of the next five"),
    ],
)
def test_a_tick_belongs_to_the_bar_that_starts_at_or_before_it(offset_ms: int, minute: int, five: int) -> None:
    found, _ = _run([(OPEN + offset_ms, OPEN + offset_ms, SPOT)])
    assert [(frame, (start - OPEN) // WIDTHS[frame]) for frame, start, *_ in found] == [(0, minute), (1, five)]


def test_minutes_without_ticks_have_no_bar() -> None:
    found, _ = _run([(OPEN, OPEN, SPOT), (OPEN + 11 * MINUTE_MS, OPEN + 11 * MINUTE_MS, SPOT + 5)])
    assert [(frame, (start - OPEN) // MINUTE_MS) for frame, start, *_ in found] == [(0, 0), (1, 0), (0, 11), (1, 10)]


def test_what_was_stamped_before_the_open_builds_no_bar() -> None:
    """The first packet after a subscription carries the last price of the pre-open, or of yesterday."""
    for age_ms in (1, 7 * MINUTE_MS, 18 * 3_600_000):
        found, board = _run([(OPEN + 300, OPEN - age_ms, SPOT - 50_00), (OPEN + 900, OPEN + 900, SPOT)])
        assert [bar[2:6] for bar in found] == [(SPOT, SPOT, SPOT, SPOT)] * 2
        assert board.counters[0, 1] == 1


def test_no_tick_disappears_uncounted_when_the_timer_stalls() -> None:
    """The ring has eight seconds; what it cannot hold any more is late, whichever of the two came first."""
    ring_ms = bars.PENDING * 1000
    for stamps in ((OPEN, OPEN + ring_ms), (OPEN + ring_ms, OPEN)):
        board = QuoteBoard.of((TOKEN,), OPEN)
        for stamp in stamps:
            board.apply(tick_rows((TOKEN, stamp, SPOT + stamp - OPEN)), OPEN + ring_ms)
        found = board.close_bars(0, OPEN + 6 * MINUTE_MS)
        assert board.counters[0, 1] == 1
        assert [bar[5] for bar in found] == [SPOT + ring_ms] * 2


def _stamp_ms(text: str) -> int:
    """Naive IST text of the recording to milliseconds UTC."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(hours=5, minutes=30)
    return round(moment.timestamp() * 1000)


def test_bars_of_a_real_tick_recording_agree_with_a_resample(shared_data: Path) -> None:
    table = pl.read_parquet(shared_data / "kite-ticks-20210820" / "BANKNIFTY21SEP35300CE.parquet")
    newest_first = table.select("timestamp", "last_price", "volume").rows()
    # An index has no price of two days ago: of the packets before the first trade only the very first is kept.
    ticks = [
        (_stamp_ms(text), round(price * 100))
        for place, (text, price, volume) in enumerate(reversed(newest_first))
        if volume > 0 or place == 0
    ]
    assert ticks[0][0] <= 0, "the first packet of the recording is stamped 1970"
    arrivals, now_ms = [], ticks[1][0]
    for stamp, price in ticks:
        now_ms = max(now_ms, stamp)
        arrivals.append((now_ms, stamp, price))
    day_open = min(stamp for stamp, _ in ticks[1:]) // MINUTE_MS * MINUTE_MS
    found, board = _run(arrivals, open_ms=day_open)
    assert board.counters[0, 1:].tolist() == [0, 1]
    assert sorted(found) == _reference(ticks[1:])
    assert len(found) > 300


def test_bars_of_a_recorded_chain_agree_with_a_resample(shared_data: Path, rules: MarketRules) -> None:
    source = RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules, seed=3)
    index = source.instruments.index("NIFTY")
    assert index is not None
    token = pl.Series([index.token]).to_numpy()
    board = QuoteBoard.of((index.token,), OPEN)
    found, ticks = [], []
    for now_ms in range(OPEN, OPEN + 90 * MINUTE_MS, 1000):
        row = source.quotes(token, now_ms)[0]
        if row["exchange_ms"] > 0:
            stamp, price = int(row["exchange_ms"]), int(row["ltp_paise"])
            if not ticks or stamp > ticks[-1][0]:
                ticks.append((stamp, price))
            board.apply(tick_rows((index.token, stamp, price)), now_ms)
        found += board.close_bars(0, now_ms)
    complete = [bar for bar in _reference(ticks) if bar[1] + WIDTHS[bar[0]] <= OPEN + 90 * MINUTE_MS - 3_000]
    assert sorted(found) == complete
    silent = {(bar[1] - OPEN) // MINUTE_MS for bar in found if bar[0] == 0} ^ set(range(9, 89))
    assert silent >= set(range(62, 80)), "the gap of 1,132 s that ends at 10:35:10 has no bars"
