"""The newest account of a day is kept, and never once a file that it was made from has changed."""

from pathlib import Path

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.site import Day, Site
from g6_pipelines.stages.accounting import account_day
from tests.pipelines.conftest import WholeDay
from tests.pipelines.made_day import DAY, make_day


def test_an_account_is_kept_until_a_file_changes(
    tmp_path: Path, rules: MarketRules, settings: Settings, whole_day: WholeDay
) -> None:
    made = make_day(tmp_path, rules, settings)
    day = Day(Site(settings, rules, made.paths), DAY, "NIFTY")
    empty = account_day(day)
    assert account_day(day) is empty and empty.day.live == 0
    whole_day(made.paths.root)
    full = account_day(day)
    assert full.day.live > 0
    assert account_day(Day(Site(settings, rules, made.paths), DAY, "NIFTY")) is full, "equal days are the same day"
    content = day.lake.read_bytes()
    day.lake.unlink()
    assert account_day(day).day.live == 0
    day.lake.write_bytes(content)
    again = account_day(day)
    assert again is not full and again.day == full.day
