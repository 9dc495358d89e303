"""The value of a trading day: hours by date and expiry, the cycles between them, and equality without a site's hash."""

from datetime import date, time
from pathlib import Path

import pytest

from g6_core.adapters.site import open_site
from g6_core.domain.errors import CalendarError, ConfigError
from g6_core.domain.ist import MINUTE_MS, at
from g6_core.site import Day, Site

EXPIRY = date(2026, 12, 8)


@pytest.fixture
def site(config_dir: Path, tmp_path: Path) -> Site:
    return open_site(tmp_path, config_dir)


def test_a_day_knows_its_hours_its_cycles_and_when_what_expires_stops(site: Site) -> None:
    day = Day(site, EXPIRY, "NIFTY")
    close_ms = at(EXPIRY, time(15, 45))
    assert (day.session.close_ms, day.close_ms(EXPIRY)) == (close_ms, close_ms - 15 * MINUTE_MS)
    assert (day.cycles[0], day.cycles[-1]) == (day.session.open_ms, close_ms - site.interval_ms)
    assert str(day) == "NIFTY 2026-12-08" and day.lake == site.paths.lake(EXPIRY, "NIFTY")


def test_a_day_is_a_key_and_a_closed_one_has_no_hours(site: Site) -> None:
    assert {Day(site, EXPIRY, "NIFTY"): 1}[Day(site, EXPIRY, "NIFTY")] == 1
    assert Day(site, EXPIRY, "NIFTY") != Day(site, EXPIRY, "SENSEX")
    with pytest.raises(CalendarError, match="Sunday"):
        _ = Day(site, date(2026, 12, 6), "NIFTY").session
    with pytest.raises(ConfigError, match="NIFTEE"):
        _ = Day(site, EXPIRY, "NIFTEE").settings
