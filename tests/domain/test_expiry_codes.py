"""Expiry codes of real and awkward expiry lists."""

import csv
import gzip
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from g6_core.domain.expiry_codes import ExpiryCode, monthly_expiries, resolve_expiry_codes

W, NW, M, NM = ExpiryCode


def days(text: str) -> list[date]:
    """``2025-09-02 09-09``: dates, the year carried along."""
    year, found = "", []
    for part in text.split():
        year = part[:4] if part.count("-") == 2 else year
        found.append(date.fromisoformat(part if part.count("-") == 2 else f"{year}-{part}"))
    return found


def always(answer: bool) -> Callable[[date], bool]:
    """A dated rule with one answer."""
    return lambda expiry: answer


@pytest.mark.parametrize(
    ("name", "listed", "day", "expected"),
    [
        (
            "the day after a monthly expiry",
            "2025-09-02 09-09 09-16 09-23 09-30 10-28 11-25 12-30",
            "2025-08-29",
            {W: "2025-09-02", NW: "2025-09-09", M: "2025-09-30", NM: "2025-10-28"},
        ),
        (
            "on the expiry day itself the expiry is still this week's",
            "2025-09-02 09-09 09-16 09-23 09-30 10-28",
            "2025-09-02",
            {W: "2025-09-02", NW: "2025-09-09", M: "2025-09-30", NM: "2025-10-28"},
        ),
        (
            "this week is the month's last",
            "2025-09-23 09-30 10-07 10-28 11-25",
            "2025-09-26",
            {W: "2025-09-30", NW: "2025-10-07", M: "2025-09-30", NM: "2025-10-28"},
        ),
        (
            "an index with monthlies only",
            "2025-09-30 10-28 11-25",
            "2025-09-01",
            {M: "2025-09-30", NM: "2025-10-28"},
        ),
        ("only one expiry left", "2025-09-30", "2025-09-30", {M: "2025-09-30"}),
        ("everything has expired", "2025-08-26 08-28", "2025-08-29", {}),
    ],
)
def test_codes_are_resolved_from_the_listed_expiries(
    name: str, listed: str, day: str, expected: dict[ExpiryCode, str]
) -> None:
    found = resolve_expiry_codes(days(listed), date.fromisoformat(day), always(True))
    assert {code: str(expiry) for code, expiry in found.items()} == expected, name


def test_a_short_recording_that_ends_with_a_weekly_has_no_monthly_made_up() -> None:
    found = resolve_expiry_codes(days("2025-09-02 09-09"), date(2025, 8, 29), always(False))
    assert found == {W: date(2025, 9, 2), NW: date(2025, 9, 9)}


def test_the_rule_is_not_asked_about_far_expiries() -> None:
    def refuse(expiry: date) -> bool:
        raise AssertionError(f"asked about {expiry}")

    listed = days("2026-08-25 09-29 10-27 12-29 2031-06-24")
    assert monthly_expiries(listed, refuse) == tuple(listed)


def test_order_and_repetition_of_the_dump_do_not_matter() -> None:
    listed = days("2025-09-30 09-02 09-09 09-02 10-28")
    shuffled = resolve_expiry_codes(listed, date(2025, 9, 1), always(True))
    assert shuffled == resolve_expiry_codes(sorted(set(listed)), date(2025, 9, 1), always(True))


@pytest.mark.parametrize(
    ("underlying", "expected"),
    [
        ("NIFTY", {W: "2026-08-18", NW: "2026-08-25", M: "2026-08-25", NM: "2026-09-29"}),
        ("SENSEX", {W: "2026-08-20", NW: "2026-08-27", M: "2026-08-27", NM: "2026-09-24"}),
        ("BANKNIFTY", {M: "2026-08-25", NM: "2026-09-29"}),
        ("FINNIFTY", {M: "2026-08-25", NM: "2026-09-29"}),
        ("MIDCPNIFTY", {M: "2026-08-25", NM: "2026-09-29"}),
    ],
)
def test_codes_of_a_real_dump(shared_data, rules, underlying: str, expected: dict[ExpiryCode, str]) -> None:
    with gzip.open(shared_data / "kite-instruments-20260818" / "instruments.csv.gz", "rt") as file:
        listed = {
            date.fromisoformat(row["expiry"])
            for row in csv.DictReader(file)
            if row["name"] == underlying and row["instrument_type"] in ("CE", "PE")
        }
    day = date(2026, 8, 18)
    found = resolve_expiry_codes(listed, day, lambda expiry: rules.is_monthly(underlying, expiry))
    assert {code: str(expiry) for code, expiry in found.items()} == expected


def test_every_code_is_the_nearest_or_next_of_its_kind() -> None:
    tuesdays = [date(2025, 9, 2) + timedelta(weeks=week) for week in range(12)]
    for offset in range(60):
        day = date(2025, 9, 1) + timedelta(days=offset)
        found = resolve_expiry_codes(tuesdays, day, always(True))
        assert found[W] == min(expiry for expiry in tuesdays if expiry >= day)
        assert found[NW] == found[W] + timedelta(weeks=1)
        assert found[M] >= found[W]
        assert found[M] + timedelta(weeks=1) not in [x for x in tuesdays if x.month == found[M].month]
