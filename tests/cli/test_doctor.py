"""`g6 doctor` finds what is wrong with a machine and names the fix."""

import json
import shutil
from datetime import date, time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from g6_core.cli import findings
from g6_core.cli.main import main
from g6_core.domain.ist import at
from tests.command_line import g6

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trading_day_ms() -> int:
    """Somewhere in the middle of a session that the shipped rules cover."""
    return at(findings.ist_date(findings.CLOCK_EARLIEST_MS).replace(day=20), time(11, 0))


@pytest.mark.slow  # imports every package
def test_a_good_machine_passes_every_check(config_dir: Path, tmp_path: Path, trading_day_ms: int) -> None:
    found = findings.examine(config_dir, tmp_path / "data", now_ms=trading_day_ms)
    assert [finding for finding in found if not finding.ok] == []
    assert [finding.name for finding in found] == [
        "python",
        "packages",
        "config",
        "market rules",
        "data dir",
        "clock",
        "kernels",
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_broken_configuration_ends_with_five_and_its_fix(
    as_json: bool, config_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(findings, "needed", list)
    broken = tmp_path / "config"
    shutil.copytree(config_dir, broken)
    (broken / "g6.yaml").write_text("capital_inr: [\n", encoding="utf-8")
    args = ["doctor", "--config-dir", str(broken), "--data-dir", str(tmp_path / "data")]
    assert main([*args, "--json"] if as_json else args) == 5
    said = capsys.readouterr().out
    assert "g6.yaml" in said
    if as_json:
        report = json.loads(said)
        config = next(check for check in report["checks"] if check["name"] == "config")
        assert not report["ok"]
        assert not config["ok"]
        assert "--config-dir" in config["fix"]
    else:
        assert "PROBLEM config" in said
        assert "fix: correct the file" in said


@pytest.mark.parametrize(("version", "ok"), [((3, 10, 13), False), ((3, 11, 0), True), ((3, 14, 1), True)])
def test_python_is_new_enough_or_named(version: tuple[int, int, int], ok: bool) -> None:
    finding = findings.python_finding(version)
    assert finding.ok is ok
    assert bool(finding.fix) is not ok


@pytest.mark.parametrize(
    ("requirement", "pins", "problem"),
    [
        ("a-package-nobody-has>=1", {}, "a-package-nobody-has is missing"),
        ("pytz>=9999", {}, "is not >=9999"),
        ("pytz", {"pytz": frozenset({"1.0"})}, "tested is 1.0"),
    ],
    ids=["missing", "too old", "other than the lock"],
)
def test_a_wrong_package_is_named(requirement: str, pins: dict[str, frozenset[str]], problem: str) -> None:
    finding = findings.packages_finding([Requirement(requirement)], pins)
    assert not finding.ok
    assert problem in finding.detail
    assert "make clean venv" in finding.fix


def test_a_package_that_breaks_while_it_is_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g6_half_installed.py").write_text("raise OSError('lib.so: cannot open')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(findings.MODULE_OF, "pytz", "g6_half_installed")
    finding = findings.packages_finding([Requirement("pytz")], {})
    assert finding.detail == "pytz is installed but cannot be imported: lib.so: cannot open"


def test_a_lock_may_pin_one_package_twice(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\nnumpy==2.5.5 \\\nPyYAML==6.0.3 \\\n",
        encoding="utf-8",
    )
    assert findings.pins_of(lock) == {"numpy": {"2.4.6", "2.5.5"}, "pyyaml": {"6.0.3"}}
    assert findings.pins_of(tmp_path / "absent.txt") == {}


def test_a_data_dir_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file", encoding="utf-8")
    finding = findings.data_dir_finding(in_the_way)
    assert not finding.ok
    assert str(in_the_way) in finding.detail
    assert "--data-dir" in finding.fix


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "FREE_MB_MIN", 10**12)
    finding = findings.data_dir_finding(tmp_path)
    assert not finding.ok
    assert "MB free" in finding.detail


@pytest.mark.parametrize(("shift_ms", "ok"), [(-1, False), (0, True), (findings.DAY_MS, True)])
def test_a_clock_from_before_the_release_is_wrong(shift_ms: int, ok: bool) -> None:
    assert findings.clock_finding(findings.CLOCK_EARLIEST_MS + shift_ms).ok is ok


def test_a_day_that_no_rule_covers_is_a_finding(config_dir: Path, trading_day_ms: int) -> None:
    finding = findings.market_finding(config_dir, trading_day_ms + 3650 * findings.DAY_MS)
    assert not finding.ok
    assert "market" in finding.fix


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    finding = findings.kernels_finding()
    assert not finding.ok
    assert "NUMBA_CACHE_DIR" in finding.fix


@pytest.mark.parametrize(
    ("today", "words", "absent"),
    [
        ("2026-11-15", (), "known calendar"),
        ("2026-11-16", ("ends on 2026-12-31, in 45 days",), "provisional"),
        ("2026-12-01", ("ends on 2026-12-31, in 30 days", "2026-12-02"), "provisional"),
        ("2026-12-31", ("in 0 days", "2027-01-01 (provisional)"), "ended"),
        ("2027-02-01", ("today, 2027-02-01 (provisional)", "ended on 2026-12-31"), "PROBLEM"),
        ("2028-02-29", ("today, 2028-02-29 (provisional)",), "PROBLEM"),
    ],
)
def test_the_end_of_the_known_calendar_is_warned_of_45_days_before(
    config_to_2026: Path, today: str, words: tuple[str, ...], absent: str
) -> None:
    found = findings.market_finding(config_to_2026, at(date.fromisoformat(today), time(11, 0)))
    assert found.ok, "a warning stops nothing"
    assert absent not in found.detail
    assert [word for word in words if word not in found.detail] == []
    assert ("g6 market refresh" in found.fix) == bool(words)


def test_hours_that_rest_on_one_source_are_said_until_they_are_confirmed(config_dir: Path, tmp_path: Path) -> None:
    now_ms = at(date(2026, 12, 1), time(11, 0))
    found = findings.market_finding(config_dir, now_ms)
    assert "from 2026-12-07 (09:15-15:45, expiring contracts to 15:30) rest on one source, unconfirmed" in found.detail
    assert "SEBI I/23843/2026" in found.detail and found.detail.count("rest on one source") == 1
    shutil.copytree(config_dir, tmp_path / "config")
    sessions = tmp_path / "config" / "market" / "sessions.yaml"
    text = sessions.read_text(encoding="utf-8")
    hours, cutoff = text.split("mis_cutoff:")
    sessions.write_text(hours.replace("certainty: secondary", "certainty: verified") + "mis_cutoff:" + cutoff)
    assert "rest on one source" not in findings.market_finding(tmp_path / "config", now_ms).detail


def test_a_warning_is_shown_and_does_not_fail(config_dir: Path, tmp_path: Path) -> None:
    done = g6("doctor", "--config-dir", config_dir, "--data-dir", tmp_path / "data")
    assert done.returncode == 0 and " warning market rules" in done.stdout and "Ready" in done.stdout
