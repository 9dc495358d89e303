"""All definitions as readable text: a change of names, dependencies, partitions, checks or times shows as a diff."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from g6_core.domain.errors import ConfigError
from g6_core.domain.ist import at, to_ist
from g6_pipelines.definitions import defs
from g6_pipelines.partitions import DATE, DAY_INDEX, INDEX, chosen_day, chosen_indices, trading_days

HERE = Path(__file__).parent
COLUMNS = "dagster/column_schema"
SNAPSHOT = HERE / "definitions.txt"
PROJECT = HERE.parents[2]


def described() -> Iterator[str]:
    """The definitions, one fact a line."""
    graph = defs.resolve_asset_graph()
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        yield f"asset {key.to_user_string()}: group {node.group_name}, {_partitions(node.partitions_def)}"
        yield f"    kinds {', '.join(sorted(node.kinds))}{_columns(node.metadata)}"
        for parent in sorted(node.parent_keys):
            yield f"    after {parent.to_user_string()}"
        for check in sorted(node.check_keys, key=lambda one: one.name):
            spec = graph.get_check_spec(check)
            yield f"    check {check.name}{' (blocking)' if spec.blocking else ''}"
    for job in sorted(defs.resolve_all_job_defs(), key=lambda one: one.name):
        if not job.name.startswith("__"):
            assets = sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            yield f"job {job.name}: {', '.join(assets)}; executor {job.executor_def.name}; tags {dict(job.tags)}"
    for schedule in sorted(defs.schedules or (), key=lambda one: one.name):
        assert isinstance(schedule, dg.ScheduleDefinition)
        yield f"schedule {schedule.name}: {schedule.cron_schedule} {schedule.execution_timezone} -> {schedule.job_name}"
    for sensor in sorted(defs.sensors or (), key=lambda one: one.name):
        yield f"sensor {sensor.name}: every {sensor.minimum_interval_seconds} s -> {sensor.job_name}"


def _partitions(partitions: dg.PartitionsDefinition | None) -> str:
    assert isinstance(partitions, dg.MultiPartitionsDefinition)
    days = partitions.get_partitions_def_for_dimension(DATE)
    assert isinstance(days, dg.TimeWindowPartitionsDefinition)
    indices = partitions.get_partitions_def_for_dimension(INDEX).get_partition_keys()
    return f"trading days from {days.start:%Y-%m-%d} {days.timezone} x {'/'.join(indices)}"


def _columns(metadata: Mapping[str, object]) -> str:
    schema = metadata.get(COLUMNS)
    return f"; columns {', '.join(one.name for one in schema.columns)}" if isinstance(schema, dg.TableSchema) else ""


def test_the_definitions_are_those_of_the_snapshot() -> None:
    text = "".join(f"{line}\n" for line in described())
    assert text == SNAPSHOT.read_text(encoding="utf-8"), (
        f"definitions have changed; if that is meant, put this into {SNAPSHOT.name}:\n{text}"
    )


@pytest.mark.slow
def test_dagster_itself_finds_the_definitions_valid(tmp_path) -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(PROJECT / "workspace.yaml")]
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location g6" in done.stdout + done.stderr


def test_every_number_that_is_collected_has_its_unit() -> None:
    graph = defs.resolve_asset_graph()
    for name in ("option_chain", "index_overview"):
        schema = graph.get(dg.AssetKey(name)).metadata[COLUMNS]
        assert isinstance(schema, dg.TableSchema)
        assert [one.name for one in schema.columns if one.type in ("integer", "decimal") and not one.description] == []


def test_every_asset_has_a_check_and_a_description() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert graph.get(key).check_keys, key
        assert graph.get(key).description, key


def test_partitions_are_trading_days_in_india_and_special_sessions_are_among_them(rules) -> None:
    keys = set(trading_days(rules, date(2026, 12, 1)).get_partition_keys())
    assert "2025-02-01" in keys, "the Saturday of the budget was traded"
    assert "2025-08-27" not in keys, "Ganesh Chaturthi"
    assert "2025-08-30" not in keys, "a Saturday"
    assert {"2025-08-28", "2025-08-29"} <= keys
    assert min(keys) == "2025-01-01"


def test_partitions_go_on_beyond_the_known_holidays_without_weekends_and_fixed_holidays(rules) -> None:
    days = trading_days(rules, date(2027, 2, 1))
    keys = set(days.get_partition_keys(current_time=datetime(2028, 2, 29, 12, tzinfo=UTC)))
    assert {"2026-12-31", "2027-01-01", "2027-02-01", "2028-02-29"} <= keys
    assert not {"2027-01-26", "2027-02-06", "2027-02-07", "2028-01-26"} & keys


def test_a_partition_is_written_date_first() -> None:
    assert DAY_INDEX.has_partition_key(dg.MultiPartitionKey({"date": "2025-08-29", "index": "NIFTY"}))
    assert "2025-08-29|NIFTY" in {str(key) for key in DAY_INDEX.get_partition_keys()}


def test_the_workspace_names_the_module_and_a_location(monkeypatch) -> None:
    (entry,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"] == {
        "module_name": "g6_pipelines.definitions",
        "working_directory": ".",
        "location_name": "g6",
    }


def test_the_instance_settings_are_accepted_without_telemetry(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert instance.run_retries_enabled is True


def test_importing_the_definitions_loads_no_heavy_library_and_nothing_of_the_trading_side() -> None:
    probe = "import sys, g6_pipelines.definitions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", probe], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"polars", "matplotlib", "pandas", "kiteconnect", "twisted", "numba"} & loaded == set()
    assert not [name for name in loaded if name.startswith("g6_stream")]


def test_partitions_are_what_is_collected_by_choice(rules) -> None:
    monday, tuesday = date(2026, 11, 30), date(2026, 12, 1)
    assert trading_days(rules, tuesday, date(2026, 11, 28)).get_partition_keys(
        current_time=to_ist(at(tuesday, time(9)))
    ) == [str(monday), str(tuesday)]
    demo = trading_days(rules, tuesday, date(2026, 11, 19), date(2026, 11, 19))
    assert demo.get_partition_keys(current_time=to_ist(at(tuesday, time(9)))) == ["2026-11-19"]
    assert chosen_indices({}, ("NIFTY", "SENSEX")) == ("NIFTY", "SENSEX")
    assert chosen_indices({"G6_INDICES": "SENSEX, NIFTY"}, ("NIFTY", "SENSEX", "BANKNIFTY")) == ("NIFTY", "SENSEX")


def test_a_choice_that_means_nothing_is_named() -> None:
    with pytest.raises(ConfigError, match="G6_FIRST_DAY=19-11-2026: not a day"):
        chosen_day({"G6_FIRST_DAY": "19-11-2026"}, "G6_FIRST_DAY")
    with pytest.raises(ConfigError, match="G6_INDICES: NIFTI not configured"):
        chosen_indices({"G6_INDICES": "NIFTI"}, ("NIFTY",))
