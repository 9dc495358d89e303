"""A session run that fetches the dump itself: what is wrong with the dump is said, and the day is collected."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from g6_core.adapters.kite_market import Market
from g6_core.adapters.lake import read_lake
from g6_pipelines.places import Place, Where
from g6_pipelines.session import run
from tests.pipelines.collecting import DAY, OPEN, collecting, narrowed


@pytest.mark.parametrize(
    ("strikes", "said"),
    [
        (1, []),
        (10, ["instruments dump: strike_step: NIFTY 2025-09-02 is listed every 500, the rule says 50; correct"]),
    ],
)
def test_a_dump_that_fails_its_checks_is_said_in_words_and_in_the_status_and_stops_nothing(
    rules, settings, tmp_path, monkeypatch, strikes: int, said: list[str]
) -> None:
    few = narrowed(settings)
    world = collecting(rules, few, tmp_path)
    listed = world.kite.instruments

    def instruments(exchange: str) -> list[dict]:
        return [row | {"strike": row["strike"] * strikes} for row in listed(exchange)]

    monkeypatch.setattr(world.kite, "instruments", instruments)

    @contextmanager
    def opened(*_: object) -> Iterator[Market]:
        yield Market(world.kite, world.clock)

    monkeypatch.setattr(run, "open_market", opened)
    heard: list[str] = []
    place = Place(Where.SERVER, DAY, "scripted", 0, "index")
    run.run_session(world.site, place, ["NIFTY"], lambda _: None, heard.append, on_market=lambda _: OPEN + 1)

    assert len(heard) == len(said) and all(line.startswith(want) for line, want in zip(heard, said, strict=True))
    status = json.loads(world.paths.runtime_status.read_text())
    assert status["readiness_ok"] is not bool(said)
    assert all(line in status["readiness_reason"] for line in heard)
    assert len(read_lake(world.paths.lake(DAY, "NIFTY"))) > 0
