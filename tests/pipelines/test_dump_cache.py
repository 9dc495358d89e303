"""The dump of the day is fetched once, and a dump that may be yesterday's is doubted."""

from dataclasses import replace
from datetime import date, time

import pytest
import requests

from g6_core.adapters.kite_market import fetch_instruments
from g6_core.domain.errors import Refused, TryLater
from g6_core.domain.ist import MINUTE_MS, at, utc_text
from g6_pipelines.stages.dump_cache import DayDump, day_dump, read_note
from tests.pipelines.collecting import DAY, Collecting, collecting, refusal

EIGHT = at(DAY, time(8))


@pytest.fixture
def world(rules, settings, tmp_path) -> Collecting:
    # Of one index: a dump of every exchange is more calls than the broker takes so fast.
    only = settings.file.model_copy(update={"indices": {"NIFTY": settings.indices["NIFTY"]}})
    return collecting(rules, replace(settings, file=only), tmp_path)


def asked(world: Collecting, now_ms: int, day: date = DAY) -> DayDump:
    return day_dump(world.kite, world.site, day, now_ms)


def test_the_dump_of_the_day_is_fetched_once(world) -> None:
    first = asked(world, EIGHT)
    assert (first.hit, first.doubt) == (False, "")
    note = read_note(world.paths, DAY)
    assert note is not None and (note.fetched, note.sha256) == (utc_text(EIGHT), first.dump.sha256)
    world.kite.reqsession.close()
    world.kite.reqsession.adapters.clear()
    again = asked(world, EIGHT + 3_600_000)
    assert (again.hit, again.doubt, again.dump.sha256) == (True, "", first.dump.sha256), "the broker is not asked"
    assert len(again.dump.book) == len(first.dump.book) > 100


def test_a_dump_of_before_eight_is_doubted_and_fetched_again_later(world) -> None:
    early = asked(world, EIGHT - 1)
    assert "before 08:00" in early.doubt
    later = asked(world, EIGHT)
    assert (later.hit, later.doubt) == (False, "")
    assert asked(world, EIGHT + 1).hit


SAME = "the same as on 2025-08-28: the broker has not published a new one"
TEN_MINUTES = 10 * MINUTE_MS


def test_a_dump_that_has_not_changed_since_the_day_before_is_doubted_by_everybody_and_asked_for_again(world) -> None:
    yesterday = date(2025, 8, 28)
    asked(world, at(yesterday, time(8, 45)), yesterday)
    found = [asked(world, EIGHT + later) for later in (0, 1, TEN_MINUTES - 1_000, TEN_MINUTES, TEN_MINUTES + 1)]
    assert [(one.hit, one.doubt) for one in found] == [
        (False, SAME), (True, SAME), (True, SAME), (False, SAME), (True, SAME),
    ]  # fmt: skip


@pytest.mark.parametrize("answer", ["refusal", "an impossible cell"])
def test_a_doubted_dump_is_kept_with_its_doubt_while_the_broker_gives_no_other(world, answer: str) -> None:
    yesterday = date(2025, 8, 28)
    asked(world, at(yesterday, time(8, 45)), yesterday)
    asked(world, EIGHT)
    send = world.kite.reqsession.request

    def spoil(method: str, url: str, **more) -> requests.Response:
        if answer == "refusal":
            return refusal(requests.Request(method, url).prepare(), 403, "PermissionException", "no")
        found = send(method, url, **more)
        assert b",0.05," in found.content
        found._content = found.content.replace(b",0.05,", b",nan,")
        return found

    world.kite.reqsession.request = spoil
    found = asked(world, EIGHT + TEN_MINUTES)
    assert found.hit and found.doubt.startswith(SAME)
    assert ("the broker's new one cannot be used" in found.doubt) is (answer == "an impossible cell")


@pytest.mark.parametrize("damage", ["file", "note", "other file"])
def test_a_damaged_store_is_fetched_anew(world, damage: str) -> None:
    asked(world, EIGHT)
    path = world.paths.dump_note(DAY) if damage == "note" else world.paths.instruments(DAY)
    if damage == "other file":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20])
    found = asked(world, EIGHT + 1)
    assert (found.hit, found.doubt) == (False, "")


@pytest.mark.parametrize(
    ("statuses", "pauses", "outcome"),
    [
        ([], [], None),
        ([429], [1.0], None),
        ([503, 502], [1.0, 2.0], None),
        ([429, 429, 429], [1.0, 2.0], TryLater),
        ([403], [], Refused),
    ],
)
def test_a_dump_is_asked_for_again_where_that_can_help(world, statuses, pauses, outcome) -> None:
    left, waited = list(statuses), []
    send = world.kite.reqsession.request

    def refuse(method: str, url: str, **more) -> requests.Response:
        if not left:
            return send(method, url, **more)
        prepared = requests.Request(method, url).prepare()
        return refusal(prepared, left.pop(0), "NetworkException", "not now")

    world.kite.reqsession.request = refuse
    if outcome is None:
        assert fetch_instruments(world.kite, "NFO", waited.append)
    else:
        with pytest.raises(outcome, match="instruments of NFO"):
            fetch_instruments(world.kite, "NFO", waited.append)
    assert waited == pauses
