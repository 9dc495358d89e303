"""A connected ticker that brings no data, too little or old stamps, on real processes: noticed, told, made anew."""

from pathlib import Path
from typing import Any

import pytest

from g6_core.adapters.ledger.ledger import Ledger
from g6_core.domain.events import Frame
from g6_core.domain.packets import INDEX_SEGMENT
from g6_core.domain.records import RiskEventRecord
from g6_stream.liveness import SUSPECT_MS
from tests.stream.wire import DAY, Wire, g6, moment, said, wire

pytestmark = pytest.mark.slow
WITHIN_MS = range(SUSPECT_MS, 10_001)
HEALS: dict[str, Any] = {"until_reconnect": True}


def options(world: Wire) -> list[int]:
    """The contracts that were streamed in the last half minute."""
    frames = [event for event in world.events() if isinstance(event, Frame)][-30:]
    tokens = {int(token) for frame in frames for token in frame.ticks["token"]}
    return sorted(token for token in tokens if token & 0xFF != INDEX_SEGMENT)


def spells(events: tuple[RiskEventRecord, ...]) -> list[tuple[RiskEventRecord, RiskEventRecord]]:
    """Each loss of the feed with its return."""
    of_feed = [event for event in events if event.kind in ("feed_lost", "feed_back")]
    assert [event.kind for event in of_feed] == ["feed_lost", "feed_back"] * (len(of_feed) // 2)
    return list(zip(of_feed[::2], of_feed[1::2], strict=True))


def test_three_kinds_of_dead_feed_and_a_loss_of_three_seconds(tmp_path: Path, config_dir: Path) -> None:
    with wire(tmp_path, config_dir, seed=3) as world:
        world.prepare()
        clock = world.clock()
        sidecar = world.sidecar()
        world.await_sidecar()
        ordered_ms = [moment(9, 20), moment(9, 26), moment(9, 29), moment(9, 32)]
        clock.sleep_until(ordered_ms[0])
        world.fault(kind="ws_no_ticks", for_ms=200_000)
        clock.sleep_until(moment(9, 21))
        status = world.get("/status").json()
        assert not status["feed_connected"] and any("no tick of NIFTY 50" in one for one in status["reasons"])
        clock.sleep_until(ordered_ms[1])
        assert world.get("/status").json()["reasons"] == []
        world.fault(kind="ws_old_stamps", **HEALS)
        clock.sleep_until(ordered_ms[2])
        world.fault(kind="ws_dead_tokens", tokens=options(world)[::2], **HEALS)
        clock.sleep_until(ordered_ms[3])
        world.fault(kind="ws_drop", for_ms=3_000)
        clock.sleep_until(moment(9, 33))
        connects = world.get("/status").json()["feed"]["connects"]
        sidecar.terminate()
        clock.close()
        log = said(sidecar)
        assert sidecar.returncode == 0, log
        with Ledger.open(world.paths.ledger) as ledger:
            found = spells(ledger.day(DAY).risk_events)
        replayed = world.start(
            g6("journal", "replay", "--data-dir", str(world.paths.root), "--config-dir", str(world.config_dir))
        )
        text = said(replayed)
        assert replayed.returncode == 0, text
    noticed_ms = [lost.time_ms - ordered for (lost, _), ordered in zip(found, ordered_ms, strict=True)]
    assert all(one in WITHIN_MS for one in noticed_ms[:3]), noticed_ms
    for (lost, _), words in zip(found, ("no tick of", "time stands still", "subscriptions", "closed by"), strict=True):
        assert words in lost.detail and lost.detail in log
    away_s = [back.value for _, back in found]
    # The fault of the first lasts 200 s; the others are over with the next connection.
    assert 185 <= away_s[0] <= 202 and all(one <= 5 for one in away_s[1:]), away_s
    assert 4 + 2 <= connects <= 12, "a connection that does not help is made less and less often"
