"""After the close: the account of every expected minute, filled up from candles, and what expires today."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from g6_core.domain.errors import BrokerError, UserError
from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date
from g6_pipelines.assets.before_open import instruments
from g6_pipelines.assets.publish import picture, publish, table
from g6_pipelines.assets.ranged import ranged_asset
from g6_pipelines.assets.session import option_chain
from g6_pipelines.partitions import selected
from g6_pipelines.places import Market, Place, Where
from g6_pipelines.resources import G6Resource, one_line

if TYPE_CHECKING:
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

    wanted = selected(context)
    calls: dict[tuple[date, str], int] = {}
    troubles: dict[tuple[date, str], str] = {}
    with one_line():
        for places, name in _works(g6, wanted):
            try:
                asked, trouble = _repair(g6, places, name)
            except (UserError, BrokerError) as error:
                asked, trouble = 0, {place.day: str(error) for place in places}
            for day, text in trouble.items():
                context.log.error(f"{name} {day}: {text}")
            calls |= {(place.day, name): asked for place in places}
            troubles |= {(day, name): text for day, text in trouble.items()}
        for day, names in wanted.items():
            for name in names:
                told = {"calls": calls.get((day, name), 0), "troubles": troubles.get((day, name)) or "none"}
                try:
                    found = account_day(g6.paths, g6.settings, g6.rules, day, name)
                except UserError as error:
                    # A damaged file of one day must not keep the others from being told; the check of it fails.
                    publish(context, day, name, {"complete": "NO", "answer": str(error), **told})
                    continue
                figures = {**_figures(found), **told}
                publish(context, day, name, figures | picture(account_picture(found.minutes, day), "account_picture"))


@ranged_asset(GROUP, deps=[instruments], kinds={"kite", "parquet"})
def expiry_capture(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """On expiry day: the whole minute history of every strike that expires, and the dump, before the broker forgets."""
    failures: list[str] = []
    for day, names in selected(context).items():
        for name in names:
            try:
                kept, calls, troubles = _captured(g6, day, name)
            except (UserError, BrokerError) as error:
                # What one index lacks must not keep the others from being asked: tomorrow it is too late.
                failures.append(f"{name} {day}: {error}")
                context.log.error(failures[-1])
                continue
            if kept is None:
                publish(context, day, name, {"contracts": 0, "expiry": "no contract of the index expires on this day"})
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
                "folder": str(g6.paths.expired(name, day)),
                "calls": calls,
                "troubles": troubles or "none",
            }
            publish(context, day, name, figures)
    if failures:
        raise dg.Failure("; ".join(failures), allow_retries=False)


def _works(g6: G6Resource, wanted: dict[date, tuple[str, ...]]) -> Iterator[tuple[list[Place], str]]:
    """Days that one broker can be asked about together, index by index: all of them at Kite, else each alone."""
    groups: list[list[Place]] = []
    for day in wanted:
        place = g6.locate(day, past=True)
        if groups and place.where is Where.KITE:
            groups[-1].append(place)
        else:
            groups.append([place])
    for group in groups:
        for name in dict.fromkeys(name for place in group for name in wanted[place.day]):
            yield [place for place in group if name in wanted[place.day]], name


def _repair(g6: G6Resource, places: Sequence[Place], name: str) -> tuple[int, dict[date, str]]:
    """Repair one index on the days of these places; returns the calls made and what was in the way, by day.

    The broker is only opened when something can be asked. A day that is not over is left out.
    """
    from g6_core.adapters.clock import RealClock, drive
    from g6_core.adapters.world import claim_answers
    from g6_pipelines.stages.accounting import account_day, listing_of
    from g6_pipelines.stages.candles import said
    from g6_pipelines.stages.repair import needs_broker, not_over, repair, write_repaired

    days = [place.day for place in places]
    found = {day: account_day(g6.paths, g6.settings, g6.rules, day, name) for day in days}
    listed = all(listing_of(g6.paths, g6.rules, day, name) is not None for day in days)
    today = ist_date(RealClock().now_ms()) if places[-1].where is Where.KITE else places[-1].day
    if listed and not any(needs_broker(one, g6.settings, today) for one in found.values()):
        for day, one in found.items():
            write_repaired(g6.paths, day, name, one.minutes)
        return 0, {}
    for place in places:
        claim_answers(g6.paths, place.day, (name,), _made(place))
    with _after_close(g6, places[-1], name) as market:
        book = _listed_now(g6, market, places, name)
        broker = (market.kite, market.clock, g6.settings, g6.rules)
        early = {day: why for day in days if (why := not_over(g6.rules, market.clock, day, name))}
        over = [day for day in days if day not in early]
        stage = repair(*broker, g6.paths, over, name, book, _origin(places[-1]), market.history)
        asked = drive(market.clock, stage)
    return asked.calls, dict.fromkeys(over, said(asked.reasons)) | early if asked.reasons else early


def _captured(g6: G6Resource, day: date, name: str) -> "tuple[Captured | None, int, str]":
    """Capture what expires, if anything can be asked: what is kept then, the calls made, what was in the way."""
    from g6_pipelines.stages.candles import said
    from g6_pipelines.stages.capture import captured, publish

    kept = captured(g6.paths, g6.settings, g6.rules, day, name)
    if kept is None or not (kept.missing or kept.short):
        if kept is not None:
            # From the answers again: one of the files may be gone, or a run died before it.
            publish(g6.paths, g6.rules, day, name)
        return kept, 0, ""
    try:
        asked = _capture(g6, day, name)
    except (UserError, BrokerError) as error:
        if kept.missing:
            raise
        # All of it was answered, if with less than was traded; on a later day it cannot be asked again.
        return kept, 0, str(error)
    return captured(g6.paths, g6.settings, g6.rules, day, name), asked.calls, said(asked.reasons)


def _capture(g6: G6Resource, day: date, name: str) -> Any:
    from g6_core.adapters.clock import drive
    from g6_core.adapters.world import claim_answers
    from g6_pipelines.stages.capture import capture
    from g6_pipelines.stages.prepare import store_dump, stored_dump

    # A broker that has today only is asked today or never: an expired contract has no history.
    place = g6.locate(day)
    claim_answers(g6.paths, day, (name,), _made(place))
    with _after_close(g6, place, name) as market:
        if not g6.paths.instruments(day).exists():
            store_dump(market.kite, g6.rules, g6.paths, day, tuple(g6.settings.indices))
        book = stored_dump(g6.rules, g6.paths, day, (name,)).book
        broker = (market.kite, market.clock, g6.settings, g6.rules)
        stage = capture(*broker, g6.paths, day, name, book, _origin(place), market.history)
        return drive(market.clock, stage)


@contextmanager
def _after_close(g6: G6Resource, place: Place, name: str) -> Iterator[Market]:
    """The market of a day; a close that is near is waited for.

    One that is modelled in this process begins before its open, and one in lockstep stands still after the last cycle.
    """
    close_ms = g6.rules.session(place.day, g6.rules.index(name).option_exchange).close_ms
    with g6.market(place) as market:
        if place.where is Where.IN_PROCESS or 0 < close_ms - market.clock.now_ms() <= WAIT_MAX_MS:
            market.clock.sleep_until(close_ms)
        yield market


def _listed_now(g6: G6Resource, market: Market, places: Sequence[Place], name: str) -> "InstrumentBook":
    """What the broker lists now. Days whose own dump was not kept go by this one from now on."""
    from g6_core.adapters.files import write_atomic
    from g6_pipelines.stages.prepare import store_dump, stored_dump

    today = ist_date(market.clock.now_ms()) if places[-1].where is Where.KITE else places[-1].day
    if not g6.paths.instruments(today).exists():
        store_dump(market.kite, g6.rules, g6.paths, today, tuple(g6.settings.indices))
    for place in places:
        if not any(path.exists() for path in (g6.paths.instruments(place.day), g6.paths.listed_later(place.day))):
            write_atomic(g6.paths.listed_later(place.day), g6.paths.instruments(today).read_bytes())
    return stored_dump(g6.rules, g6.paths, today, (name,)).book


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
