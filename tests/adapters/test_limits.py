"""One limit for every process with the API key: counted in one file, by whichever clock they live by."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from filelock import FileLock
from kiteconnect import KiteConnect
from kiteconnect.exceptions import NetworkException
from requests import Response
from requests.adapters import HTTPAdapter

from g6_core.adapters import limits
from g6_core.adapters.broker import open_kite, open_line
from g6_core.adapters.kite_market import wait_for_turn
from g6_core.adapters.limits import CALLS_PER_SECOND, Family, FamilyTurns, Limiter, family_of, limits_path
from g6_core.domain.errors import ConfigError, TryLater
from g6_core.sim.clock import VirtualClock
from tests.sim.server.kit import serving, serving_here

START_MS = 1_763_436_600_000


def take(limiter: Limiter, family: Family = Family.QUOTE) -> int | None:
    """The stamp of a call that goes now, else a claim, as of who will wait."""
    limiter.claim(family)
    return limiter.take(family)[0]


@pytest.mark.parametrize(
    ("method", "path", "family"),
    [
        ("GET", "/quote", Family.QUOTE),
        ("GET", "/quote/ltp", Family.QUOTE),
        ("GET", "/instruments/historical/256265/minute", Family.HISTORICAL),
        ("GET", "/instruments/NFO", Family.OTHER),
        ("GET", "/orders", Family.OTHER),
        ("GET", "/orders/250829000001", Family.OTHER),
        ("GET", "/portfolio/positions", Family.OTHER),
        ("POST", "/session/token", Family.OTHER),
        ("POST", "/orders/regular", None),
        ("PUT", "/orders/regular/250829000001", None),
        ("DELETE", "/orders/regular/250829000001", None),
        ("GET", "/sim/status", None),
    ],
)
def test_every_request_has_its_limit_and_order_writes_have_none_here(method, path, family) -> None:
    assert family_of(method, path) == family


@pytest.mark.parametrize("family", Family)
def test_two_processes_together_stay_within_the_limit_of_any_second(family: Family, tmp_path: Path) -> None:
    clock = VirtualClock(START_MS)
    two = [Limiter(clock, tmp_path / "one.stamps") for _ in range(2)]
    taken, by = [], [0, 0]
    while clock.now_ms() < START_MS + 6_000:
        for who, limiter in enumerate(two):
            while (stamp := take(limiter, family)) is not None:
                taken.append(stamp)
                by[who] += 1
        clock.sleep_until(clock.now_ms() + 50)
    most = CALLS_PER_SECOND[family]
    assert len(taken) == 6 * most, "and nothing that is allowed is wasted"
    assert min(by) >= 2, f"nobody starves, though the first always asks first: {by}"
    assert all(later - earlier >= 1_000 for earlier, later in zip(taken, taken[most:], strict=False))


def test_due_says_when_and_an_answer_moves_the_stamp(tmp_path: Path) -> None:
    clock = VirtualClock(START_MS)
    limiter = Limiter(clock, tmp_path / "one.stamps", margin_ms=25)
    stamp, due_ms = limiter.take(Family.QUOTE)
    assert (stamp, due_ms) == (START_MS, START_MS + 1_025)
    assert limiter.take(Family.QUOTE) == (None, due_ms)
    clock.sleep_until(START_MS + 400)
    limiter.answered(Family.QUOTE, stamp)
    late_ms = START_MS + 400 + 1_025
    assert limiter.take(Family.QUOTE) == (None, late_ms), "the broker may have counted it as late as this"
    assert limiter.take(Family.OTHER)[0] == START_MS + 400


def test_who_waits_longest_goes_first_and_a_late_one_pushes_the_next_back(tmp_path: Path) -> None:
    clock = VirtualClock(START_MS)
    first, second, third = (Limiter(clock, tmp_path / "one.stamps") for _ in range(3))
    assert take(first) == START_MS
    assert [second.claim(Family.QUOTE), third.claim(Family.QUOTE)] == [START_MS + 1_000, START_MS + 2_000]
    assert second.claim(Family.QUOTE) == START_MS + 1_000, "asking again does not move it"
    clock.sleep_until(START_MS + 1_400)
    assert (take(third), take(first)) == (None, None)
    assert take(second) == START_MS + 1_400, "late, as a busy machine is"
    clock.sleep_until(START_MS + 2_000)
    assert take(third) is None
    assert third.claim(Family.QUOTE) == START_MS + 2_400
    clock.sleep_until(START_MS + 2_400)
    assert take(third) == START_MS + 2_400


def test_an_old_claim_is_no_turn_for_who_comes_back_to_it_late(tmp_path: Path) -> None:
    clock = VirtualClock(START_MS)
    sleepy, awake = (Limiter(clock, tmp_path / "one.stamps") for _ in range(2))
    assert take(awake) == START_MS
    assert sleepy.claim(Family.QUOTE) == START_MS + 1_000
    clock.sleep_until(START_MS + 9_600)
    assert take(awake) == START_MS + 9_600
    assert take(sleepy) is None, "somebody has called in this second"
    clock.sleep_until(START_MS + 10_600)
    assert take(sleepy) == START_MS + 10_600


def test_a_claim_from_before_the_clock_was_set_back_locks_nobody_out(tmp_path: Path) -> None:
    now = VirtualClock(START_MS + 3_600_000)
    limiter = Limiter(now, tmp_path / "one.stamps")
    assert take(limiter) is not None
    assert limiter.claim(Family.QUOTE) == START_MS + 3_601_000
    limiter._clock = VirtualClock(START_MS)
    assert limiter.take(Family.QUOTE)[0] == START_MS
    assert limiter.claim(Family.QUOTE) == START_MS + 1_000


def test_stamps_of_another_time_and_torn_files_hold_nobody_back(tmp_path: Path) -> None:
    path = tmp_path / "one.stamps"
    tomorrow = Limiter(VirtualClock(START_MS + 86_400_000), path)
    assert take(tomorrow) is not None
    today = Limiter(VirtualClock(START_MS), path)
    assert take(today) == START_MS, "the clock was set back, or the exchange serves another day"
    path.write_bytes(path.read_bytes()[:50])
    assert take(today) == START_MS


@pytest.mark.parametrize("left", [0, 1, 77, 200, 1_000, 65_536])
def test_a_file_of_another_length_is_made_anew_and_the_limit_holds_again(left: int, tmp_path: Path) -> None:
    path = tmp_path / "one.stamps"
    clock = VirtualClock(START_MS)
    two = [Limiter(clock, path) for _ in range(2)]
    assert take(two[0], Family.HISTORICAL) == START_MS
    whole = path.stat().st_size
    path.write_bytes(b"\xa5" * left)
    assert [take(limiter) for limiter in two] == [START_MS, None], "who comes second sees the first"
    assert path.stat().st_size == whole


def test_a_turn_cannot_be_told_while_another_process_holds_the_file_and_comes_when_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOCK_TIMEOUT_S", 0.01)
    clock = VirtualClock(START_MS)
    turns = FamilyTurns(Limiter(clock, tmp_path / "one.stamps"), Family.QUOTE)
    with FileLock(tmp_path / "one.lock"):
        with pytest.raises(TryLater, match="not sent: the limits of this API key are locked by another process"):
            turns.due_ms()
        waiting = wait_for_turn(clock, turns, START_MS + 2_500)
        assert [next(waiting) - START_MS, next(waiting) - START_MS] == [1_000, 1_000], "its clock stands"
        clock.sleep_until(START_MS + 2_000)
        with pytest.raises(StopIteration, match="locked by another process"):
            next(waiting)
    with pytest.raises(StopIteration) as told:
        next(wait_for_turn(clock, turns, START_MS + 2_500))
    assert told.value.value == ""


def test_keys_do_not_share_a_limit_and_do_not_show_in_file_names(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("G6_LIMITS_DIR", str(tmp_path))
    one, other = limits_path("canary-key-1", "kite"), limits_path("canary-key-2", "kite")
    assert one != other and one.parent == other.parent == tmp_path
    assert "canary" not in one.name


def test_a_folder_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set G6_LIMITS_DIR"):
        Limiter(VirtualClock(START_MS), tmp_path / "file" / "one.stamps")


def test_an_answer_is_returned_though_the_note_of_it_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOCK_TIMEOUT_S", 0.05)
    with serving_here(speed=1.0) as server:
        line = open_line(server.settings, "tests")
        with closing(line.clock), FileLock(limits_path("g6sim", server.url).with_suffix(".lock")) as other:
            # The lock is somebody else's from the moment that the call goes to long after its answer.
            other.release()
            send = HTTPAdapter.send

            def sent(*args: Any, **kwargs: Any) -> Response:
                other.acquire()
                return send(*args, **kwargs)

            monkeypatch.setattr(HTTPAdapter, "send", sent)
            assert line.kite.profile()["user_id"] == "G6SIM1"
            assert other.is_locked


def test_threads_of_one_process_share_its_claims(tmp_path: Path) -> None:
    clock, most = VirtualClock(START_MS), CALLS_PER_SECOND[Family.OTHER]
    limiter = Limiter(clock, tmp_path / "one.stamps")
    together = Barrier(4)

    def hurry() -> int:
        together.wait()
        return sum(take(limiter, Family.OTHER) is not None for _ in range(2 * most))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert sum(one.result() for one in [pool.submit(hurry) for _ in range(4)]) == most, "of all in one second"
            clock.sleep_until(clock.now_ms() + 1_000)


def test_who_has_little_patience_keeps_the_turn_and_goes_the_next_time(tmp_path: Path) -> None:
    with serving_here(speed=1.0) as server:
        greedy, hasty = open_line(server.settings, "greedy"), open_line(server.settings, "hasty", quote_patience_ms=100)
        with closing(greedy.clock), closing(hasty.clock), ThreadPoolExecutor(1) as pool:
            greedy.kite.ltp("NSE:NIFTY 50")

            def ask() -> None:
                for _ in range(4):
                    # A call that this machine delays by a second comes to the exchange together with the next one.
                    with suppress(NetworkException):
                        greedy.kite.ltp("NSE:NIFTY 50")

            others = pool.submit(ask)
            answered = tries = 0
            while not others.done():
                began_ms = hasty.clock.now_ms()
                try:
                    hasty.kite.ltp("NSE:NIFTY 50")
                    answered += 1
                except NetworkException as refused:
                    assert refused.code == 429
                    assert hasty.clock.now_ms() - began_ms < 600, "the caller has other things to do"
                tries += 1
                hasty.clock.pause_until(began_ms + 400)
            others.result()
    assert answered >= 2, f"of {tries}: somebody who always asks first must not starve who cannot wait"


ASK = """
import sys
from g6_core.adapters.broker import BrokerSettings, open_kite
kite = open_kite(BrokerSettings(sim_url=sys.argv[1]))
for _ in range(3):
    kite.ltp("NSE:NIFTY 50")
for _ in range(12):
    kite.orders()
"""


@pytest.mark.slow
def test_in_real_time_processes_with_one_key_are_never_refused() -> None:
    with serving("--start", "10:00") as server:
        two = [subprocess.Popen([sys.executable, "-c", ASK, server.url], stderr=subprocess.PIPE) for _ in range(2)]
        said = [process.communicate(timeout=60)[1].decode() for process in two]
        assert [process.returncode for process in two] == [0, 0], said
        # The same without the limiter is refused, so the exchange does count.
        bare = KiteConnect("g6sim", root=server.url)
        bare.reqsession.trust_env = False
        bare.generate_session("g6sim", "g6sim")
        with pytest.raises(NetworkException, match="Too many requests"):
            for _ in range(3):
                bare.ltp("NSE:NIFTY 50")


def test_in_lockstep_a_call_out_of_turn_is_refused_here_and_never_sent() -> None:
    with serving_here() as server:
        line = open_line(server.settings, "tests")
        with closing(line.clock) as clock:
            line.kite.ltp("NSE:NIFTY 50")
            before = server.status()["requests"]
            with pytest.raises(NetworkException, match="not sent: the limit of 1 quote calls a second") as refused:
                line.kite.ltp("NSE:NIFTY 50")
            assert (refused.value.code, server.status()["requests"]) == (429, before)
            assert line.quotes.due_ms() == clock.now_ms() + 1_000, "no margin where there is one clock only"
            clock.sleep_until(line.quotes.due_ms())
            line.kite.ltp("NSE:NIFTY 50")
            assert open_kite(server.settings).profile()["user_id"] == "G6SIM1", "an onlooker is not held back"
