"""The papers of the house agree with the code: locks, exit codes, entry points, compiled kernels."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from g6_core.cli.errors import ExitCode
from g6_core.cli.findings import pins_of
from g6_core.domain.errors import CalendarError, ConfigError, DataError, G6Error, UserError
from g6_core.warm import import_all, kernels

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.txt", "requirements-dev.txt")
LOCK_LINE = re.compile(
    r"[a-z0-9._-]+(?:\[[a-z0-9,_-]+\])?==[^\s;]+(?: ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?"
)
DISTRIBUTION = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENTRY_POINTS = [
    (group, name, value) for group, points in DISTRIBUTION["entry-points"].items() for name, value in points.items()
]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_no_address(lock: str) -> None:
    lines = (PROJECT / lock).read_text(encoding="utf-8").splitlines()
    odd = [line for line in lines if not LOCK_LINE.fullmatch(line)]
    assert len(lines) > 100
    assert odd == []


def test_the_locks_agree_and_meet_what_pyproject_asks_for() -> None:
    base, dev = (pins_of(PROJECT / lock) for lock in LOCKS)
    assert base.items() <= dev.items()
    extras = DISTRIBUTION["optional-dependencies"]["dev"]
    for pins, wanted in ((base, DISTRIBUTION["dependencies"]), (dev, extras)):
        for requirement in map(Requirement, wanted):
            versions = pins[canonicalize_name(requirement.name)]
            assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_readme_lists_exactly_the_exit_codes() -> None:
    table = re.findall(r"^\| (\d+) \|", (PROJECT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(code) for code in table] == [int(code) for code in ExitCode]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (G6Error, ExitCode.UNEXPECTED),
        (UserError, ExitCode.USAGE),
        (ConfigError, ExitCode.CONFIG),
        (DataError, ExitCode.DATA),
        (CalendarError, ExitCode.DATA),
    ],
)
def test_errors_end_with_the_documented_code(error: type[G6Error], code: ExitCode) -> None:
    assert error.exit_code == code


@pytest.mark.parametrize(("group", "name", "value"), ENTRY_POINTS, ids=[name for _, name, _ in ENTRY_POINTS])
def test_an_entry_point_is_installed_and_loads(group: str, name: str, value: str) -> None:
    (entry_point,) = entry_points(group=group, name=name)
    assert entry_point.value == value, "installed from an older pyproject.toml: make venv"
    assert callable(entry_point.load())


def test_a_wheel_carries_whatever_the_packages_hold() -> None:
    build = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    held = [
        path
        for package in build["packages"]["find"]["include"]
        for path in PROJECT.joinpath(package.rstrip("*")).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    assert any(path.name == "page.html.j2" for path in held)
    assert [path for path in held if not any(path.match(wanted) for wanted in build["package-data"]["*"])] == []


def test_every_kernel_is_compiled_when_its_module_is_imported() -> None:
    found = kernels(import_all())
    assert found
    assert [name for name, signatures in found.items() if signatures == 0] == []


def test_help_imports_neither_commands_nor_heavy_libraries() -> None:
    heavy = {"numba", "numpy", "polars", "sqlalchemy", "yaml", "g6_core.cli.day", "g6_core.cli.doctor"}
    probe = "import sys; from g6_core.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert heavy & set(done.stdout.splitlines()[-1].split()) == set()


def test_no_test_file_is_skipped_as_a_whole() -> None:
    """Run by several processes, pytest does not pass on what was skipped while collecting: nobody would hear of it."""
    planted = {PROJECT / "tests" / "test_conftest.py", Path(__file__)}
    files = [path for path in (PROJECT / "tests").rglob("*.py") if path not in planted]
    words = ("importorskip", "allow_module_level")
    assert len(files) > 50
    assert [path for path in files if any(word in path.read_text(encoding="utf-8") for word in words)] == []
