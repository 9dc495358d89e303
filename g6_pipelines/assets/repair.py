"""After the close: the account of every expected minute, filled up from candles, and what expires today."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from g6_core.domain.errors import BrokerError, UserError
from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date
from g6_core.site import Day
from g6_pipelines.assets.before_open import instruments
from g6_pipelines.assets.publish import picture, publish, table
from g6_pipelines.assets.ranged import ranged_asset
from g6_pipelines.assets.session import option_chain
from g6_pipelines.places import Place, Where, find_place, open_market
from g6_pipelines.resources import G6Resource, one_line

if TYPE_CHECKING:
    from g6_core.adapters.kite_market import Market
    from g6_core.domain.instruments import InstrumentBook
    from g6_pipelines.stages.accounting import Accounted
    from g6_pipelines.stages.capture import Captured

GROUP = "evening"
MISSING_SHOWN = 20
# As long as the longest interval of the collection and a little more.
WAIT_MAX_MS = 10 * MINUTE_MS


@ranged_asset(GROUP, deps=[option_chain], kinds={"kite", "parquet"})
def chain_repair(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Is the day complete? Every expected minute of every contract: live, repaired from the broker's candles, no trade
    (the broker has no candle), or unverified. Also backfills a past day of contracts that are still listed.

    What cannot be asked stays unverified and is said; the check then fails, and what comes after it goes on.
    """
    from g6_pipelines.report.figures import account_picture
    from g6_pipelines.stages.accounting import account_day

    days, calls, troubles = g6.days(context), Counter[Day](), dict[Day, str]()
    with one_line():
        for place, work in _works(days):
            try:
                asked, trouble = _repair(place, work)
            except (UserError, BrokerError) as error:
                asked, trouble = 0, dict.fromkeys(work, str(error))
            for day, text in trouble.items():
                context.log.error(f"{day}: {text}")
            calls.update(dict.fromkeys(work, asked))
            troubles |= trouble
        for day in days:
            told = {"calls": calls[day], "troubles": troubles.get(day) or "none"}
            try:
                found = account_day(day)
            except UserError as error:
                # A damaged file of one day must not keep the others from being told; the check of it fails.
                publish(context, day, {"complete": "NO", "answer": str(error), **told})
                continue
            shown = picture(account_picture(found.minutes, day.date), "account_picture")
            publish(context, day, {**_figures(found), **told, **shown})


@ranged_asset(GROUP, deps=[instruments], kinds={"kite", "parquet"})
def expiry_capture(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """On expiry day: the whole minute history of every strike that expires, and the dump, before the broker forgets."""
    failures: list[str] = []
    for day in g6.days(context):
        try:
            kept, calls, troubles = _captured(day)
        except (UserError, BrokerError) as error:
            # What one index lacks must not keep the others from being asked: tomorrow it is too late.
            failures.append(f"{day}: {error}")
            context.log.error(failures[-1])
            continue
        if kept is None:
            publish(context, day, {"contracts": 0, "expiry": "no contract of the index expires on this day"})
            continue
        figures: dict[str, Any] = {
            "expiry": str(kept.expiry),
            "contracts": kept.contracts,
            "missing": len(kept.missing),
            "missing_contracts": ", ".join(kept.missing[:MISSING_SHOWN]) or "none",
            "short": len(kept.short),
            "short_contracts": ", ".join(kept.short[:MISSING_SHOWN]) or "none",
            "contracts_with_trades": kept.traded,
            "candles": kept.candles,
            "folder": str(day.expired),
            "calls": calls,
            "troubles": troubles or "none",
        }
        publish(context, day, figures)
    if failures:
        raise dg.Failure("; ".join(failures), allow_retries=False)


def _works(days: Sequence[Day]) -> Iterator[tuple[Place, list[Day]]]:
    """Days of one index about which one broker can be asked together: all of them at Kite, else each alone. The place
    is that of the last one."""
    places = {date: find_place(days[0].site, date, past=True) for date in dict.fromkeys(day.date for day in days)}
    works: dict[tuple[Place | None, str], list[Day]] = {}
    for day in days:
        place = places[day.date]
        works.setdefault((None if place.where is Where.KITE else place, day.index), []).append(day)
    for work in works.values():
        yield places[work[-1].date], work


def _repair(place: Place, days: Sequence[Day]) -> tuple[int, dict[Day, str]]:
    """Repair one index on these days; returns the calls made and what was in the way, by day.

    The broker is only opened when something can be asked. A day that is not over is left out.
    """
    from g6_core.adapters.clock import RealClock, drive
    from g6_core.adapters.world import claim_answers
    from g6_pipelines.stages.accounting import account_day, listing_of
    from g6_pipelines.stages.candles import said
    from g6_pipelines.stages.repair import needs_broker, not_over, repair, write_repaired

    found = {day: account_day(day) for day in days}
    listed = all(listing_of(day) is not None for day in days)
    today = ist_date(RealClock().now_ms()) if place.where is Where.KITE else place.day
    if listed and not any(needs_broker(one, day, today) for day, one in found.items()):
        for day, one in found.items():
            write_repaired(day, one.minutes)
        return 0, {}
    for day in days:
        claim_answers(day.site.paths, day.date, (day.index,), _made(place))
    with _after_close(place, days[-1]) as market:
        book = _listed_now(market, place, days)
        early = {day: why for day in days if (why := not_over(day, market.clock))}
        over = [day for day in days if day not in early]
        asked = drive(market.clock, repair(market, over, book, _origin(place)))
    return asked.calls, dict.fromkeys(over, said(asked.reasons)) | early if asked.reasons else early


def _captured(day: Day) -> "tuple[Captured | None, int, str]":
    """Capture what expires, if anything can be asked: what is kept then, the calls made, what was in the way."""
    from g6_pipelines.stages.candles import said
    from g6_pipelines.stages.capture import captured, publish

    kept = captured(day)
    if kept is None or not (kept.missing or kept.short):
        if kept is not None:
            # From the answers again: one of the files may be gone, or a run died before it.
            publish(day)
        return kept, 0, ""
    try:
        asked = _capture(day)
    except (UserError, BrokerError) as error:
        if kept.missing:
            raise
        # All of it was answered, if with less than was traded; on a later day it cannot be asked again.
        return kept, 0, str(error)
    return captured(day), asked.calls, said(asked.reasons)


def _capture(day: Day) -> Any:
    from g6_core.adapters.clock import drive
    from g6_core.adapters.world import claim_answers
    from g6_pipelines.stages.capture import capture
    from g6_pipelines.stages.prepare import store_dump, stored_dump

    # A broker that has today only is asked today or never: an expired contract has no history.
    place, site = find_place(day.site, day.date), day.site
    claim_answers(site.paths, day.date, (day.index,), _made(place))
    with _after_close(place, day) as market:
        if not site.paths.instruments(day.date).exists():
            store_dump(market.kite, site, day.date, site.indices)
        book = stored_dump(site, day.date, (day.index,)).book
        return drive(market.clock, capture(market, day, book, _origin(place)))


@contextmanager
def _after_close(place: Place, day: Day) -> "Iterator[Market]":
    """The market of a day; a close that is near is waited for.

    One that is modelled in this process begins before its open, and one in lockstep stands still after the last cycle.
    """
    close_ms = day.session.close_ms
    with open_market(day.site, place) as market:
        if place.where is Where.IN_PROCESS or 0 < close_ms - market.clock.now_ms() <= WAIT_MAX_MS:
            market.clock.sleep_until(close_ms)
        yield market


def _listed_now(market: "Market", place: Place, days: Sequence[Day]) -> "InstrumentBook":
    """What the broker lists now. Days whose own dump was not kept go by this one from now on."""
    from g6_core.adapters.files import write_atomic
    from g6_pipelines.stages.prepare import store_dump, stored_dump

    site, today = days[-1].site, ist_date(market.clock.now_ms()) if place.where is Where.KITE else place.day
    paths = site.paths
    if not paths.instruments(today).exists():
        store_dump(market.kite, site, today, site.indices)
    for day in days:
        if not any(path.exists() for path in (paths.instruments(day.date), paths.listed_later(day.date))):
            write_atomic(paths.listed_later(day.date), paths.instruments(today).read_bytes())
    return stored_dump(site, today, (days[-1].index,)).book


def _made(place: Place) -> Any:
    from g6_core.adapters.world import Simulated

    return None if place.where is Where.KITE else Simulated(place.label, place.seed)


def _origin(place: Place) -> str:
    return place.label if place.where is Where.KITE else f"{place.label} {place.seed}"


def _figures(found: "Accounted") -> dict[str, Any]:
    """The account for people: the line, the counts, and who is short of what."""
    import polars as pl

    day = found.day
    by_expiry = found.minutes.pivot("account", index="expiry", values="minute", aggregate_function="len").sort("expiry")
    states = [name for name in ("live", "repaired", "no_trade", "unverified") if name in by_expiry.columns]
    left = found.minutes.filter(pl.col("account") == "unverified").group_by("symbol").len().sort("len", "symbol")
    return {
        "complete": "yes" if day.complete else "NO",
        "answer": day.line(),
        **day.counts(),
        "silent_minutes": len(day.silent_minutes),
        "silent_minutes_at": ", ".join(ist_clock(one)[:5] for one in day.silent_minutes) or "none",
        "by_expiry": table(("expiry", *states), by_expiry.select("expiry", *states).fill_null(0).iter_rows()),
        "unverified_contracts": table(
            ("contract", "minutes"),
            ((symbol or "not listed any more", count) for symbol, count in left.tail(MISSING_SHOWN).iter_rows()),
        ),
    }
