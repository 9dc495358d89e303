"""Is there what should be there by now? The newest day against the calendar, its newest cycle against the time."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from g6_core.adapters.lake import lake_exists, read_lake
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.checks import Check
from g6_core.domain.errors import CalendarError
from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date
from g6_core.schema.options import RowStatus
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site

# As long as the evening waits: the last cycle and the closing state are in the lake by then.
AFTER_CLOSE_MS = 15 * MINUTE_MS
# A cycle is written before its interval is over and a collector that died is replaced within another.
INTERVALS_LATE_MAX = 3
# So long a market is looked at before its silence counts: an open is late more often than for a quarter of an hour.
QUIET_MS = 15 * MINUTE_MS
# Somebody who has missed more days than these knows it.
LOOK_BACK_DAYS = 10


@dataclass(frozen=True, slots=True)
class Collected:
    """A day in the lake: when its last cycle was (None without any), and whether anything in it is live, or stale."""

    last_ms: int | None
    any_live: bool
    any_stale: bool


def collected(path: Path) -> Collected:
    """What the lake of an index and day holds. DataError when it is damaged."""
    if not lake_exists(path):
        return Collected(None, any_live=False, any_stale=False)
    rows = read_lake(path, ("timestamp", "call_status", "put_status"))
    live, stale = (
        pl.any_horizontal(pl.col("call_status", "put_status") == status).any().alias(status)
        for status in (RowStatus.LIVE, RowStatus.STALE)
    )
    last_ms, any_live, any_stale = rows.select(pl.col("timestamp").dt.timestamp("ms").max(), live, stale).row(0)
    return Collected(last_ms, bool(any_live), bool(any_stale))


def due_day(rules: MarketRules, index: str, now_ms: int) -> date:
    """The newest trading day that is over, a quarter of an hour included. CalendarError before the known days."""
    day = rules.last_trading_day_up_to(ist_date(now_ms))
    over = rules.index_session(index, day).close_ms + AFTER_CLOSE_MS <= now_ms
    return day if over else rules.previous_trading_day(day)


def stood_still(paths: DataPaths, rules: MarketRules, day: date) -> bool:
    """Return whether a provisional day was a holiday after all: looked at for `QUIET_MS` or longer, and nothing moved.

    A day of which nothing was collected is not, nor one on which the broker answered nothing: nobody has seen it.
    DataError when a lake is damaged.
    """
    if not rules.provisional(day):
        return False
    found = {name: collected(paths.lake(day, name)) for name in rules.underlyings}
    looked = [
        one.last_ms - rules.index_session(name, day).open_ms
        for name, one in found.items()
        if one.last_ms is not None and one.any_stale
    ]
    return not any(one.any_live for one in found.values()) and max(looked, default=0) >= QUIET_MS


def fresh_checks(site: Site, index: str, now_ms: int, only: date | None = None) -> tuple[Check, ...]:
    """`day_complete` and, while the index trades, `cycle_fresh`; `only` is the one day of a simulated market.

    That cycles hold something is a matter of coverage: a recording may be silent for a while. DataError when a lake is
    damaged.
    """
    rules, paths, found = site.rules, site.paths, []
    due = due_day(rules, index, now_ms)
    while stood_still(paths, rules, due):
        due = rules.previous_trading_day(due)
    if only is None or due == only:
        found.append(_day_complete(Day(site, due, index), look_back=only is None))
    today = ist_date(now_ms)
    if rules.is_trading_day(today) and only in (None, today) and not stood_still(paths, rules, today):
        session, late_ms = rules.index_session(index, today), INTERVALS_LATE_MAX * site.interval_ms
        if session.open_ms + late_ms <= now_ms < session.close_ms + AFTER_CLOSE_MS:
            last_ms = collected(paths.lake(today, index)).last_ms
            found.append(_cycle_fresh(today, last_ms, session, min(now_ms, session.close_ms) - late_ms))
    return tuple(found) or (Check("nothing_due", True, f"nothing is due on {today} at {ist_clock(now_ms)}", {}),)


def _day_complete(due: Day, *, look_back: bool) -> Check:
    """The day that is due has a live quote and its last cycle; where not, the newest that has is named."""
    if _is_complete(due):
        return Check("day_complete", True, f"{due.date} is complete", {"days_missing": 0})
    day, missing = due, 1
    try:
        while look_back and missing <= LOOK_BACK_DAYS:
            day = replace(day, date=due.site.rules.previous_trading_day(day.date))
            if _is_complete(day):
                said = f"{due.date} is not complete, the newest complete day is {day.date}"
                return Check("day_complete", False, said, {"days_missing": missing})
            missing += 1
    except CalendarError:
        pass
    said = f"{due.date} is not complete, nor is a day before it"
    return Check("day_complete", False, said, {"days_missing": missing})


def _is_complete(day: Day) -> bool:
    one = collected(day.lake)
    return one.any_live and one.last_ms is not None and one.last_ms + day.site.interval_ms >= day.session.close_ms


def _cycle_fresh(today: date, last_ms: int | None, session: Session, wanted_ms: int) -> Check:
    """The newest cycle is not older than it may be."""
    fresh = last_ms is not None and last_ms >= wanted_ms
    said = f"{today}: no cycle is there" if last_ms is None else f"{today}: the newest cycle is of {ist_clock(last_ms)}"
    said += f", one of {ist_clock(max(wanted_ms, session.open_ms))} or later is due"
    return Check("cycle_fresh", fresh, said, {})
