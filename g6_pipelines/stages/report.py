"""The report stage: the day as one self-contained page."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from g6_core.adapters.files import write_atomic
from g6_core.adapters.lake import lake_exists
from g6_core.adapters.ledger import Ledger
from g6_core.domain.errors import DataError
from g6_core.site import Day, Site
from g6_pipelines.report.facts import IndexMinutes, gather
from g6_pipelines.report.page import render
from g6_pipelines.stages.accounting import account_day


def report(site: Site, ledger: Ledger, day: date, summary: Mapping[str, object]) -> Path:
    """Write the page of the day, and `paths.report` too when no newer day has one; return the newest written path.

    `summary` is that of the day command; `source`, `source_label` and `seed` are shown when they are in it. Missing
    or damaged inputs are named on the page. Raises DataError when the ledger is unusable or the page cannot be written.
    """
    page = render(gather(site, ledger, day, summary, index_minutes(site, day))).encode("utf-8")
    own = site.paths.report_of(day)
    write_atomic(own, page)
    if any(other.stem > own.stem for other in own.parent.glob("*.html")):
        return own
    write_atomic(site.paths.report, page)
    return site.paths.report


def index_minutes(site: Site, day: date) -> dict[str, IndexMinutes | DataError]:
    """Return how the minutes of every index ended of which something was kept, or why that is not known."""
    found: dict[str, IndexMinutes | DataError] = {}
    for name in site.indices:
        own = Day(site, day, name)
        if not lake_exists(own.lake) and not own.answers.exists():
            continue
        try:
            one = account_day(own)
        except DataError as error:
            found[name] = error
            continue
        if one.day.expected:
            found[name] = IndexMinutes(one.day, one.minutes)
    return found
