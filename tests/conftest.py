"""Fixtures of all tests, their tiers and their order, and the rule that in CI a skipped test is a failed run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from g6_core.config import Settings
    from g6_core.domain.calendar import MarketRules
    from tests.postgres import Postgres
    from tests.servers import InfluxBox

Baked = Callable[[str, Callable[[Path], object]], Path]
PROJECT = Path(__file__).resolve().parents[1]
SHARED_DATA = PROJECT.parent / "shared" / "data"
# Tests in these folders live through days or start services: begun first, and given to processes one by one.
LONG = ("cli", "dagster", "repair", "server", "session", "soak", "stream")
# Files of those folders whose tests share what is made in the process itself (a lived day, an exchange, an
# installation): the longest pieces of work, begun before all others.
TOGETHER = (
    "test_command.py",
    "test_demo.py",
    "test_js_client.py",
    "test_recorded_day.py",
    "test_session.py",
    "test_supervisor.py",
)
# Whoever uses one of these starts a real server.
SERVERS = frozenset({"influx_port", "postgres", "s3_address"})


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the processes of one user share (API calls, databases, a port) is not that of the person who runs the tests,
    nor of the tests in another process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("G6_METRICS_PORT", "0")
        for name in ("G6_LEDGER_URL", "G6_POSTGRES_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded market data beside the project; the test is skipped, by name, where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("recorded market data missing: ../shared/data is not beside the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def config_dir() -> Path:
    """The configuration that ships."""
    return PROJECT / "config"


@pytest.fixture(scope="session")
def rules(config_dir: Path) -> MarketRules:
    """The dated market rules that ship."""
    from g6_core.adapters.market_rules import load_market_rules

    return load_market_rules(config_dir)


@pytest.fixture(scope="session")
def config_to_2026(config_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration that ships, without the lists of later years that `g6 market refresh` has added."""
    folder = tmp_path_factory.mktemp("config_to_2026") / "config"
    shutil.copytree(config_dir, folder, ignore=shutil.ignore_patterns("holidays_*.yaml"))
    return folder


@pytest.fixture(scope="session")
def rules_to_2026(config_to_2026: Path) -> MarketRules:
    """The dated market rules as they are while 2027's holidays are not known."""
    from g6_core.adapters.market_rules import load_market_rules

    return load_market_rules(config_to_2026)


@pytest.fixture(scope="session")
def settings(config_dir: Path) -> Settings:
    """The settings that ship."""
    from g6_core.config import load_settings

    return load_settings(config_dir)


@pytest.fixture(scope="session")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Baked:
    """Make a folder once in a run, whatever the number of processes: `baked(name, bake)` calls `bake(folder)` in the
    one that comes first and returns the folder everywhere. A test that changes what is in it copies it before."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "baked"

    def once(name: str, bake: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        root.mkdir(exist_ok=True)
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                bake(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def influx_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a real influxd of this session; skipped, by name, where it is not installed."""
    from tests.servers import influx_daemon

    with influx_daemon(tmp_path_factory.mktemp("influxd")) as daemon:
        yield daemon.port


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL of this session; skipped, by name, where it is not installed."""
    from tests.postgres import serving_postgres

    with serving_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an S3-compatible server of this session; skipped, by name, where it is not installed."""
    from tests.servers import s3_server

    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


_databases = count(1)


@pytest.fixture
def influx(influx_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[InfluxBox]:
    """An empty database in a real influxd, its token in the environment, and a way to it that can fail."""
    from g6_core.adapters.influx import TOKEN_VARIABLE, InfluxTarget
    from tests.servers import PASSWORD, USER, InfluxBox, InfluxProxy, ask_influx

    bucket, token = f"g6_{next(_databases)}", f"{USER}:{PASSWORD}"
    ask_influx(influx_port, f"CREATE DATABASE {bucket}")
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    proxy = InfluxProxy(influx_port)
    proxy.start()
    yield InfluxBox(proxy, InfluxTarget(proxy.url, "g6", bucket, token))
    proxy.stop()
    ask_influx(influx_port, f"DROP DATABASE {bucket}")


class LongOnesAlone(LoadScopeScheduling):
    """Units of work: a test where tests are long, else a file. (pytest-xdist's own groups change a test's id, which
    pytest 9.2 no longer allows: every test is alone then, and fixtures of a file are made in every process.)"""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return nodeid if Path(path).parent.name in LONG and Path(path).name not in TOGETHER else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Replace what `--dist` names; the order is that of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False
    return LongOnesAlone(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who starts a real server is slow. What takes long is begun first, so that at the end no process works alone."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(
        key=lambda item: (
            item.path.name not in TOGETHER,
            item.get_closest_marker("slow") is None,
            item.path.parent.name not in LONG,
        )
    )


def skipped_tests(reporter: pytest.TerminalReporter) -> dict[str, str]:
    """Node id -> reason of everything skipped, including whole files skipped while collecting."""
    reports = reporter.stats.get("skipped", [])
    return {report.nodeid: report.longrepr[2] for report in sorted(reports, key=lambda report: report.nodeid)}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI the recorded data are always there, so a skip means that something was not tested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and skipped_tests(reporter) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was not tested, so that green never hides it."""
    skipped = skipped_tests(terminalreporter)
    if skipped:
        verdict = "a failure in CI" if os.environ.get("CI") == "true" else "these things were NOT tested"
        terminalreporter.section(f"{len(skipped)} skipped: {verdict}")
        for nodeid, reason in skipped.items():
            terminalreporter.line(f"{nodeid}: {reason.removeprefix('Skipped: ')}")
