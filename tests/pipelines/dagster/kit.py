"""A small installation for Dagster tests: its own data directory, a narrow universe, one cycle a quarter of an hour."""

import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from g6_core.schema.paths import DataPaths
from g6_pipelines.definitions import defs
from g6_pipelines.resources import G6Resource
from g6_pipelines.runs import RANGE_END_TAG, RANGE_START_TAG

DAY = date(2025, 8, 29)
NIFTY, BANKNIFTY = f"{DAY}|NIFTY", f"{DAY}|BANKNIFTY"
PHASES = ("pre_open", "session", "evening")


def without_exchange(patch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine decides where a test's market is; port 9 answers nobody."""
    for name in ("G6_BROKER", "G6_SIM_SEED", "G6_SIM_URL"):
        patch.delenv(name, raising=False)
    patch.setattr("g6_core.adapters.broker.SIM_URL", "http://127.0.0.1:9")


@dataclass(frozen=True)
class Installation:
    """Data and configuration of one test; runs whole phases in this process."""

    g6: G6Resource
    instance: dg.DagsterInstance

    @property
    def paths(self) -> DataPaths:
        return self.g6.site.paths

    def phase(self, job: str, *partitions: str, only: Sequence[str] | None = None) -> dg.ExecuteInProcessResult:
        """Run a job, or `only` some of its assets with their checks, on one partition or on the range from the first
        to the second; failures are results."""
        where: dict[str, Any] = (
            {"partition_key": partitions[0]}
            if len(partitions) == 1
            else {"tags": {RANGE_START_TAG: partitions[0], RANGE_END_TAG: partitions[1]}}
        )
        where |= {"instance": self.instance, "resources": {"g6": self.g6}, "raise_on_error": False}
        if not only:
            return defs.resolve_job_def(job).execute_in_process(**where)
        everything = [*(defs.assets or ()), *(defs.asset_checks or ())]
        return dg.materialize(everything, selection=dg.AssetSelection.assets(*only), **where)

    def day(self, *partitions: str) -> dict[str, dg.ExecuteInProcessResult]:
        """All phases in their order."""
        return {job: self.phase(job, *partitions) for job in PHASES}


@dataclass(frozen=True)
class Made:
    """A day that has run, with the result of each phase."""

    installation: Installation
    results: dict[str, dg.ExecuteInProcessResult]


def runs_of(instance: dg.DagsterInstance) -> bytes:
    """Everything that an instance knows of its runs, the oldest first."""
    return pickle.dumps([(run, instance.all_logs(run.run_id)) for run in reversed(instance.get_runs())])


def remembered(instance: dg.DagsterInstance, runs: bytes) -> dict[str, dg.ExecuteInProcessResult]:
    """Give an instance runs that another has seen; returns their results by job."""
    results = {}
    for run, entries in pickle.loads(runs):
        instance.add_run(run._replace(job_snapshot_id=None, execution_plan_snapshot_id=None))
        for entry in entries:
            instance.event_log_storage.store_event(entry)
        events = [entry.dagster_event for entry in entries if entry.is_dagster_event]
        results[run.job_name] = dg.ExecuteInProcessResult(events, run, None, defs.resolve_job_def(run.job_name))
    return results


def narrow_config(config_dir: Path, target: Path) -> Path:
    """The shipped configuration with few strikes, two codes and a slow interval."""
    shutil.copytree(config_dir, target)
    file = target / "g6.yaml"
    document = yaml.safe_load(file.read_text())
    document["collection"]["interval_s"] = 300
    for name, index in document["indices"].items():
        index["offsets"] = {"min": -4, "max": 4}
        weekly = name in ("NIFTY", "SENSEX")
        index["expiry_codes"] = ["this_week", "next_week"] if weekly else ["this_month", "next_month"]
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return target


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def metadata_of(result: dg.ExecuteInProcessResult, asset: str, partition: str) -> dict[str, object]:
    """Metadata values of the materialisation of one partition."""
    found = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset) and event.partition == partition
    ]
    assert len(found) == 1, (asset, partition, len(found))
    return {name: value.value for name, value in found[0].metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the first failed step said."""
    assert not result.success
    data = result.all_events[0].event_specific_data
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            error = data.error
            assert error is not None
            return str((error.cause or error).message if "dagster._core" in error.message else error.message)
    raise AssertionError(f"no step failed: {data}")
