"""A feed that goes and comes: two risk events of the day, however short it was."""

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import FeedState, Persist
from g6_core.domain.records import RiskEventRecord
from g6_core.engine.step import step
from g6_core.schema.journal import JournalRecord, Kind, decode_event, encode_event
from tests.engine.kit import ELEVEN, Bench


def events_of(bench: Bench, *states: FeedState) -> list[RiskEventRecord]:
    """The risk events that follow from these states of the feed."""
    commands = [command for state in states for command in step(bench.state, state)]
    kept = [command.record for command in commands if isinstance(command, Persist)]
    return [record for record in kept if isinstance(record, RiskEventRecord)]


@pytest.fixture
def bench(rules: MarketRules, settings: Settings) -> Bench:
    """An engine that has seen nothing yet."""
    return Bench.scripted(rules, settings.engine_params())


def test_a_loss_of_three_seconds_is_a_risk_event_with_its_reason_and_its_length(bench: Bench) -> None:
    lost = FeedState(ELEVEN, False, "closed by the broker (1012)")
    away, back = events_of(bench, lost, FeedState(ELEVEN + 3_000, True))
    assert (away.kind, away.time_ms, "closed by the broker" in away.detail) == ("feed_lost", ELEVEN, True)
    assert (back.kind, back.value, "3 s" in back.detail) == ("feed_back", 3.0, True)


def test_what_did_not_change_is_no_event(bench: Bench) -> None:
    assert events_of(bench, FeedState(ELEVEN, True)) == []
    assert len(events_of(bench, FeedState(ELEVEN, False), FeedState(ELEVEN + 1_000, False))) == 1


def test_a_journal_from_before_there_were_reasons_is_read() -> None:
    kind, payload = encode_event(FeedState(ELEVEN, False, "x"))
    assert (kind, decode_event(JournalRecord(kind, 1, ELEVEN, payload))) == (
        Kind.FEED_STATE,
        FeedState(ELEVEN, False, "x"),
    )
    older = b"\x82\xa7time_ms\x01\xa9connected\xc2"
    assert decode_event(JournalRecord(kind, 1, 1, older)) == FeedState(1, False, "")
