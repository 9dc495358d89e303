"""The clocks of separate processes: the machine's, and the simulated exchange's over its WebSocket."""

import signal
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from g6_core.adapters.clock import RealClock, SimClock, SleepInterrupted, drive
from g6_core.domain.errors import UserError
from g6_core.domain.ist import MINUTE_MS
from g6_core.sim.clock import VirtualClock
from tests.sim.server.kit import Address, serving_here


@pytest.fixture(scope="module")
def server() -> Iterator[Address]:
    """An exchange in lockstep with whoever comes."""
    with serving_here() as running:
        yield running


def test_the_real_clock_sleeps_until_its_time_and_not_for_one_that_has_passed() -> None:
    clock = RealClock()
    wake_ms = clock.now_ms() + 120
    clock.sleep_until(wake_ms)
    assert wake_ms <= clock.now_ms() < wake_ms + 2_000
    clock.sleep_until(wake_ms - 60_000)
    assert clock.now_ms() < wake_ms + 2_000
    clock.close()


def test_a_signal_ends_a_real_sleep(server: Address) -> None:
    clock = RealClock()
    before = signal.signal(signal.SIGALRM, lambda *_: clock.interrupt())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(SleepInterrupted):
            clock.sleep_until(clock.now_ms() + 60_000)
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(SleepInterrupted):
        clock.sleep_until(clock.now_ms() + 60_000)


def test_time_stands_between_sleeps_and_moves_at_once_when_asked(server: Address) -> None:
    with closing(SimClock(server.url, "only")) as clock:
        start_ms, begun_s = clock.now_ms(), time.monotonic()
        clock.sleep_until(start_ms + 10 * MINUTE_MS)
        assert clock.now_ms() == start_ms + 10 * MINUTE_MS == server.status()["now_ms"]
        clock.sleep_until(start_ms)
        assert clock.now_ms() == start_ms + 10 * MINUTE_MS
        assert time.monotonic() - begun_s < 10


def test_two_processes_take_turns(server: Address) -> None:
    def tick(name: str, clock: SimClock, step_ms: int) -> None:
        for turn in range(1, 7):
            clock.sleep_until(start_ms + turn * step_ms)
            turns.append((clock.now_ms() - start_ms, name))
        clock.close()

    turns: list[tuple[int, str]] = []
    clocks = {"a": SimClock(server.url, "a"), "b": SimClock(server.url, "b")}
    start_ms = clocks["a"].now_ms()
    threads = [
        threading.Thread(target=tick, args=(name, clock, step_ms))
        for (name, clock), step_ms in zip(clocks.items(), (1_000, 2_000), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert turns == sorted(turns)
    assert len(turns) == 12


def test_a_sleep_in_virtual_time_can_be_interrupted(server: Address) -> None:
    with closing(SimClock(server.url, "sleeper")) as clock, closing(SimClock(server.url, "awake")):
        threading.Timer(0.05, clock.interrupt).start()
        with pytest.raises(SleepInterrupted):
            clock.sleep_until(clock.now_ms() + 1_000)


def test_a_taken_name_is_refused_in_one_line(server: Address) -> None:
    with closing(SimClock(server.url, "twin")), pytest.raises(UserError, match="'twin' is registered already"):
        SimClock(server.url, "twin")


def test_no_exchange_is_one_line_that_names_the_fix() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match=r"no simulated exchange at .* start one \(`.*g6 sim serve --port \d+`\)"):
        SimClock(f"http://127.0.0.1:{port}", "x")


def test_an_exchange_that_was_started_again_is_brought_to_where_we_were() -> None:
    with serving_here() as first:
        clock = SimClock(first.url, "survivor")
        clock.sleep_until(clock.now_ms() + 30 * MINUTE_MS)
        was_ms = clock.now_ms()
    sleeping = threading.Thread(target=clock.sleep_until, args=(was_ms + 1_000,))
    sleeping.start()
    with serving_here(port=first.port) as second:
        sleeping.join(20)
        assert clock.now_ms() == was_ms + 1_000 == second.status()["now_ms"]
        clock.close()


def test_flowing_time_does_not_go_back_when_its_exchange_is_started_again() -> None:
    with serving_here(speed=100.0) as first:
        clock = SimClock(first.url, "survivor")
        clock.sleep_until(clock.now_ms() + 2 * MINUTE_MS)
    with serving_here(speed=1.0, port=first.port) as second, closing(clock):
        was_ms, begun_s = clock.now_ms(), time.monotonic()
        clock.sleep_until(was_ms + 1_000)
        assert was_ms + 1_000 <= clock.now_ms() <= second.status()["now_ms"] + 1_000
        assert time.monotonic() - begun_s < 60, "it waited for two minutes that had been before"


def test_a_lost_exchange_is_not_waited_for_without_end() -> None:
    with serving_here() as server:
        clock = SimClock(server.url, "left alone", patience_s=0.2)
        assert server.call("POST", "/sim/stop").json() == {"stopping": True}
    said = r"no simulated exchange at .* for 0.2 s; start it again \(`.*g6 sim serve --port \d+` as before"
    with closing(clock), pytest.raises(UserError, match=said):
        clock.sleep_until(clock.now_ms() + 1_000)


def test_flowing_time_is_counted_on_between_answers() -> None:
    with serving_here(speed=100.0) as server, closing(SimClock(server.url, "any")) as clock:
        start_ms = clock.now_ms()
        wake_ms = start_ms + 20_000
        clock.sleep_until(wake_ms)
        assert wake_ms <= clock.now_ms() < wake_ms + 5 * MINUTE_MS
        later_ms = clock.now_ms()
        while clock.now_ms() == later_ms:
            assert abs(server.status()["now_ms"] - clock.now_ms()) < 5 * MINUTE_MS


def test_drive_sleeps_for_a_stage_and_returns_what_it_returns() -> None:
    def stage() -> Generator[int, None, str]:
        for wake_ms in (10, 20, 15):
            yield wake_ms
            seen.append(clock.now_ms())
        return "done"

    clock = VirtualClock(0)
    seen: list[int] = []
    assert drive(clock, stage()) == "done"
    assert seen == [10, 20, 20]


def test_drive_ends_the_stage_when_its_sleep_is_interrupted() -> None:
    def stage() -> Generator[int, None, None]:
        try:
            yield clock.now_ms() + 60_000
        finally:
            ended.append(True)

    clock = RealClock()
    clock.interrupt()
    ended: list[bool] = []
    with pytest.raises(SleepInterrupted):
        drive(clock, stage())
    assert ended == [True]
