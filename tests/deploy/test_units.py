"""The systemd units are valid, start what is installed, and keep Dagster's open web interface on loopback."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from g6_core.adapters.broker import BrokerSettings

PROJECT = Path(__file__).resolve().parents[2]
DEPLOY = PROJECT / "deploy"
INSTALLED = "/usr/local/lib/g6"
UNITS = sorted(path.name for path in DEPLOY.glob("g6-*"))


def _variables(text: str) -> dict[str, str]:
    lines = [line.removeprefix("#") for line in text.splitlines() if re.match(r"#?[A-Z0-9_]+=", line)]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        text = (DEPLOY / name).read_text().replace(f"{INSTALLED}/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / name).write_text(text.replace(INSTALLED, str(PROJECT)))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_unit_for_every_process() -> None:
    assert UNITS == [
        "g6-dagster-code.service",
        "g6-dagster-daemon.service",
        "g6-dagster-web.service",
        "g6-stream.service",
        "g6-stream.timer",
    ]


@pytest.mark.parametrize("name", ["g6-dagster-code.service", "g6-dagster-web.service"])
def test_what_listens_listens_on_loopback(name: str) -> None:
    assert "--host 127.0.0.1" in (DEPLOY / name).read_text()


def test_a_service_that_only_a_person_can_mend_is_not_started_again() -> None:
    assert "RestartPreventExitStatus=2 3 4" in (DEPLOY / "g6-stream.service").read_text()


def test_the_environment_file_is_read_by_every_service_and_holds_no_secret() -> None:
    found = _variables((DEPLOY / "g6.env.example").read_text())
    assert BrokerSettings.from_env(found) == BrokerSettings()
    assert [found[name] for name in ("KITE_API_KEY", "KITE_ACCESS_TOKEN", "G6_CONTROL_TOKEN", "G6_LIVE")] == [""] * 4
    services = [name for name in UNITS if name.endswith(".service")]
    assert all("EnvironmentFile=/etc/g6/g6.env" in (DEPLOY / name).read_text() for name in services)
