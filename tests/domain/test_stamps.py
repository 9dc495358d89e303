"""The one reader of time stamps and days: what it reads, and what it refuses instead of reading it by half."""

from datetime import date

import pytest

from g6_core.domain.ist import ist_text
from g6_core.domain.stamps import read_day, read_stamp

MORNING = [
    "2026-01-07 09:15:00",
    "2026-01-07T09:15",
    "2026-01-07 09:15:00.250",
    "2026-01-07 09:15:00,5",
    "2026-01-07T03:45:00.000Z",
    "2026-01-07T03:45:00Z",
    "2026-01-07 09:15:00.250+05:30",
    "2026-01-07 09:15:00+05:30",
    "2026-01-07T09:15:00+0530",
    "2026-01-07 09:15:00 +05:30",
    "2026-01-06T22:45:00-05:00",
    "2026-01-06T22:45:00.123456789−05:00",
    "2026-01-06T22:45-05",
    "2026-01-07 03:45:00 UTC",
    "2026-01-07 09:15:00 IST",
    "2026-01-07 09:15:00 +0530 IST",
    "2026-01-07T09:15:00+05:30[Asia/Kolkata]",
    "Wed Jan 07 2026 09:15:00 GMT+0530 (India Standard Time)",
    "Wed, 07 Jan 2026 03:45:00 GMT",
    "07-01-2026 09:15:00.0 AM",
    "07-01-2026 9:15am",
    "07/01/2026 09:15",
    "07.01.2026 09.15.00",
    "07-Jan-2026 09:15:00",
    "07-JAN-26 09:15:00 a.m.",
    "January 7, 2026 09:15:00\u202fAM",
    "07/Jan/2026:09:15:00 +0530",
    "20260107_091500",
    "20260107091500",
    "20260107T034500Z",
    "2026-01-07_09-15-00",
]
NO_STAMPS = [
    "",
    "yesterday",
    "2026-01-07",
    "09:15:00",
    "07 Jan 09:15:00",
    "01/13/2026 09:15:00",
    "07-01-26 09:15:00",
    "2026-02-30 09:15:00",
    "2026-01-07 24:00:00",
    "2026-01-07 09:60:00",
    "2026-01-07 915",
    "20260107_09150",
    "2026-01-0709:15:00",
    "2026-01-07 09:15:002026-01-07 09:16:00",
    "2026-01-07 14:15:00 PM",
    "2026-01-07 00:15:00 AM",
    "2026-01-07 02:15:00 +0530 PM",
    "2026-01-07 09:15:00 EST",
    "2026-01-07 09:15:00+99:00",
    "2026-01-07-05:00",
    "1767757500",
    "1767757500000",
    "0000-01-07 09:15:00",
]


@pytest.mark.parametrize("text", MORNING)
def test_a_stamp_is_the_same_moment_however_it_is_written(text: str) -> None:
    stamp = read_stamp(text)
    assert stamp is not None
    assert ist_text(stamp.time_ms) == "2026-01-07 09:15:00"


@pytest.mark.parametrize(
    ("text", "clock"), [("02:15:00.0 PM", "14:15"), ("2:15pm", "14:15"), ("12:15 PM", "12:15"), ("12:15 AM", "00:15")]
)
def test_a_clock_of_twelve_hours_counts_its_half(text: str, clock: str) -> None:
    stamp = read_stamp(f"07-01-2026 {text}")
    assert stamp is not None
    assert ist_text(stamp.time_ms) == f"2026-01-07 {clock}:00"


@pytest.mark.parametrize("text", NO_STAMPS)
def test_what_is_only_nearly_a_stamp_is_none(text: str) -> None:
    assert read_stamp(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-13",
        "13-Jan-2026",
        "13 January 2026",
        "13JAN26",
        "13/01/2026",
        "20260113",
        "2026-01-13 00:00:00",
        "2026-01-13 15:30:00",
        "2026-01-12T18:30:00Z",
        "2026-01-13T00:00:00+05:30",
    ],
)
def test_a_day_is_the_day_in_india(text: str) -> None:
    assert read_day(text) == date(2026, 1, 13)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "01/13/2026",
        "26JAN",
        "46035",
        "1768262400",
        "2026-01-12 18:30:00",
        "2026-01-12 13:30:00",
        "2026-01-12T14:30:00",
    ],
)
def test_what_is_no_day_or_another_zones_midnight_is_none(text: str) -> None:
    assert read_day(text) is None
