"""A collector that is killed with SIGKILL between its lake and a real influxd; the next one makes the copy whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from g6_core.adapters.influx import Influx
from g6_core.adapters.lake import lake_cycles
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_pipelines.sinks.influx_points import Measurement
from g6_pipelines.stages.reconcile_influx import reconcile_influx
from tests.pipelines.collecting import DAY, collecting, narrowed
from tests.servers import InfluxBox

PROJECT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
COLLECTOR = """
import sys
from pathlib import Path
from g6_core.adapters.influx import InfluxTarget
from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import load_settings
from tests.pipelines.collecting import collecting, narrowed
from tests.servers import InfluxBox, InfluxProxy

config, root, url, bucket = sys.argv[1:]
box = InfluxBox(InfluxProxy(0), InfluxTarget(url, "g6", bucket))
settings = box.settings(narrowed(load_settings(Path(config))))
collecting(load_market_rules(Path(config)), settings, Path(root)).finish()
"""


@pytest.mark.parametrize("after", [1, 11])
def test_a_killed_collector_leaves_a_copy_that_the_next_one_completes(
    influx: InfluxBox, rules: MarketRules, settings: Settings, config_dir: Path, tmp_path: Path, after: int
) -> None:
    target = influx.target
    arguments = [str(config_dir), str(tmp_path), target.url, target.bucket]
    # Then no write is answered any more: the collector stands between its lake and the answer.
    influx.proxy.delay_s, influx.proxy.prompt_requests = 7, len(Measurement) + after
    with subprocess.Popen([sys.executable, "-c", COLLECTOR, *arguments], cwd=PROJECT) as process:
        until = monotonic() + WAIT_S
        while len(influx.proxy.requests) <= influx.proxy.prompt_requests and monotonic() < until:
            sleep(0.01)
        assert process.poll() is None, "the day was over before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    influx.proxy.delay_s = 0
    world = collecting(rules, influx.settings(narrowed(settings)), tmp_path)
    held = sum(1 for _ in lake_cycles(world.paths.lake(DAY, "NIFTY")))
    assert after <= held < 25
    report = world.finish()
    assert report.resumed_cycles == held
    checks = reconcile_influx(world.index_day)
    assert [one.detail for one in failed(checks)] == []
    with Influx(target) as one:
        assert one.query("SELECT count(call_status) FROM options")[0].rows[0][1] == report.rows == 250
