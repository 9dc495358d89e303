"""During the session: the option chain, cycle by cycle, and the overview that follows from it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from g6_core.domain.ist import MINUTE_MS, ist_clock
from g6_core.schema.options import OPTION_COLUMNS, OVERVIEW_COLUMNS
from g6_core.site import Day, Site
from g6_pipelines.assets.before_open import day_pack, instruments
from g6_pipelines.assets.columns import column_schema
from g6_pipelines.assets.publish import picture, publish, table
from g6_pipelines.assets.told import Told
from g6_pipelines.partitions import DAY_INDEX, partition_key, selected
from g6_pipelines.places import Place, find_place
from g6_pipelines.resources import G6Resource, facts_of, one_line

if TYPE_CHECKING:
    from g6_core.schema.options import OverviewRow
    from g6_pipelines.stages.collect import CollectReport, CycleReport

GROUP = "session"
REPORT_EVERY_MS = 15 * MINUTE_MS
# Dagster's own types do not allow its own word for "no value".
NOTHING: Any = dg.Nothing


@dg.asset(
    partitions_def=DAY_INDEX,
    group_name=GROUP,
    deps=[instruments, day_pack],
    kinds={"kite", "arrow", "csv"},
    metadata=column_schema(OPTION_COLUMNS),
    # A day that another run is collecting is left to that run: this one makes nothing, which is no failure.
    output_required=False,
    dagster_type=NOTHING,
)
def option_chain(context: dg.AssetExecutionContext, g6: G6Resource) -> Iterator[dg.Output[None]]:
    """Every configured strike and expiry, once an interval through the session: the lake, then the CSV files.

    A day that is under way is continued; a day that is modelled in this process is made anew.
    """
    from g6_pipelines.session.run import session_lease

    site, collected = g6.site, 0
    for day, names in selected(context).items():
        with one_line(), session_lease(site.paths, day) as taken:
            if taken:
                context.log.warning(f"skipped: {taken}")
                continue
            place = find_place(site, day)
            report = _collect(context, site, place, names)
        collected += 1
        for name in names:
            own = Day(site, day, name)
            figures = {
                **_coverage(report, name),
                "source": f"{place.label} ({place.where})",
                "seed": place.seed,
                "calls": report.calls,
                "troubles": table(("cycles", "reason"), ((count, why) for why, count in report.reasons.items())),
                "closing_state": report.closing.line() if report.closing is not None else "none",
                "copies_said": table(("said",), ((line,) for line in report.said)),
                **picture(_coverage_picture(own), "coverage_picture"),
            }
            publish(context, own, figures)
    if collected:
        yield dg.Output(None)


@dg.asset(
    partitions_def=DAY_INDEX,
    group_name=GROUP,
    deps=[option_chain],
    kinds={"csv"},
    metadata=column_schema(OVERVIEW_COLUMNS),
    output_required=False,
    dagster_type=NOTHING,
)
def index_overview(context: dg.AssetExecutionContext, g6: G6Resource) -> Iterator[dg.Output[None]]:
    """Put-call ratio, max pain, support, resistance and at-the-money volatility by cycle, rebuilt from the lake."""
    from g6_pipelines.report.figures import index_picture, open_interest_picture, smile_picture
    from g6_pipelines.report.series import chain_cuts
    from g6_pipelines.session.run import session_lease
    from g6_pipelines.stages.overview import rebuild_overviews

    site, rebuilt = g6.site, 0
    for day, names in selected(context).items():
        with one_line(), session_lease(site.paths, day) as taken:
            if taken:
                context.log.warning(f"skipped: {taken}")
                continue
            last = {one: rebuild_overviews(one) for one in (Day(site, day, name) for name in names)}
        rebuilt += 1
        facts = facts_of(site, day)
        for own, rows in last.items():
            columns = ("code", "strikes", "IV %", "PCR", "max pain", "support", "resistance")
            closing = [(one.expiry_code, one.strikes, one.atm_iv, one.pcr_oi, *_levels(one)) for one in rows]
            cuts = chain_cuts(facts, own.index)
            figures = {
                **_nearest(rows[0]),
                "at_the_close": table(columns, closing),
                **picture(index_picture(facts, own.index), "index_picture"),
                **picture(smile_picture(cuts), "volatility_smile"),
                **picture(open_interest_picture(cuts), "open_interest"),
            }
            publish(context, own, figures)
    if rebuilt:
        yield dg.Output(None)


def _collect(context: dg.AssetExecutionContext, site: Site, place: Place, names: Sequence[str]) -> "CollectReport":
    """Run the collection where the market of the day is."""
    from g6_pipelines.session.run import run_session

    with Told(context) as told:
        return run_session(site, place, names, _progress(told, place), told.warning)


def _progress(told: Told, place: Place) -> Callable[["CycleReport"], None]:
    """Say every quarter of an hour how far each index is, and what cannot be fetched when it is new.

    A run of hours must not be silent.
    """
    from g6_pipelines.collection.coverage import cycle_coverage

    troubles: set[str] = set()
    live: Counter[str] = Counter()
    expected: Counter[str] = Counter()

    def tell(cycle: "CycleReport") -> None:
        for reason in set(cycle.reasons) - troubles:
            told.warning(f"{ist_clock(cycle.time_ms)[:5]}: {reason}")
        troubles.clear()
        troubles.update(cycle.reasons)
        for line in cycle.said:
            told.warning(line)
        now = {one.underlying: cycle_coverage(one.rows) for one in cycle.indices}
        for name, counted in now.items():
            live[name] += counted.live
            expected[name] += counted.expected
        if cycle.time_ms % REPORT_EVERY_MS or cycle.passed:
            return
        clock = ist_clock(cycle.time_ms)[:5]
        told.info(f"{clock}: {cycle.live} of {cycle.expected} contracts live")
        for name, counted in now.items():
            figures: dict[str, str | int] = {
                "time": clock,
                "live": counted.live,
                "expected": counted.expected,
                "live_since_start": live[name],
                "expected_since_start": expected[name],
                "late_ms": cycle.started_ms - cycle.time_ms,
            }
            told.observation(
                dg.AssetObservation("option_chain", partition=partition_key(place.day, name), metadata=figures)
            )

    return tell


def _coverage_picture(day: Day) -> str | None:
    """How every expected minute ended so far. Plots are loaded only here: the lease has to be taken soon."""
    from g6_pipelines.report.figures import coverage_picture
    from g6_pipelines.stages.accounting import account_day

    return coverage_picture(account_day(day).minutes, day.date)


def _coverage(report: "CollectReport", name: str) -> dict[str, Any]:
    """Coverage of one index, in all and by expiry code; identical expiries count under each of their codes."""
    codes = {
        code.partition("/")[2]: one for code, one in report.coverage_by_code.items() if code.startswith(f"{name}/")
    }
    live, expected = (sum(getattr(one, what) for one in codes.values()) for what in ("live", "expected"))
    missing = sorted(set.intersection(*(set(one.minutes_missing) for one in codes.values())))
    columns = ("pct", "live", "stale", "missing", "no_contract", "closed")
    return {
        "coverage_pct": round(100 * live / expected, 2) if expected else 0.0,
        "cycles": report.cycles,
        "resumed_cycles": report.resumed_cycles,
        "minutes_missing": len(missing),
        "minutes_missing_at": ", ".join(ist_clock(time_ms)[:5] for time_ms in missing) or "none",
        "coverage_by_code": table(
            ("code", *columns), ((code, *(getattr(one, column) for column in columns)) for code, one in codes.items())
        ),
    }


def _nearest(row: "OverviewRow") -> dict[str, float]:
    """Closing figures of the first code. Only what is known: an unknown figure must not be drawn as a zero."""
    figures = {
        "spot": row.spot,
        "atm_iv_pct": row.atm_iv,
        "pcr_oi": row.pcr_oi,
        "max_pain": row.max_pain,
        # Of how many strikes ratio and max pain are: the collected ones, seldom the whole chain.
        "strikes": row.strikes,
    }
    return {name: round(value, 4) for name, value in figures.items() if value is not None}


def _levels(row: "OverviewRow") -> Iterator[float | int | None]:
    """Max pain, support and resistance, without zero paise: a wide table hides its last columns."""
    for rupees in (row.max_pain, row.support, row.resistance):
        yield int(rupees) if rupees is not None and rupees.is_integer() else rupees
