"""Where a day's market is found, and what is refused in one line."""

from datetime import date

import pytest

from g6_core.adapters.clock import RealClock
from g6_core.adapters.files import write_atomic
from g6_core.adapters.world import Simulated, mark_simulated
from g6_core.domain.errors import CalendarError, ConfigError, DataError, UserError
from g6_core.domain.ist import ist_date
from g6_pipelines.places import DEFAULT_SEED, Where, find_place
from tests.pipelines.dagster.kit import Installation, failure_of

DAY = date(2025, 8, 29)
KEY = f"{DAY}|NIFTY"


def test_without_an_exchange_a_day_is_modelled_here(installation: Installation, monkeypatch) -> None:
    place = find_place(installation.g6.site, DAY)
    assert (place.where, place.label, place.seed, place.has_books) == (
        Where.IN_PROCESS,
        "modelled",
        DEFAULT_SEED,
        False,
    )
    mark_simulated(installation.paths, DAY, Simulated("modelled", 11))
    assert find_place(installation.g6.site, DAY).seed == 11, "a day that was modelled is made again with its own seed"
    monkeypatch.setenv("G6_SIM_SEED", "12")
    assert find_place(installation.g6.site, DAY).seed == 12
    monkeypatch.setenv("G6_SIM_SEED", "twelve")
    with pytest.raises(ConfigError, match="G6_SIM_SEED=twelve: not a whole number"):
        find_place(installation.g6.site, DAY)


def test_an_exchange_that_was_asked_for_and_is_down_is_no_reason_to_make_up_a_day(installation, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no simulated exchange at http://127.0.0.1:9 .*g6 sim serve --port 9`"):
        find_place(installation.g6.site, DAY)


def test_a_lost_exchange_fails_a_run_with_its_line_and_without_its_causes(installation, monkeypatch) -> None:
    monkeypatch.setenv("G6_SIM_URL", "http://127.0.0.1:9")
    result = installation.phase("session", KEY)
    assert "no simulated exchange at http://127.0.0.1:9" in failure_of(result)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert (failed.step_failure_data.error.cause, failed.step_failure_data.error.context) == (None, None)


def test_a_holiday_is_refused(installation: Installation) -> None:
    with pytest.raises(CalendarError, match="2025-08-27 is a holiday"):
        find_place(installation.g6.site, date(2025, 8, 27))


def test_kite_gives_today_only_and_needs_its_secrets(installation: Installation, monkeypatch) -> None:
    monkeypatch.setenv("G6_BROKER", "kite")
    monkeypatch.delenv("KITE_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="KITE_API_KEY: not set"):
        find_place(installation.g6.site, DAY)
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "token")
    today = ist_date(RealClock().now_ms())
    with pytest.raises(DataError, match=rf"of today \({today}\) only, not of {DAY}"):
        find_place(installation.g6.site, DAY)


def test_rows_of_a_real_market_are_never_replaced_by_a_modelled_day(installation: Installation) -> None:
    assert installation.phase("pre_open", KEY, only=["instruments", "day_pack"]).success
    lake = installation.paths.lake(DAY, "NIFTY")
    write_atomic(lake, b"collected at Kite")
    said = failure_of(installation.phase("session", KEY))
    assert "a simulated day must not replace it; use another data directory" in said
    assert lake.read_bytes() == b"collected at Kite"


def test_a_session_without_its_instruments_says_what_to_run(installation: Installation) -> None:
    said = failure_of(installation.phase("session", KEY))
    assert "no instruments dump; run the prepare stage first" in said
