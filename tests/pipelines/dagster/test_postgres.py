"""Dagster's storage in a real PostgreSQL: a day in it, and a session that outlives the death of the database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from g6_core.adapters.lake import lake_cycles
from g6_core.domain.errors import ConfigError
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import Phase
from g6_pipelines.definitions import defs
from g6_pipelines.resources import G6Resource
from g6_pipelines.session.known import read_heartbeat
from g6_pipelines.storage import postgres_url
from tests.pipelines.dagster.kit import NIFTY, PHASES, Installation, metadata_of, narrow_config
from tests.pipelines.dagster.services import installed
from tests.postgres import PASSWORD, Postgres, serving_postgres
from tests.sim.server.kit import DAY, PROJECT, serving

NAMES = ("NIFTY", "SENSEX")
# Fifteen minutes of the market, and so a report of the session, are 15 seconds.
SPEED, INTERVAL_MS = 60, 300_000
AWAY_S, RESTART_S = 20, 30

MakeHome = Callable[[str], Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeHome:
    """Makes the environment that of an instance with the project's settings on a database ("": none)."""
    folder = tmp_path / "home"
    folder.mkdir()

    def made(url: str) -> Path:
        (folder / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
        monkeypatch.setenv("DAGSTER_HOME", str(folder))
        monkeypatch.setenv("G6_POSTGRES_URL", url)
        return folder

    return made


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A server that the test may kill."""
    with serving_postgres() as server:
        yield server


def test_a_day_is_kept_in_postgres_and_read_back_by_another_process(
    postgres: Postgres, home: MakeHome, narrow: Path, tmp_path: Path
) -> None:
    folder = home(postgres.new_database())
    g6 = G6Resource(data_dir=str(tmp_path / "data"), config_dir=str(narrow))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        results = {job: Installation(g6, instance).phase(job, NIFTY) for job in PHASES[:2]}
    assert [name for name, result in results.items() if not result.success] == []
    with dg.DagsterInstance.from_config(str(folder)) as again:
        assert {run.job_name: run.status for run in again.get_runs()} == dict.fromkeys(
            PHASES[:2], dg.DagsterRunStatus.SUCCESS
        )
        chain = dg.AssetKey("option_chain")
        assert again.get_materialized_partitions(chain) == {NIFTY}
        assert len(again.fetch_observations(chain, limit=100).records) == 25
        (record,) = again.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=chain, asset_partitions=[NIFTY]), limit=5
        ).records
        assert record.asset_materialization is not None
        kept = {name: value.value for name, value in record.asset_materialization.metadata.items()}
        assert kept == metadata_of(results["session"], "option_chain", NIFTY)
    assert not list(folder.rglob("*.db")), "nothing of it is in SQLite"


def test_dagster_itself_opens_postgres_and_never_shows_its_password(postgres: Postgres, home: MakeHome) -> None:
    home(postgres.new_database())
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    done = subprocess.run(
        [sys.executable, "-m", "dagster", "instance", "info"],
        capture_output=True, text=True, check=False, cwd=PROJECT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run_storage: PostgresRunStorage" in done.stdout and PASSWORD not in done.stdout + done.stderr


def test_without_a_database_an_older_home_keeps_its_runs(home: MakeHome) -> None:
    folder = home("")
    settings = yaml.safe_load((folder / "dagster.yaml").read_text())
    ours = settings.pop("storage")
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        run = instance.create_run_for_job(dg.job(name="nothing")(lambda: None))
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings | {"storage": ours}))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert [one.run_id for one in instance.get_runs()] == [run.run_id]


def test_without_a_home_runs_are_kept_in_the_data_directory(
    home: MakeHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = home("")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.setenv("G6_DATA_DIR", str(tmp_path / "kept"))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        run = instance.create_run_for_job(dg.job(name="nothing")(lambda: None))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert [one.run_id for one in instance.get_runs()] == [run.run_id]
    assert (tmp_path / "kept" / "dagster").is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("G6_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="set DAGSTER_HOME to a folder you can write"):
        dg.DagsterInstance.from_config(str(folder)).get_runs()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", ""),
        ("  ", ""),
        ("postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql://u:p%40@h:5433/d?sslmode=require", "postgresql+psycopg2://u:p%40@h:5433/d?sslmode=require"),
        ("postgresql+psycopg2://u@/d?host=/run/postgresql", "postgresql+psycopg2://u@/d?host=/run/postgresql"),
    ],
)
def test_the_url_gets_the_driver_that_dagster_brings(given: str, wanted: str) -> None:
    assert postgres_url({"G6_POSTGRES_URL": given}) == wanted


@pytest.mark.parametrize("given", ["sqlite:///hunter2", "hunter2", "postgresql+asyncpg://u:hunter2@h/d", "mysql://h"])
def test_another_kind_of_url_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(ConfigError, match="G6_POSTGRES_URL: not a URL of Postgres") as caught:
        postgres_url({"G6_POSTGRES_URL": given})
    assert "hunter2" not in str(caught.value)


def cycle_of(paths: DataPaths) -> str:
    beat = read_heartbeat(paths)
    return beat.cycle if beat is not None else ""


def is_finished(paths: DataPaths) -> bool:
    beat = read_heartbeat(paths)
    return beat is not None and beat.phase is Phase.FINISHED


def cycles_of(paths: DataPaths, name: str) -> list[int]:
    time_column = list(OPTION_COLUMNS).index("timestamp")
    return [int(str(rows[0][time_column])) for rows in lake_cycles(paths.lake(DAY, name))]


def repaired(g6: G6Resource, instance: dg.DagsterInstance, partition: str) -> dict[str, object]:
    """The account of a partition after its gaps were filled from the broker's candles."""
    result = dg.materialize(
        [*defs.assets, *defs.asset_checks],
        selection=dg.AssetSelection.assets("chain_repair"),
        partition_key=partition,
        instance=instance,
        resources={"g6": g6},
        raise_on_error=False,
    )
    return metadata_of(result, "chain_repair", partition)


@pytest.mark.slow
def test_a_session_outlives_its_database_and_a_worker_that_died_with_it_is_replaced(
    mortal: Postgres, config_dir: Path, tmp_path: Path, rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = narrow_config(config_dir, tmp_path / "config")
    file = narrow / "g6.yaml"
    document = yaml.safe_load(file.read_text())
    document["indices"] = {name: document["indices"][name] for name in NAMES}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    indices = [word for name in NAMES for word in ("--index", name)]
    url = mortal.new_database()
    with (
        serving("--speed", str(SPEED), "--start", "13:40", *indices) as server,
        installed(server, narrow, tmp_path, G6_POSTGRES_URL=url) as (services, paths),
    ):
        first = services.await_session(paths, 0, 90)
        services.wait_until(lambda: cycle_of(paths), 30, "a cycle is in the lake")

        # The database alone: longer than a report of the session is apart.
        mortal.kill()
        before = len(cycles_of(paths, "NIFTY"))
        time.sleep(AWAY_S)
        assert len(cycles_of(paths, "NIFTY")) >= before + 3
        mortal.start()
        at_return = cycle_of(paths)
        services.wait_until(lambda: cycle_of(paths) > at_return, 30, "the session goes on")
        beat = read_heartbeat(paths)
        assert beat is not None and beat.pid == first, "the same process has collected all the time"

        # Database and worker: nobody can tell Dagster that the run is gone.
        mortal.kill()
        os.kill(first, signal.SIGKILL)
        time.sleep(5)
        mortal.start()
        began_s = time.monotonic()
        services.await_session(paths, first, RESTART_S)
        took_s = time.monotonic() - began_s

        services.wait_until(lambda: is_finished(paths), 150, "the day is over")
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("G6_POSTGRES_URL", url)
        monkeypatch.setenv("G6_SIM_URL", server.url)
        with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:

            def statuses() -> list[dg.DagsterRunStatus]:
                return [run.status for run in instance.get_runs()][::-1]

            services.wait_until(lambda: dg.DagsterRunStatus.STARTED not in statuses(), 30, "the run has ended")
            assert statuses() == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
            g6 = G6Resource(data_dir=str(paths.root), config_dir=str(narrow))
            accounts = {name: repaired(g6, instance, f"{DAY}|{name}") for name in NAMES}
    for name in NAMES:
        session = rules.index_session(name, DAY)
        assert cycles_of(paths, name) == list(range(session.open_ms, session.close_ms, INTERVAL_MS))
        assert (accounts[name]["complete"], accounts[name]["open"]) == ("yes", 0), accounts[name]
    assert took_s < RESTART_S
