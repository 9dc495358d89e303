"""Runs phases of a day as Dagster jobs, here: `python -m g6_pipelines.execute evening '2026-11-19|NIFTY'`.

For the phase `-` names are read from standard input, one a line, and each is repeated on standard output when its job
has ended well: so a process that loads Dagster once runs a whole day.

`dagster job execute` would do the same, but its runs name no code location, and the web UI's timeline omits such runs.
"""

import sys

import dagster as dg
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import execute_run
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from g6_core.adapters.memory import as_process
from g6_pipelines.partitions import DATE, DAY_INDEX, INDEX

DEFINITIONS, ATTRIBUTE, LOCATION, REPOSITORY = "g6_pipelines.definitions", "defs", "g6", "__repository__"


def partition_tags(key: str) -> dict[str, str]:
    """Return the tags of a run about one partition, ``2026-11-19|NIFTY``."""
    parts = DAY_INDEX.get_partition_key_from_str(key).keys_by_dimension
    return {
        "dagster/partition": key,
        f"dagster/partition/{DATE}": parts[DATE],
        f"dagster/partition/{INDEX}": parts[INDEX],
        # How the web UI knows the runs of its own jobs.
        ".dagster/repository": f"{REPOSITORY}@{LOCATION}",
    }


def execute(instance: dg.DagsterInstance, name: str, key: str) -> bool:
    """Run a job on one partition and return whether it ended well; the run is one of the code location in
    workspace.yaml."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=DEFINITIONS)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    repository = ReconstructableRepository(
        ModuleCodePointer(DEFINITIONS, ATTRIBUTE, None),
        executable_path=sys.executable,
        entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
    )
    job = repository.get_reconstructable_job(name)
    run = instance.create_run_for_job(
        job_def=job.get_definition(),
        tags=partition_tags(key),
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, REPOSITORY), name),
        job_code_origin=job.get_python_origin(),
    )
    return execute_run(job, run, instance).success


def main() -> int:
    """Return 0 when every job ended well, else 1 after the first that did not: the log above says why."""
    phase, key = sys.argv[1:]
    with dg.DagsterInstance.get() as instance:
        for name in (line.strip() for line in sys.stdin) if phase == "-" else (phase,):
            if not execute(instance, name, key):
                return 1
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(as_process(main))
