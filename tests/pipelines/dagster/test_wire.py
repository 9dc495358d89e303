"""The collection as a Dagster process on a served exchange that dies, forgets, and refuses the token."""

import subprocess
import sys
from pathlib import Path

import pytest

from g6_core.adapters.lake import lake_cycles
from g6_core.schema.options import OPTION_COLUMNS
from tests.pipelines.dagster.kit import narrow_config
from tests.stream.wire import DAY, Wire, moment, said, wire

# From 09:15 to 15:40, every five minutes.
CYCLES, INTERVAL_MS = 77, 300_000
KEY = f"{DAY}|NIFTY"


def collector(world: Wire) -> subprocess.Popen[str]:
    """The session's asset in a process of its own, as a schedule or a person starts it."""
    asset = ["asset", "materialize", "-m", "g6_pipelines.definitions", "--select", "option_chain", "--partition", KEY]
    home = world.root / "dagster"
    home.mkdir(exist_ok=True)
    where = {"G6_DATA_DIR": str(world.paths.root), "G6_CONFIG_DIR": str(world.config_dir), "DAGSTER_HOME": str(home)}
    return world.start([sys.executable, "-m", "dagster", *asset], **where)


def cycles(world: Wire) -> dict[int, set[str]]:
    """States of the rows by time of the cycle."""
    time, status = list(OPTION_COLUMNS).index("timestamp"), list(OPTION_COLUMNS).index("call_status")
    return {
        int(str(rows[0][time])): {str(row[status]) for row in rows}
        for rows in lake_cycles(world.paths.lake(DAY, "NIFTY"))
    }


@pytest.mark.slow
def test_the_collection_outlives_the_exchange_and_a_refused_token(tmp_path: Path, config_dir: Path) -> None:
    names = "collector,test"
    with wire(tmp_path, config_dir, 7, config=narrow_config, participants=names, mortal=True) as world:
        world.prepare()
        clock = world.clock()
        collecting = collector(world)
        clock.sleep_until(moment(9, 31))
        world.fault(kind="token_expired")
        clock.sleep_until(moment(9, 36))
        world.kill_exchange()
        world.serve()
        clock.sleep_until(moment(9, 51))
        assert clock.now_ms() == world.told()["now_ms"] == moment(9, 51)
        clock.close()
        text = said(collecting)
        assert collecting.returncode == 0, text
        assert text.count("logged in to the simulated exchange again") == 2
        assert "Traceback" not in text and "Stack Trace" not in text
        found = cycles(world)
    assert sorted(found) == [moment(9, 15) + INTERVAL_MS * number for number in range(CYCLES)]
    assert {status for states in found.values() for status in states} == {"live"}
