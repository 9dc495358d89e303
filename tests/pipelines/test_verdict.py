"""What an evening found wrong holds the next day back, until a person has accepted it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from g6_core.adapters.acceptance import Acceptance, accept, accepted, held_back
from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import DayBefore
from g6_core.schema.paths import DataPaths
from g6_pipelines.stages.reconcile import ORDERS, chain_part, keep_checks
from g6_pipelines.stages.verdict import day_before
from tests.command_line import g6

DAY, NEXT = date(2025, 8, 29), date(2025, 9, 1)
GOOD = Check("sound", True, "all good", {})
BAD = Check("parity_holds", False, "568 pairs are off", {})


@pytest.fixture
def paths(tmp_path: Path) -> DataPaths:
    """Something of NIFTY was collected."""
    found = DataPaths(tmp_path)
    found.lake(DAY, "NIFTY").parent.mkdir(parents=True)
    found.lake(DAY, "NIFTY").write_bytes(b"rows")
    return found


def keep(paths: DataPaths, **parts: Check) -> None:
    for part, check in parts.items():
        keep_checks(paths, DAY, part.replace("_", "-"), (GOOD, check))


def found(
    paths: DataPaths,
    settings: Settings,
    rules: MarketRules,
    *,
    simulated: bool = False,
    indices: Sequence[str] = ("NIFTY",),
) -> DayBefore | None:
    only = {name: settings.indices[name] for name in indices}
    configured = replace(settings, file=settings.file.model_copy(update={"indices": only}))
    return day_before(paths, configured, rules, NEXT, simulated=simulated)


def test_a_day_that_was_compared_and_agrees_holds_nothing_back(paths, settings, rules) -> None:
    keep(paths, NIFTY=GOOD, NIFTY_chain=GOOD)
    assert found(paths, settings, rules) == DayBefore(DAY, ())


@pytest.mark.parametrize(
    ("parts", "traded", "problems"),
    [
        ({"NIFTY": GOOD, "NIFTY_chain": BAD}, False, ["NIFTY-chain: parity_holds: 568 pairs are off"]),
        ({"NIFTY": BAD, "NIFTY_chain": GOOD}, False, ["NIFTY: parity_holds: 568 pairs are off"]),
        ({"NIFTY": GOOD, "NIFTY_chain": GOOD, "orders": BAD}, True, ["orders: parity_holds: 568 pairs are off"]),
        ({"NIFTY": GOOD}, False, ["NIFTY-chain was not compared, run the evening job of 2025-08-29"]),
        (
            {"NIFTY": GOOD, "NIFTY_chain": GOOD},
            True,
            ["orders was not compared, run the evening job of 2025-08-29"],
        ),
        # Nothing was traded: the broker's books say nothing about G6.
        ({"NIFTY": GOOD, "NIFTY_chain": GOOD, "orders": BAD}, False, []),
    ],
    ids=["chain", "data", "orders", "chain not judged", "orders not compared", "not traded"],
)
def test_what_failed_and_what_was_not_looked_at_is_named(paths, settings, rules, parts, traded, problems) -> None:
    keep(paths, **parts)
    if traded:
        paths.journal(DAY).parent.mkdir()
        paths.journal(DAY).touch()
    before = found(paths, settings, rules)
    assert before is not None and list(before.problems) == problems


def test_an_index_of_which_nothing_was_collected_is_named_on_a_real_day(paths, settings, rules) -> None:
    keep(paths, NIFTY=GOOD, NIFTY_chain=GOOD, BANKNIFTY=BAD)
    before = found(paths, settings, rules, indices=("NIFTY", "SENSEX"))
    assert before is not None and len(before.problems) == 1
    assert before.problems[0].startswith("SENSEX: nothing was collected")
    assert found(paths, settings, rules) == DayBefore(DAY, ()), "one that is not configured is not asked for"
    mark_simulated(paths, DAY, Simulated("recorded", 0))
    assert found(paths, settings, rules, simulated=True, indices=("NIFTY", "SENSEX")) == DayBefore(DAY, ())


def test_a_day_that_was_lost_altogether_is_named_where_the_days_before_it_were_collected(
    tmp_path, settings, rules
) -> None:
    paths = DataPaths(tmp_path)
    lost, collected = date(2025, 8, 29), date(2025, 8, 25)
    paths.lake(collected, "NIFTY").parent.mkdir(parents=True)
    paths.lake(collected, "NIFTY").write_bytes(b"rows")
    before = found(paths, settings, rules, indices=("NIFTY", "SENSEX"))
    assert before is not None and before.day == lost
    assert [one.split(":")[0] for one in before.problems] == ["NIFTY", "SENSEX"]
    paths.lake(collected, "NIFTY").rename(paths.lake(date(2025, 8, 20), "NIFTY"))
    assert found(paths, settings, rules) is None, "G6 was not in use"
    paths.lake(date(2025, 8, 20), "NIFTY").rename(paths.lake(collected, "NIFTY"))
    mark_simulated(paths, collected, Simulated("recorded", 0))
    assert found(paths, settings, rules) is None


def test_without_anything_of_the_day_before_there_is_no_verdict(tmp_path: Path, settings, rules) -> None:
    assert found(DataPaths(tmp_path), settings, rules) is None


def test_a_simulated_day_may_be_left_unfinished_but_not_wrong(paths, settings, rules) -> None:
    mark_simulated(paths, DAY, Simulated("modelled", 7))
    assert found(paths, settings, rules) is None, "another market"
    assert found(paths, settings, rules, simulated=True) == DayBefore(DAY, ())
    keep(paths, NIFTY=GOOD, NIFTY_chain=BAD)
    before = found(paths, settings, rules, simulated=True)
    assert before is not None and before.problems == ("NIFTY-chain: parity_holds: 568 pairs are off",)


def test_a_damaged_document_is_an_error_and_no_verdict(paths, settings, rules) -> None:
    keep(paths, NIFTY=GOOD, NIFTY_chain=GOOD)
    paths.reconciliation(DAY, chain_part("NIFTY")).write_text("{")
    with pytest.raises(DataError, match="not a reconciliation"):
        found(paths, settings, rules)


class Pack:
    """As much of a day pack as arming asks for."""

    def __init__(self, *problems: str) -> None:
        self.day_before = DayBefore(DAY, problems)


def test_a_word_about_the_same_problems_lets_the_day_go_on_and_one_about_others_does_not(tmp_path: Path) -> None:
    paths, pack = DataPaths(tmp_path), Pack("one", "two")
    (text,) = held_back(paths, pack)
    assert text.startswith("the evening of 2025-08-29 found: one; two (mend it, or: ")
    assert f"g6 data accept --date 2025-08-29 --data-dir {tmp_path} --why" in text
    accept(paths, Acceptance(DAY, ("one",), "looked at", "2025-08-30T03:00:00Z"))
    assert held_back(paths, pack) == (text,)
    accept(paths, Acceptance(DAY, ("one", "two", "three"), "looked at", "2025-08-30T03:00:00Z"))
    assert held_back(paths, pack) == ()
    assert held_back(paths, Pack()) == ()
    paths.acceptance(DAY).write_text("[]")
    (text,) = held_back(paths, pack)
    assert "cannot be read" in text and "accept the day again" in text


def test_the_command_accepts_what_is_wrong_now_and_keeps_the_reason(paths, config_dir: Path) -> None:
    keep(paths, NIFTY=GOOD, NIFTY_chain=BAD)
    word = ("data", "accept", "--date", str(DAY), "--data-dir", str(paths.root), "--config-dir", str(config_dir))
    refused = g6(*word, "--why", " ")
    assert refused.returncode == 2 and "say in a few words" in refused.stderr
    done = g6(*word, "--why", "one strike, repaired by hand")
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.splitlines()
    assert first == "accepted  NIFTY-chain: parity_holds: 568 pairs are off"
    assert [line.split(":")[0] for line in others] == [
        f"accepted  {name}" for name in ("BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")
    ]
    kept = accepted(paths, DAY)
    assert kept is not None and kept.why == "one strike, repaired by hand" and kept.accepted_at.endswith("Z")
    keep(paths, NIFTY_chain=GOOD)
    mark_simulated(paths, DAY, Simulated("recorded", 0))
    again = g6(*word, "--why", "again")
    assert again.returncode == 2 and "nothing to accept" in again.stderr
    holiday = g6(*word[:3], "2025-08-27", *word[4:], "--why", "x")
    assert holiday.returncode == 4 and "Traceback" not in holiday.stderr


def test_parts_of_an_evening_have_their_own_documents(paths) -> None:
    names = {paths.reconciliation(DAY, part) for part in ("NIFTY", chain_part("NIFTY"), ORDERS)}
    assert len(names) == 3
