"""InfluxDB beside the evening job: the copy is caught up and compared; when it is away, nothing else is held up."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml

from g6_core.adapters.influx import Influx
from g6_core.adapters.lake import read_lake
from g6_pipelines.resources import G6Resource
from tests.pipelines.dagster.kit import BANKNIFTY, DAY, Installation, Made, checks_of
from tests.servers import InfluxBox

NAME = "BANKNIFTY"


@pytest.fixture
def with_influx(made: Made, influx: InfluxBox, tmp_path: Path) -> Installation:
    """A copy of a sound day whose configuration turns the copy in InfluxDB on afterwards."""
    sound = made.installation
    shutil.copytree(sound.paths.root, tmp_path / "data")
    shutil.copytree(sound.g6.config_dir, tmp_path / "config")
    file = tmp_path / "config" / "g6.yaml"
    document = yaml.safe_load(file.read_text())
    document["influx"].update(enabled=True, url=influx.target.url, bucket=influx.target.bucket)
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    g6 = G6Resource(data_dir=str(tmp_path / "data"), config_dir=str(tmp_path / "config"))
    return Installation(g6, sound.instance)


def severity_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckSeverity:
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "influx_equals_lake"]
    return found.severity


def test_the_evening_catches_the_copy_up_and_finds_it_equal(with_influx: Installation, influx: InfluxBox) -> None:
    result = with_influx.phase("evening", BANKNIFTY, only=["data_reconciliation"])
    assert result.success
    assert checks_of(result)["influx_equals_lake"] is True
    with Influx(influx.target) as one:
        (series,) = one.query("SELECT count(call_status) FROM options WHERE source = 'simulated'")
    assert series.rows[0][1] == read_lake(with_influx.paths.lake(DAY, NAME)).height


def test_a_copy_that_is_away_is_a_warning_and_stops_neither_picks_nor_report(
    with_influx: Installation, influx: InfluxBox
) -> None:
    influx.proxy.stop()
    result = with_influx.phase("evening", BANKNIFTY)
    assert result.success
    found = checks_of(result)
    assert (found["influx_equals_lake"], found["lake_equals_csv"]) == (False, True)
    assert severity_of(result) is dg.AssetCheckSeverity.WARN
    made = {event.asset_key.path[0] for event in result.get_asset_materialization_events()}
    assert {"next_day_picks", "day_report"} <= made


def test_a_session_writes_the_copy_and_says_what_it_had_to_say(with_influx: Installation, influx: InfluxBox) -> None:
    with Influx(influx.target) as one:
        assert one.query("SHOW MEASUREMENTS") == []
        assert with_influx.phase("session", BANKNIFTY, only=["option_chain"]).success
        assert {row[0] for row in one.query("SHOW MEASUREMENTS")[0].rows} == {"options", "overview", "g6_cycle"}
    influx.proxy.stop()
    result = with_influx.phase("session", BANKNIFTY, only=["option_chain"])
    assert result.success
    (said,) = [
        event.step_materialization_data.materialization.metadata["copies_said"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key.path == ["option_chain"]
    ]
    assert "does not answer" in str(said)
