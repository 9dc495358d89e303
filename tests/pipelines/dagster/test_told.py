"""What a session says on its way reaches Dagster in order, and never holds the session up."""

import threading
from time import monotonic
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from g6_pipelines.assets import told as module
from g6_pipelines.assets.told import Told


class Storage:
    """Takes lines while it is up."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.up = threading.Event()
        self.up.set()
        self.answers = threading.Event()
        self.answers.set()
        self.refused = threading.Semaphore(0)

    def take(self, line: object) -> None:
        self.answers.wait()
        if not self.up.is_set():
            self.refused.release()
            raise ConnectionRefusedError("nobody listens")
        self.lines.append(str(line))

    @property
    def context(self) -> Any:
        log = SimpleNamespace(info=self.take, warning=self.take)
        return SimpleNamespace(log=log, log_event=lambda event: self.take(event.partition))


def test_everything_arrives_in_its_order_before_the_step_ends() -> None:
    storage = Storage()
    with Told(storage.context) as told:
        told.info("first")
        told.observation(dg.AssetObservation("option_chain", partition="second"))
        told.warning("third")
    assert storage.lines == ["first", "second", "third"]


def test_what_a_storage_that_is_away_refuses_is_counted_and_said_afterwards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = Storage()
    with Told(storage.context) as told:
        storage.up.clear()
        for number in range(3):
            told.info(str(number))
            assert storage.refused.acquire(timeout=10)
        storage.up.set()
        told.info("back")
    assert storage.lines == ["back", "3 messages were dropped: Dagster's storage was away"]
    assert capsys.readouterr().err.count("the collection goes on: nobody listens") == 3


def test_a_storage_that_hangs_holds_up_neither_a_cycle_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 10)
    monkeypatch.setattr(module, "LAST_WORDS_S", 0.1)
    storage = Storage()
    storage.answers.clear()
    began_s = monotonic()
    with Told(storage.context) as told:
        for number in range(1_000):
            told.info(str(number))
    assert monotonic() - began_s < 5
    storage.answers.set()
