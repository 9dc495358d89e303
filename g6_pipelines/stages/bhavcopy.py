"""The bhavcopy stage: the day's collected rows against what the exchange publishes in the evening."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from g6_core.adapters.bhavcopy import read_bhavcopy
from g6_core.adapters.lake import lake_exists, read_lake
from g6_core.adapters.world import simulated_days
from g6_core.domain.checks import Check
from g6_core.domain.end_of_day import (
    Collected,
    Comparison,
    ContractKey,
    DifferenceKind,
    compare_with_published,
)
from g6_core.domain.errors import DataError
from g6_core.domain.ist import ist_date
from g6_core.domain.money import paise
from g6_core.site import Day, Site
from g6_pipelines.stages.closing import read_closing

EXAMPLES_MAX = 5
# How the sources of replayed recordings are labelled. A modelled market, like a broker, answers of the present.
RECORDED = "recorded"
# Who publishes the bhavcopy of an exchange of options.
PUBLISHERS = {"NFO": "NSE", "BFO": "BSE"}


def reconcile_bhavcopy(site: Site, day: date, underlyings: Sequence[str], bhavcopy: Path) -> tuple[Check, ...]:
    """Named checks of the last state of every contract that was collected.

    Without `underlyings` all indices that have a lake are compared. Raises DataError when there is no lake or the
    bhavcopy is not one of that day.
    """
    site.rules.require_trading_day(day)
    days = [Day(site, day, name) for name in underlyings or site.rules.underlyings]
    days = [one for one in days if underlyings or lake_exists(one.lake)]
    if not days:
        raise DataError(f"{site.paths.root}: nothing was collected on {day}; collect the day first")
    collected: dict[ContractKey, Collected] = {}
    made = simulated_days(site.paths).get(day)
    replayed = made is not None and made.source.startswith(RECORDED)
    for one in days:
        collected |= last_states(read_lake(one.lake), day)
        collected |= closing_states(read_closing(one), day, replayed=replayed)
    close_ms = {one.index: one.session.close_ms for one in days}
    return bhavcopy_checks(compare_with_published(collected, read_bhavcopy(bhavcopy, day, tuple(close_ms)), close_ms))


def published_file(day: Day) -> Path | None:
    """The bhavcopy of the index's exchange and the day, by the name that the exchange gives it; None if there is none.

    Both exchanges name theirs ``BhavCopy_{exchange}_FO_0_0_0_{yyyymmdd}_F_0000``, zipped or not.
    """
    exchange = PUBLISHERS[day.site.rules.index(day.index).option_exchange]
    found = day.site.paths.bhavcopies.glob(f"*_{exchange}_FO_*_{day.date:%Y%m%d}_*")
    return next(iter(sorted(found)), None)


def last_states(rows: pl.DataFrame, day: date) -> dict[ContractKey, Collected]:
    """The last live quote of every unexpired contract in lake rows (columns of `OPTION_COLUMNS`).

    The lake keeps one stamp for both sides of a strike, the newer one: only a live side is about that new. Volumes that
    are 0 in every row count as not recorded: Kite has no other way to say so.
    """
    no_volume = rows.select(pl.sum_horizontal(pl.col("call_volume", "put_volume").sum())).item() == 0
    states: dict[ContractKey, Collected] = {}
    for side, option_type in (("call", "CE"), ("put", "PE")):
        figures = [f"{side}_{name}" for name in ("status", "ltp", "volume", "oi")]
        seen = (
            rows.filter(
                pl.col("strike").is_not_null() & (pl.col(f"{side}_status") == "live") & (pl.col("expiry") >= day)
            )
            .sort("timestamp")
            .group_by("index", "expiry", "strike", maintain_order=True)
            .agg(pl.col("exchange_time").dt.timestamp("ms").last(), pl.col(figures).last())
        )
        for index, expiry, strike, stamp_ms, _, ltp, volume, oi in seen.rows():
            key = ContractKey(index, expiry, paise(strike), option_type)
            states[key] = Collected(stamp_ms, paise(ltp or 0.0), None if no_volume else volume, oi or 0)
    return states


def closing_states(rows: pl.DataFrame, day: date, *, replayed: bool) -> dict[ContractKey, Collected]:
    """The state after the close of every contract in `CLOSING_COLUMNS` rows that was quoted on the day.

    A broker's answer is as new as the question. A replay of a recording shows what that had last, however old: there
    only the quote's own stamp says what it is.
    """
    no_volume = not rows["volume"].sum()
    stamps = pl.col("timestamp", "exchange_time").dt.timestamp("ms")
    told = rows.filter(pl.col("expiry") >= day).select(
        stamps, "index", "expiry", "strike", "side", "ltp", "volume", "oi"
    )
    return {
        ContractKey(index, expiry, paise(strike), side): Collected(
            exchange_ms if replayed else asked_ms, paise(ltp or 0.0), None if no_volume else volume, oi or 0
        )
        for asked_ms, exchange_ms, index, expiry, strike, side, ltp, volume, oi in told.iter_rows()
        if ist_date(exchange_ms) == day
    }


def bhavcopy_checks(comparison: Comparison) -> tuple[Check, ...]:
    """Prices and volumes must be equal, every contract must be published; open interest is only told.

    Where there was nothing to compare nothing has passed. A volume that was never recorded is told instead: no bhavcopy
    can make up for it, and the prices stand.
    """
    return (_contracts(comparison), _prices(comparison), _volumes(comparison), _open_interest(comparison))


def _named(comparison: Comparison, kind: DifferenceKind) -> str:
    return "; ".join(str(one) for one in comparison.of(kind)[:EXAMPLES_MAX])


def _contracts(comparison: Comparison) -> Check:
    absent = len(comparison.of(DifferenceKind.NOT_PUBLISHED))
    final = f"{comparison.final} of {comparison.contracts} contracts hold the state after the close"
    if not comparison.final:
        final += "; what was collected before it is only a bound"
    said = _named(comparison, DifferenceKind.NOT_PUBLISHED) or final
    figures = {"contracts": comparison.contracts, "final": comparison.final, "not_published": absent}
    return Check("bhavcopy_contracts", absent == 0 and comparison.final > 0, said, figures)


def _prices(comparison: Comparison) -> Check:
    compared, wrong = comparison.prices, len(comparison.of(DifferenceKind.PRICE))
    said = f"all {compared} that can be compared are equal"
    if wrong:
        said = f"{wrong} of {compared} differ: {_named(comparison, DifferenceKind.PRICE)}"
    elif not compared:
        said = "nothing to compare: no contract that traded holds a state that is known to be the last of the day"
    figures = {"compared": compared, "differences": wrong}
    return Check("bhavcopy_last_price", wrong == 0 and compared > 0, said, figures)


def _volumes(comparison: Comparison) -> Check:
    compared, bounds = comparison.volumes, comparison.bounds
    wrong = len(comparison.of(DifferenceKind.VOLUME))
    unrecorded = comparison.without_volume > 0 and not compared and not bounds
    said = f"all {compared} that can be compared are equal"
    if wrong:
        said = f"{wrong} of {compared} final and {bounds} earlier volumes are wrong: "
        said += _named(comparison, DifferenceKind.VOLUME)
    elif unrecorded:
        said = f"not compared: no volume was recorded of {comparison.without_volume} contracts"
    elif not compared:
        said = f"nothing to compare: no final volume; {bounds} earlier ones are not above the published"
    figures = {"compared": compared, "bounds": bounds, "differences": wrong}
    return Check("bhavcopy_volume", wrong == 0 and (compared > 0 or unrecorded), said, figures)


def _open_interest(comparison: Comparison) -> Check:
    differing = len(comparison.of(DifferenceKind.OPEN_INTEREST))
    off_pct = 100 * (comparison.own_oi / comparison.published_oi - 1) if comparison.published_oi else 0.0
    said = f"{differing} of {comparison.final} differ, the sum by {off_pct:+.2f} %: "
    said += _named(comparison, DifferenceKind.OPEN_INTEREST) or "none"
    figures = {"differences": differing, "compared": comparison.final, "sum_off_pct": round(off_pct, 4)}
    return Check("bhavcopy_open_interest", True, said, figures)
