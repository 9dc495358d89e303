"""The Influx sink of a collection against a real influxd: whole days, outages, kills, refusals, a server that hangs."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from time import monotonic

import polars as pl
import pytest

from g6_core.adapters.csv_sink import clear_day
from g6_core.adapters.influx import Influx
from g6_core.adapters.lake import Lake, lake_cycles, read_lake
from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_core.domain.errors import ConfigError, DataError
from g6_core.domain.ist import MINUTE_MS
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.sim.modelled import ModelledSource
from g6_core.site import Site
from g6_pipelines.sinks.influx_copy import InfluxCopy
from g6_pipelines.stages.influx import catch_up_influx
from g6_pipelines.stages.reconcile_influx import reconcile_influx
from tests.pipelines.collecting import CLOSE, DAY, OPEN, Collecting, collecting, narrowed
from tests.servers import InfluxBox, InfluxProxy

NIFTY = ("NIFTY",)
HOUR_MS = 60 * MINUTE_MS
# A cycle a quarter of an hour, through the session.
CYCLES = 25
ROWS = CYCLES * 2 * 5


@pytest.fixture
def world(influx: InfluxBox, rules: MarketRules, settings: Settings, tmp_path: Path) -> Collecting:
    """A scripted session, few strikes, with the sink on."""
    return collecting(rules, influx.settings(narrowed(settings)), tmp_path)


def count(influx: InfluxBox, what: str = "count(call_status) FROM options") -> int:
    with Influx(influx.target) as one:
        found = one.query(f"SELECT {what}")
    return int(found[0].rows[0][1]) if found else 0


def differences(world: Collecting) -> list[str]:
    """What the evening's comparison finds wrong, without anything being sent by it."""
    checks = reconcile_influx(world.index_day)
    assert checks[0].figures == {"sent": 0}, checks[0].detail
    assert [one.name for one in checks[1:]] == [
        f"influx_{what}_match_lake" for what in ("options", "overview", "cycle")
    ]
    return [one.detail for one in failed(checks)]


@pytest.mark.parametrize(("index", "seed", "day"), [("SENSEX", 11, date(2026, 1, 13))])
def test_a_whole_modelled_day_is_in_influx_as_it_is_in_the_lake(
    influx: InfluxBox,
    rules: MarketRules,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    index: str,
    seed: int,
    day: date,
) -> None:
    # What a slow answer costs is another test's business: here a busy machine must not look like an outage.
    monkeypatch.setattr("g6_core.adapters.influx.WRITE_TIMEOUT_S", 60.0)
    source = ModelledSource((index,), day, rules, seed)
    start_ms = source.session.open_ms - MINUTE_MS
    codes = ("this_week", "this_month")
    narrow = influx.settings(narrowed(settings, codes=codes, offsets=(-3, 3), interval_s=300))
    world = collecting(rules, narrow, tmp_path, source, start_ms=start_ms)
    report = world.finish()
    lake = read_lake(world.paths.lake(day, index))
    checks = reconcile_influx(world.index_day)
    assert report.said == ()
    assert [one.detail for one in failed(checks)] == []
    cycles = (source.session.close_ms - source.session.open_ms) // (5 * MINUTE_MS)
    assert [one.figures.get("points", one.figures.get("sent")) for one in checks] == [
        0, lake.height, cycles * len(codes), cycles,
    ]  # fmt: skip
    assert count(influx) == lake.height == cycles * 14
    # Beside the comparison's own way: two figures of the day by plain InfluxQL.
    assert count(influx, "sum(call_volume) FROM options WHERE \"offset\" = '0'") == (
        lake.filter(pl.col("offset") == 0)["call_volume"].sum()
    )
    assert count(influx, "count(distinct(call_symbol)) FROM options") == lake["call_symbol"].n_unique()


def test_an_outage_of_an_hour_is_said_once_and_caught_up(world: Collecting, influx: InfluxBox) -> None:
    assert world.run(until_ms=OPEN + 2 * HOUR_MS) is None
    before = count(influx)
    influx.proxy.stop()
    world.cycles.clear()
    assert world.run(until_ms=OPEN + 3 * HOUR_MS) is None
    (said,) = [line for cycle in world.cycles for line in cycle.said]
    assert "does not answer" in said
    influx.proxy.start()
    assert count(influx) == before
    report = world.finish()
    assert report.resumed_cycles == 12
    assert count(influx) == ROWS
    assert differences(world) == []


def test_an_outage_within_one_run_is_said_in_its_cycle_and_its_end_too(world: Collecting, influx: InfluxBox) -> None:
    stage = world.stage()
    for wake_ms in stage:
        if wake_ms == OPEN + 2 * HOUR_MS:
            influx.proxy.stop()
        if wake_ms == OPEN + 3 * HOUR_MS:
            assert count_behind(influx) < ROWS
            influx.proxy.start()
        world.clock.sleep_until(wake_ms)
    said = {(cycle.time_ms - OPEN) // MINUTE_MS: cycle.said for cycle in world.cycles if cycle.said}
    assert sorted(said) == [120, 180], said
    assert len(said[120]) == len(said[180]) == 1
    assert "does not answer" in said[120][0]
    assert said[180][0] == "influx: answers again and has everything up to 12:15:00"
    assert differences(world) == []


def count_behind(influx: InfluxBox) -> int:
    """Points in the server, asked past the closed proxy."""
    direct = InfluxProxy(influx.proxy.port_behind)
    direct.start()
    try:
        return count(replace(influx, target=replace(influx.target, url=direct.url)))
    finally:
        direct.stop()


def test_a_sink_turned_on_late_is_given_the_whole_day(
    influx: InfluxBox, rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    off = collecting(rules, narrowed(settings), tmp_path)
    assert off.run(until_ms=OPEN + 4 * HOUR_MS) is None
    assert count(influx) == 0
    assert reconcile_influx(off.index_day) == ()
    world = replace(off, settings=influx.settings(off.settings))
    world.finish()
    assert count(influx) == ROWS
    assert differences(world) == []


def test_a_kill_between_lake_and_influx_loses_and_doubles_nothing(
    world: Collecting, influx: InfluxBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.run(until_ms=OPEN + HOUR_MS) is None

    class Killed(BaseException):
        """As a SIGKILL: nothing is cleaned up by it."""

    def die(*_: object) -> None:
        raise Killed

    for place in ("g6_pipelines.sinks.influx_copy.lines_of", "g6_pipelines.sinks.influx_copy.write_atomic"):
        with monkeypatch.context() as patch:
            patch.setattr(place, die)
            with pytest.raises(Killed):
                catch_up_all(world, influx)
    position = world.paths.influx_position(DAY, "NIFTY")
    assert not position.exists()
    position.write_text('{"version":1,"target":"http')
    world.finish()
    assert count(influx) == ROWS
    assert differences(world) == []


def catch_up_all(world: Collecting, influx: InfluxBox) -> None:
    """From nothing, as after the loss of the position."""
    world.paths.influx_position(DAY, "NIFTY").unlink(missing_ok=True)
    catch_up_influx(world.site, DAY, NIFTY)


def test_a_wrong_token_is_said_once_and_the_day_goes_on(
    world: Collecting, influx: InfluxBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G6_INFLUX_TOKEN", "g6:wrong")
    report = world.finish()
    assert report.coverage.pct == 100
    assert len(report.said) == 1
    assert report.said[0].startswith("influx: G6_INFLUX_TOKEN: ")
    assert count(influx) == 0
    (check,) = reconcile_influx(world.index_day)
    assert not check.passed
    assert "G6_INFLUX_TOKEN" in check.detail
    monkeypatch.setenv("G6_INFLUX_TOKEN", influx.target.token)
    assert [one.sent for one in catch_up_influx(world.site, DAY, NIFTY)] == [ROWS]
    assert differences(world) == []


def test_a_hanging_server_costs_a_cycle_no_more_than_its_budget(world: Collecting, influx: InfluxBox) -> None:
    influx.proxy.delay_s = 7
    longest_s = 0.0
    began = monotonic()
    for wakes, wake_ms in enumerate(world.stage()):
        longest_s = max(longest_s, monotonic() - began)
        if wakes == 2:
            influx.proxy.delay_s = 0
        world.clock.sleep_until(wake_ms)
        began = monotonic()
    assert 1.5 < longest_s < 6.5, "an answer takes 7 s"
    assert [cycle.live for cycle in world.cycles] == [20] * CYCLES
    assert differences(world) == []


def test_a_day_collected_anew_replaces_what_was_there(world: Collecting, influx: InfluxBox) -> None:
    world.finish()
    clear_day(world.paths, DAY, NIFTY)
    other = collecting(world.rules, world.settings, world.paths.root, spot_path=((OPEN, 24_900_00),))
    other.finish()
    assert count(influx) == ROWS
    assert differences(other) == []


def test_days_of_a_real_and_of_a_simulated_market_keep_apart(world: Collecting, influx: InfluxBox) -> None:
    world.finish()
    mark_simulated(world.paths, DAY, Simulated("modelled", 7))
    assert [one.sent for one in catch_up_influx(world.site, DAY, NIFTY)] == [ROWS]
    assert count(influx) == 2 * ROWS
    assert count(influx, "count(call_status) FROM options WHERE source = 'simulated'") == ROWS
    assert differences(world) == []


def test_another_bucket_is_given_everything(world: Collecting, influx: InfluxBox) -> None:
    world.finish()
    policy = replace(influx.target, bucket=f"{influx.target.bucket}/autogen")
    site = replace(world.site, settings=replace(influx, target=policy).settings(world.settings))
    assert [one.sent for one in catch_up_influx(site, DAY, NIFTY)] == [ROWS]
    assert [one.sent for one in catch_up_influx(site, DAY, NIFTY)] == [0]


@pytest.mark.parametrize(
    ("damage", "check", "named"),
    [
        (
            "DELETE FROM options WHERE \"offset\" = '1' AND time = '2025-08-29T04:00:00Z'",
            "influx_options_match_lake",
            "at 2025-08-29 09:30:00 IST is not in InfluxDB",
        ),
        ("DROP MEASUREMENT overview", "influx_overview_match_lake", "this_week at 2025-08-29 09:15:00 IST is not in"),
        (
            "DROP MEASUREMENT g6_cycle",
            "influx_cycle_match_lake",
            "g6_cycle at 2025-08-29 09:15:00 IST is not in InfluxDB",
        ),
    ],
    ids=["a minute", "the overviews", "the cycles"],
)
def test_what_influx_has_lost_is_named_and_sent_again_on_demand(
    world: Collecting, influx: InfluxBox, damage: str, check: str, named: str
) -> None:
    world.finish()
    with Influx(influx.target) as one:
        one.execute(damage)
    bad = failed(reconcile_influx(world.index_day))
    assert [one.name for one in bad] == [check]
    assert named in bad[0].detail
    catch_up_influx(world.site, DAY, NIFTY, again=True)
    assert differences(world) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (
            "options,source=kite,index=NIFTY,expiry_code=this_week,offset=0 call_ltp=0.05",
            "call_ltp is 0.05, in the lake",
        ),
        ("options,source=kite,index=NIFTY,expiry_code=this_week,offset=0 put_oi=1i", "put_oi is 1, in the lake"),
        (
            'options,source=kite,index=NIFTY,expiry_code=this_week,offset=9 call_status="live"',
            "this_week/9 is not in the lake",
        ),
        ("g6_cycle,source=kite,index=NIFTY calls=99i", "calls is 99, in the lake"),
    ],
)
def test_a_value_that_is_not_the_lakes_is_named_with_contract_and_minute(
    world: Collecting, influx: InfluxBox, line: str, named: str
) -> None:
    world.finish()
    with Influx(influx.target) as one:
        one.write(f"{line} {OPEN + HOUR_MS}".encode())
    (bad,) = failed(reconcile_influx(world.index_day))
    assert named in bad.detail
    if line.startswith("options") and "offset=0" in line:
        assert f"NIFTY{'25902'}24500{'CE' if 'call' in line else 'PE'} at 2025-08-29 10:15:00 IST" in bad.detail


def test_a_cycle_that_is_added_to_the_lake_afterwards_is_in_influx_too(world: Collecting, influx: InfluxBox) -> None:
    world.finish()
    path = world.paths.lake(DAY, "NIFTY")
    cycles = list(lake_cycles(path))
    path.unlink()
    with Lake.open(path, OPTION_COLUMNS) as lake:
        for cycle in (*cycles[:4], *cycles[5:]):
            lake.append(cycle)
        assert [one.sent for one in catch_up_influx(world.site, DAY, NIFTY)] == [ROWS - 10]
        lake.append(cycles[4])
    assert [one.sent for one in catch_up_influx(world.site, DAY, NIFTY)] == [ROWS]
    assert differences(world) == []


def test_a_row_that_is_twice_in_the_lake_is_named(world: Collecting, influx: InfluxBox) -> None:
    world.finish()
    path = world.paths.lake(DAY, "NIFTY")
    doubled = next(iter(lake_cycles(path)))[2:3]
    with Lake.open(path, OPTION_COLUMNS) as lake:
        lake.append(doubled)
    catch_up_influx(world.site, DAY, NIFTY)
    bad = {one.name: one for one in failed(reconcile_influx(world.index_day))}
    assert "at 2025-08-29 09:15:00 IST is in the lake more than once" in bad["influx_options_match_lake"].detail


@pytest.mark.slow
def test_a_day_that_the_bucket_keeps_no_more_is_skipped_counted_and_told(world: Collecting, influx: InfluxBox) -> None:
    with Influx(influx.target) as one:
        one.execute(f'CREATE RETENTION POLICY "short" ON "{influx.target.database}" DURATION 1h REPLICATION 1')
    short = replace(influx, target=replace(influx.target, bucket=f"{influx.target.database}/short"))
    world = replace(world, settings=short.settings(world.settings))
    report = world.finish()
    (told,) = {line for line in report.said if "skipped" in line}
    assert "older than what" in told and "lake has them" in told
    (copied,) = catch_up_influx(world.site, DAY, NIFTY)
    assert (copied.rows, copied.sent, copied.skipped >= ROWS) == (ROWS, 0, True)
    readable, *others = reconcile_influx(world.index_day)
    assert readable.figures["skipped"] == copied.skipped
    assert failed((readable, *others)) == ()


def test_only_one_process_copies_at_a_time(
    world: Collecting, influx: InfluxBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("g6_pipelines.stages.influx.PATIENCE_S", 0.1)
    with (
        Influx(influx.target) as one,
        InfluxCopy(one, world.index_day),
        pytest.raises(DataError, match="another process is copying to InfluxDB"),
    ):
        catch_up_influx(world.site, DAY, NIFTY)


def test_the_copy_of_a_day_without_a_lake_touches_nothing(world: Collecting, influx: InfluxBox) -> None:
    world.finish()
    world.paths.lake(DAY, "NIFTY").unlink()
    assert [one.sent for one in catch_up_influx(world.site, DAY, NIFTY, again=True)] == [0]
    assert count(influx) == ROWS


def test_without_influx_there_is_nothing_to_catch_up(settings: Settings, rules: MarketRules, tmp_path: Path) -> None:
    from g6_core.schema.paths import DataPaths

    with pytest.raises(ConfigError, match=r"influx\.enabled: is not true; turn it on"):
        catch_up_influx(Site(settings, rules, DataPaths(tmp_path)), DAY, NIFTY)


assert CLOSE - OPEN == CYCLES * 15 * MINUTE_MS
