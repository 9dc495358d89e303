"""The rules of `conftest.py`: a skip is visible everywhere and fatal in CI; tiers; what is made once; order."""

import re
from pathlib import Path

import pytest

SOURCE = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8")
ONE_SKIP = """
import pytest

def test_runs():
    assert True

def test_without_data(shared_data):
    assert shared_data
"""
ALL_RUN = """
def test_runs():
    assert True
"""
ONE_FAILS = (
    ONE_SKIP
    + """
def test_fails():
    assert False
"""
)
FILE_SKIPS = """
import pytest

pytest.importorskip("a_module_that_nobody_has")
"""

LONG = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_shares(baked, number):
    folder = baked("day", lambda folder: (folder / "made").touch(exist_ok=False))
    assert [path.name for path in folder.iterdir()] == ["made"]
"""
SERVER = """
def test_asks(postgres):
    assert postgres

def test_thinks():
    assert True
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with our conftest in its tests folder and no recorded data beside it."""
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text(SOURCE, encoding="utf-8")
    return pytester


def run(project: pytest.Pytester, body: str) -> pytest.RunResult:
    (project.path / "tests" / "test_planted.py").write_text(body, encoding="utf-8")
    return project.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")


@pytest.mark.parametrize(
    ("ci", "body", "expected"),
    [
        ("true", ONE_SKIP, pytest.ExitCode.TESTS_FAILED),
        ("true", FILE_SKIPS, pytest.ExitCode.NO_TESTS_COLLECTED),
        ("true", ALL_RUN + ONE_SKIP, pytest.ExitCode.TESTS_FAILED),
        ("true", ALL_RUN, pytest.ExitCode.OK),
        ("", ONE_SKIP, pytest.ExitCode.OK),
        ("", ONE_FAILS, pytest.ExitCode.TESTS_FAILED),
    ],
    ids=["skip in CI", "whole file in CI", "several in CI", "all ran in CI", "skip at home", "failure at home"],
)
def test_a_skip_fails_the_run_in_ci_only(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, body: str, expected: pytest.ExitCode
) -> None:
    monkeypatch.setenv("CI", ci)
    assert run(project, body).ret == expected


def test_several_processes_share_what_is_made_once_and_count_a_skip(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    (project.path / "tests" / "test_planted.py").write_text(ALL_RUN + ONE_SKIP, encoding="utf-8")
    (project.path / "tests" / "cli").mkdir()
    (project.path / "tests" / "cli" / "test_long.py").write_text(LONG, encoding="utf-8")
    done = project.runpytest_subprocess("-v", "-n", "2", "-p", "no:randomly", "-p", "no:cacheprovider")
    assert done.ret == pytest.ExitCode.TESTS_FAILED and done.parseoutcomes() == {"passed": 5, "skipped": 1}
    done.stdout.fnmatch_lines(["*1 skipped: a failure in CI*", "*test_planted.py::test_without_data: *"])
    workers: dict[str, list[str]] = {}
    for worker, name in re.findall(r"\[(gw\d)\].*(?:PASSED|SKIPPED) tests/(\S+)::", done.stdout.str()):
        workers.setdefault(name, []).append(worker)
    assert len(set(workers["cli/test_long.py"])) == 2 and len(set(workers["test_planted.py"])) == 1


def test_who_starts_a_real_server_is_slow(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nmarkers =\n    slow: costly")
    (project.path / "tests" / "test_planted.py").write_text(SERVER, encoding="utf-8")
    done = project.runpytest_inprocess("-m", "not slow", "-p", "no:randomly", "-p", "no:cacheprovider")
    assert done.parseoutcomes() == {"passed": 1, "deselected": 1}


def test_what_was_skipped_is_named_with_its_reason(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    told = run(project, ONE_SKIP).stdout.str()
    assert "1 skipped: these things were NOT tested" in told
    assert "test_planted.py::test_without_data: recorded market data missing: " in told


def test_nothing_is_said_when_nothing_was_skipped(project: pytest.Pytester) -> None:
    done = run(project, ALL_RUN)
    assert done.ret == pytest.ExitCode.OK and done.parseoutcomes()["passed"] > 0
    assert "skipped: " not in done.stdout.str()
