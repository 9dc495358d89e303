"""A service that dies is started again, within bounds; one that cannot start ends the stack; a second Ctrl+C kills."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from g6_core.cli.processes import Processes
from g6_core.cli.supervisor import ENDING, RESTARTS_MAX, Service, Stopped, Supervisor
from g6_core.domain.errors import ConfigError, DataError, G6Error, UserError


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


STAYS = python("import time; time.sleep(600)")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    said: list[str] = []
    with Processes(tmp_path, {}) as group:
        yield Supervisor(group, said.append, first_pause_s=0.01)


@pytest.fixture
def said(supervisor: Supervisor) -> list[str]:
    lines: list[str] = []
    supervisor.say = lines.append
    return lines


@pytest.mark.parametrize(("code", "kind"), [(1, G6Error), (2, UserError), (3, ConfigError), (4, DataError)])
def test_a_service_that_cannot_start_ends_the_stack_with_its_last_words(
    supervisor: Supervisor, code: int, kind: type[G6Error]
) -> None:
    command = python(f"import sys; print('the port is taken'); sys.exit({code})")
    service = Service("web-ui", lambda: command, lambda: False)
    supervisor.start(service)
    with pytest.raises(kind, match=f"web-ui ended with {code}: the port is taken") as caught:
        supervisor.await_ready(service)
    assert caught.value.exit_code == code


def test_a_service_that_dies_is_started_again_so_many_times_and_no_more(
    supervisor: Supervisor, said: list[str]
) -> None:
    service = Service("collector", lambda: python("import sys; print('no disk'); sys.exit(1)"), was_ready=True)
    supervisor.start(service)
    with pytest.raises(G6Error, match=f"no disk .*given up after {RESTARTS_MAX} restarts"):
        while True:
            supervisor.pause()
    assert sum("started again (process" in line for line in said) == RESTARTS_MAX
    assert sum("collector ended with 1: no disk" in line for line in said) == RESTARTS_MAX


def test_a_good_end_is_one_only_for_who_may_end(supervisor: Supervisor, said: list[str]) -> None:
    day = Service("collector", lambda: python(""), may_end=True, was_ready=True)
    server = Service("exchange", lambda: python("") if not server.restarts else STAYS, was_ready=True)
    supervisor.start(day)
    supervisor.start(server)
    while not (day.has_ended and server.restarts and server.child is not None):
        supervisor.pause()
    assert "collector ended" in said
    assert server.child.running
    assert [line for line in said if line.startswith("collector started again")] == []


def test_what_only_people_can_mend_is_not_tried_again(supervisor: Supervisor) -> None:
    supervisor.start(Service("sidecar", lambda: python("import sys; sys.exit(3)"), was_ready=True))
    with pytest.raises(ConfigError, match="sidecar ended with 3"):
        while True:
            supervisor.pause()


def test_a_job_of_dagster_gives_its_own_reason(supervisor: Supervisor) -> None:
    reason = "dagster._core.definitions.events.Failure: no dump of the day; run the prepare stage"
    command = python(f"import sys; print({reason!r}); print('resource init'); sys.exit(1)")
    assert supervisor.run("pre_open", command).startswith("pre_open ended with 1: no dump of the day; run the prepare")


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals as a terminal leaves them: who starts the tests in the background has some of them ignored."""
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_and_ctrl_c_after_it_kills_whoever_does_not_go(
    supervisor: Supervisor, heard: None, number: int
) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"
    service = Service("sidecar", lambda: python(f"{stubborn}; time.sleep(600)"))
    before = signal.getsignal(number)
    with supervisor.listening():
        supervisor.start(service)
        child = service.child
        assert child is not None
        while not child.last_words():
            supervisor.pause()
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped):
            supervisor.pause()
        assert supervisor.stopped_by == signal.Signals(number).name
        os.kill(os.getpid(), signal.SIGINT)
        supervisor.stop("sidecar")
    assert child.process.returncode == -signal.SIGKILL
    assert signal.getsignal(number) == before
