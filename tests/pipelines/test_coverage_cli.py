"""`g6 data coverage`: is a day complete, in one line."""

import json
from datetime import time
from pathlib import Path

import pytest

from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.schema.options import RowStatus
from g6_core.schema.paths import DataPaths
from g6_core.site import Site
from g6_pipelines.data_cli import last_day_over
from tests.command_line import Ended, g6
from tests.conftest import PROJECT
from tests.pipelines.conftest import WholeDay
from tests.pipelines.made_day import DAY, NEXT_DAY, MadeDay, make_day


def asked(root: Path, *more: str) -> Ended:
    config = () if "--config-dir" in more else ("--config-dir", PROJECT / "config")
    return g6("data", "coverage", "--data-dir", root, *config, *more)


@pytest.fixture
def made(tmp_path: Path, rules: MarketRules, settings: Settings) -> MadeDay:
    """Of a simulated market with one index."""
    found = make_day(tmp_path, rules, settings)
    mark_simulated(found.paths, DAY, Simulated("scripted", 0))
    return found


def test_a_whole_day_is_one_line_and_code_0(made: MadeDay, whole_day: WholeDay) -> None:
    whole_day(made.paths.root)
    done = asked(made.paths.root, "--date", str(DAY), "--index", "NIFTY")
    # The made day collects two expiries of eleven pairs.
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NIFTY 2025-08-29: complete, 16,500 contract-minutes: 16,500 live, 0 repaired, 0 no trade\n"
    )  # fmt: skip


def test_a_hole_is_named_and_code_5(made: MadeDay) -> None:
    gone = RowStatus.MISSING
    made.collect(
        status=lambda minute, offset: gone if (minute, offset) == (76, 0) else RowStatus.LIVE,
        spot=lambda minute: 24_512.35,
    )
    done = asked(made.paths.root, "--date", str(DAY))
    assert done.returncode == 5
    assert "INCOMPLETE: 4 of 16,500 unverified, first NIFTY2590224500CE 10:31" in done.stdout
    (found,) = json.loads(asked(made.paths.root, "--date", str(DAY), "--json").stdout)
    assert (found["complete"], found["open"], found["live"], found["index"]) == (False, 4, 16_496, "NIFTY")


def test_of_a_real_day_every_configured_index_is_accounted_for(made: MadeDay, whole_day: WholeDay) -> None:
    whole_day(made.paths.root)
    simulated = asked(made.paths.root, "--date", str(DAY))
    assert simulated.returncode == 0 and len(simulated.stdout.splitlines()) == 1
    assert simulated.stderr == "never collected here: BANKNIFTY, FINNIFTY, MIDCPNIFTY, SENSEX\n"
    made.paths.simulated.unlink()
    real = asked(made.paths.root, "--date", str(DAY), "--json")
    found = {one["index"]: one["complete"] for one in json.loads(real.stdout)}
    assert found == {"NIFTY": True, "BANKNIFTY": False, "FINNIFTY": False, "MIDCPNIFTY": False, "SENSEX": False}
    assert (real.returncode, real.stderr) == (5, "")


def test_a_day_of_which_nothing_is_there_is_not_complete(made: MadeDay) -> None:
    done = asked(made.paths.root, "--date", str(DAY), "--index", "SENSEX")
    assert done.returncode == 5
    assert done.stdout == "SENSEX 2025-08-29: INCOMPLETE: nothing was collected; materialise chain_repair for the day\n"


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--date", "2025-08-30"), 4, "2025-08-30 is a Saturday"),
        (("--date", "yesterday"), 2, "not a date"),
        (("--date", str(DAY), "--index", "NIFTEE"), 3, "indices.NIFTEE: missing"),
        (("--date", str(DAY), "--config-dir", "/nowhere"), 3, "/nowhere"),
    ],
)
def test_a_wrong_question_is_answered_in_one_line(tmp_path: Path, more: tuple[str, ...], code: int, said: str) -> None:
    done = asked(tmp_path, *more)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_damaged_lake_is_a_line_and_code_4_and_the_others_are_answered(made: MadeDay, whole_day: WholeDay) -> None:
    whole_day(made.paths.root)
    path = made.paths.lake(DAY, "FINNIFTY")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"timestamp,spot\n")
    done = asked(made.paths.root, "--date", str(DAY))
    assert done.returncode == 4 and "not a readable lake file" in done.stderr
    whole, damaged = done.stdout.splitlines()
    assert whole.startswith("NIFTY 2025-08-29: complete, 16,500")
    assert damaged.startswith("FINNIFTY 2025-08-29: INCOMPLETE: ") and "not a readable lake file" in damaged
    found = json.loads(asked(made.paths.root, "--date", str(DAY), "--json").stdout)
    assert [(one["index"], one["complete"]) for one in found] == [("NIFTY", True), ("FINNIFTY", False)]
    assert "not a readable lake file" in found[1]["error"]


def test_answers_that_are_another_file_are_named_too(made: MadeDay, whole_day: WholeDay) -> None:
    whole_day(made.paths.root)
    path = made.paths.answers(DAY, "FINNIFTY")
    path.parent.mkdir(parents=True)
    path.write_bytes(made.paths.lake(DAY, "NIFTY").read_bytes())
    done = asked(made.paths.root, "--date", str(DAY))
    assert done.returncode == 4 and str(path) in done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()] == ["NIFTY", "FINNIFTY"]


@pytest.mark.parametrize(
    ("clock", "minutes", "day"),
    [(time(15, 30), 0, NEXT_DAY), (time(15, 30), -1, DAY), (time(0, 0), 0, DAY)],
)
def test_the_last_day_is_the_last_that_is_over(rules, settings, clock: time, minutes: int, day) -> None:
    assert last_day_over(Site(settings, rules, DataPaths(Path())), at(NEXT_DAY, clock) + minutes * MINUTE_MS) == day
