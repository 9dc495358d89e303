"""The command that catches a copy up: what it says, and how it ends when there is nothing to copy or nowhere to."""

import shutil
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError, DataError
from g6_pipelines.influx_cli import influx_catch_up
from tests.pipelines.collecting import DAY, OPEN, collecting, narrowed
from tests.servers import InfluxBox

HOUR_MS = 3_600_000


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(influx_catch_up)
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


@pytest.fixture
def config(config_dir: Path, influx: InfluxBox, tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    shutil.copytree(config_dir, folder)
    document = yaml.safe_load((folder / "g6.yaml").read_text())
    document["influx"].update(enabled=True, url=influx.target.url, bucket=influx.target.bucket)
    (folder / "g6.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder


def test_a_day_is_caught_up_once_and_again_on_demand(
    config: Path, rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    collecting(rules, narrowed(settings), data).run(until_ms=OPEN + HOUR_MS)
    asked = ("--date", DAY, "--data-dir", data, "--config-dir", config)
    for more, sent in (((), 40), ((), 0), (("--again", "--index", "NIFTY"), 40)):
        result = run(*asked, *more)
        assert (result.exit_code, result.output) == (
            0,
            f"NIFTY 2025-08-29: 40 rows in InfluxDB, {sent} of them sent now\n",
        )


def test_what_cannot_be_copied_is_one_line(config: Path, config_dir: Path, tmp_path: Path) -> None:
    asked = ("--date", DAY, "--data-dir", tmp_path / "data")
    with pytest.raises(DataError, match=r"no lake of NIFTY, .* on 2025-08-29; collect the day first"):
        run(*asked, "--config-dir", config)
    (tmp_path / "data" / "lake" / "options" / "NIFTY").mkdir(parents=True)
    (tmp_path / "data" / "lake" / "options" / "NIFTY" / f"{DAY}.arrows").touch()
    with pytest.raises(ConfigError, match=r"influx\.enabled: is not true"):
        run(*asked, "--config-dir", config_dir)
