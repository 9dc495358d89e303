"""After the close: does everything agree, is everything flat, and does the next day get picks or a reason?"""

from collections.abc import Sequence

from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError
from g6_core.site import Day
from g6_pipelines.assets.evening import (
    data_reconciliation,
    day_report,
    next_day_picks,
    order_reconciliation,
    strategy_scores,
)
from g6_pipelines.checks.judge import WARN, partition_check
from g6_pipelines.resources import open_ledger

FLAT = "positions_flat"
PAGE_BYTES_MAX = 20_000_000


def _kept(day: Day, part: str) -> tuple[Check, ...]:
    from g6_pipelines.stages.reconcile import kept_checks

    found = kept_checks(day.site.paths, day.date, part)
    if found is None:
        path = day.site.paths.reconciliation(day.date, part)
        raise DataError(f"{path}: not there; materialise the reconciliation of {day.date}")
    return found


@partition_check(data_reconciliation, blocking=True)
def lake_equals_csv(day: Day) -> Sequence[Check]:
    """Lake and CSV files hold the same rows, every cycle once and in order."""
    return _kept(day, day.index)


@partition_check(data_reconciliation, blocking=True)
def collected_chain_is_sound(day: Day) -> Sequence[Check]:
    """The day's chain, judged before anything is picked from it: the session's own check stops its own run only."""
    from g6_pipelines.stages.reconcile import chain_part

    return _kept(day, chain_part(day.index))


@partition_check(data_reconciliation, severity=WARN)
def influx_equals_lake(day: Day) -> Sequence[Check]:
    """InfluxDB, if it is on, holds exactly the lake's rows and values. A copy stops nobody from trading."""
    from g6_pipelines.stages.reconcile import copy_part, kept_checks

    part = copy_part(day.index)
    if day.site.settings.influx is None and kept_checks(day.site.paths, day.date, part) is None:
        return (Check("influx_off", True, "InfluxDB is not turned on", {}),)
    return _kept(day, part)


@partition_check(data_reconciliation, severity=WARN)
def bhavcopy_equals_lake(day: Day) -> Sequence[Check]:
    """The lake's final states are the exchange's, where its bhavcopy of the day lies in the data directory.

    The file is optional: nothing downloads it, and a modelled day has none. Without one nothing is claimed.
    """
    from g6_pipelines.stages.bhavcopy import published_file, reconcile_bhavcopy

    file = published_file(day)
    if file is None:
        folder = day.site.paths.bhavcopies.name
        said = f"not compared: no bhavcopy of {day.date} in {folder}, which is optional"
        return (Check("no_bhavcopy", True, said, {}),)
    return reconcile_bhavcopy(day.site, day.date, (day.index,), file)


@partition_check(data_reconciliation, severity=WARN)
def candles_equal_lake(day: Day) -> Sequence[Check]:
    """Live quotes are what the broker's candles of the same minutes say; differences by contract and minute."""
    from g6_pipelines.stages.reconcile_candles import reconcile_candles

    return reconcile_candles(day)


@partition_check(order_reconciliation, blocking=True)
def orders_reconcile(day: Day) -> Sequence[Check]:
    """Orders, fills, profit and charges of the ledger are the broker's, to the paisa."""
    from g6_pipelines.stages.reconcile import ORDERS

    return [one for one in _kept(day, ORDERS) if one.name != FLAT]


@partition_check(order_reconciliation, blocking=True)
def flat_after_the_close(day: Day) -> Sequence[Check]:
    """Nothing is held over night: no open trade in the ledger, no position at the broker as far as it was read."""
    from g6_pipelines.stages.reconcile import ORDERS

    with open_ledger(day.site) as ledger:
        trades = [one for one in ledger.day(day.date).trades if one.underlying == day.index]
    open_trades = [one.trade_id for one in trades if not one.exit_ms]
    said = f"open in the ledger: {', '.join(open_trades)}" if open_trades else "no open trade in the ledger"
    ours = Check("trades_closed", not open_trades, said, {"open": len(open_trades)})
    return [ours, *(one for one in _kept(day, ORDERS) if one.name == FLAT)]


@partition_check(strategy_scores, severity=WARN)
def every_index_is_judged(day: Day) -> Sequence[Check]:
    """The configured strategy has a score on the index, or the reason why history does not say yet."""
    from g6_pipelines.stages.score import load_scores

    scores = load_scores(day.site.paths, day.date).scores
    own = [one for one in scores if one.underlying == day.index]
    said = "; ".join(f"{one.strategy}: {one.status}" for one in own) or f"no strategy was judged on {day.index}"
    return (Check("judged", bool(own), said, {"strategies": len(own)}),)


@partition_check(next_day_picks)
def picks_or_a_reason(day: Day) -> Sequence[Check]:
    """There are picks for the next trading day, or the document says why there are none."""
    from g6_core.adapters.day_pack_store import load_picks

    next_day = day.site.rules.known_next_trading_day(day.date)
    picks = load_picks(day.site.paths.picks(next_day), next_day)
    found = picks.indices.get(day.index) if picks is not None and picks.made_on == day.date else None
    if found is None:
        return (Check("picks", False, f"nothing was picked for {day.index} on {day.date}", {"picks": 0}),)
    said = f"{len(found.picks)} picks" if found.picks else found.reason or "no picks and no reason"
    return (Check("picks", bool(found.picks or found.reason), said, {"picks": len(found.picks)}),)


@partition_check(day_report)
def page_is_self_contained(day: Day) -> Sequence[Check]:
    """The page names the index, is whole, of a sensible size, and loads nothing from elsewhere."""
    path = day.site.paths.report_of(day.date)
    if not path.exists():
        return (Check("page", False, f"{path}: not there; materialise day_report", {}),)
    page = path.read_text(encoding="utf-8")
    faults = {
        f"does not name {day.index}": day.index not in page,
        "does not end": not page.rstrip().endswith("</html>"),
        "loads from elsewhere": 'src="http' in page or "<link" in page,
        f"is larger than {PAGE_BYTES_MAX:,} bytes": len(page) > PAGE_BYTES_MAX,
    }
    said = "; ".join(fault for fault, there in faults.items() if there)
    return (Check("page", not said, said or f"{len(page):,} characters", {"characters": len(page)}),)
