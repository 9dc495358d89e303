"""After the close: what was collected and traded is compared, judged, and turned into picks and a page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from g6_core.domain.checks import Check, failed
from g6_core.domain.standing import standing
from g6_core.site import Day, Site
from g6_pipelines.assets.before_open import day_pack
from g6_pipelines.assets.publish import checks_table, picture, publish, table
from g6_pipelines.assets.ranged import ranged_asset
from g6_pipelines.assets.repair import GROUP, chain_repair
from g6_pipelines.assets.session import index_overview, option_chain
from g6_pipelines.partitions import selected
from g6_pipelines.places import Place, find_place, open_client
from g6_pipelines.resources import G6Resource, facts_of, one_line, open_ledger, pack_of

if TYPE_CHECKING:
    from g6_core.domain.records import TradeRecord
    from g6_core.schema.day_pack import IvPoint
    from g6_core.schema.picks import Pick

BOOKS_GONE = "broker_books_available"
PICK_COLUMNS = ("strike", "side", "price", "score", "delta", "IV %", "spread %", "open interest", "with trend")


@ranged_asset(GROUP, deps=[option_chain, index_overview, chain_repair], kinds={"json"})
def data_reconciliation(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Lake and CSV files of the day, line by line: the same rows, every cycle once, in order; and the copy in
    InfluxDB, if there is one, after it has been given what it lacked."""
    from g6_pipelines.stages.reconcile import reconcile_chain, reconcile_copy, reconcile_index

    for day in g6.days(context):
        with one_line():
            checks = reconcile_index(day) + reconcile_chain(day) + reconcile_copy(day)
        publish(context, day, _checks(checks))


@ranged_asset(GROUP, deps=[day_pack], kinds={"json", "sqlite"})
def order_reconciliation(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """The ledger with the broker's orders, trades and positions, to the paisa; one comparison for all indices.

    A broker keeps the books of a day on that day only: later the comparison that was kept stands.
    """
    for day, names in selected(context).items():
        with one_line():
            checks = _compare_orders(g6.site, find_place(g6.site, day))
        for name in names:
            publish(context, Day(g6.site, day, name), _checks(checks))


@ranged_asset(GROUP, deps=[order_reconciliation], kinds={"json", "sqlite"})
def strategy_scores(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Every strategy judged on all its days so far, and what its history does not say yet."""
    from g6_pipelines.stages.score import score_strategies

    site = g6.site
    for day, names in selected(context).items():
        with one_line(), open_ledger(site) as ledger:
            scores = score_strategies(site, ledger, day, pack_of(site, day).underlyings)
        for name in names:
            own = [one for one in scores if one.underlying == name]
            columns = ("strategy", "verdict", "days", "signals", "trades", "won", "net Rs")
            rows = (
                (one.strategy, one.status, one.days, one.signals, one.trades, one.wins, one.net_pnl_paise / 100)
                for one in own
            )
            figures = {
                "strategies": len(own),
                "trades": sum(one.trades for one in own),
                "scores": table(columns, rows),
                "reasons": "; ".join(reason for one in own for reason in one.reasons) or "none",
            }
            publish(context, Day(site, day, name), figures)


@ranged_asset(GROUP, deps=[data_reconciliation, strategy_scores, day_pack], kinds={"json"})
def next_day_picks(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """The strikes near the money that the strategy's own filters would prefer on the next trading day."""
    from g6_pipelines.stages.score import pick_next_day

    site = g6.site
    for day, names in selected(context).items():
        with one_line(), open_ledger(site) as ledger:
            pack = pack_of(site, day)
            picks = pick_next_day(site, ledger, day, names, keep_others=True)
        for name, found in picks.items():
            figures = {
                "picks": len(found.picks),
                "for_day": site.rules.shown(site.rules.known_next_trading_day(day)),
                "trend": found.trend,
                **({} if found.picks else {"reason_for_none": found.reason}),
                **_standing(found.atm_iv_pct, pack.indices[name].iv_history),
                "table": table(PICK_COLUMNS, map(_pick_cells, found.picks)),
            }
            publish(context, Day(site, day, name), figures)


def _pick_cells(pick: "Pick") -> tuple[object, ...]:
    with_trend = {True: "yes", False: "no", None: "unknown"}[pick.with_trend]
    figures = (pick.price_paise / 100, pick.score, pick.delta, pick.iv_pct, pick.spread_pct, pick.oi)
    return (pick.strike_paise // 100, pick.side, *figures, with_trend)


@ranged_asset(GROUP, deps=[next_day_picks], kinds={"html"})
def day_report(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """The day as one self-contained page, for all indices together."""
    from g6_core.adapters.lake import lake_exists
    from g6_pipelines.report.figures import pnl_picture
    from g6_pipelines.stages.report import report
    from g6_pipelines.stages.summary import summarise

    site = g6.site
    for day, names in selected(context).items():
        with one_line(), open_ledger(site) as ledger:
            place = find_place(site, day)
            indices = [name for name in site.rules.underlyings if lake_exists(site.paths.lake(day, name))]
            summary = summarise(site, ledger, day, indices, source_label=place.label, seed=place.seed)
            report(site, ledger, day, summary)
            kept = ledger.day(day)
        page, facts = site.paths.report_of(day), facts_of(site, day)
        for name in names:
            figures = {
                "page": dg.MetadataValue.path(page.resolve()),
                "bytes": page.stat().st_size,
                "decisions": sum(one.underlying == name for one in kept.decisions),
                **traded([trade for trade in kept.trades if trade.underlying == name]),
                **picture(pnl_picture(facts), "profit_and_loss"),
            }
            publish(context, Day(site, day, name), figures)


def traded(trades: "Sequence[TradeRecord]") -> dict[str, Any]:
    """Return the figures of the closed trades, as everywhere, and how many are still open beside them."""
    closed = [trade for trade in trades if trade.exit_ms]
    return {
        "trades": len(closed),
        "open_trades": len(trades) - len(closed),
        "net_pnl_rupees": sum(trade.net_pnl_paise for trade in closed) / 100,
        "charges_rupees": sum(trade.charges_paise for trade in closed) / 100,
        "trades_table": table(
            ("contract", "quantity", "exit", "net Rs"),
            ((one.tradingsymbol, one.quantity, one.exit_reason, one.net_pnl_paise / 100) for one in closed),
        ),
    }


def _compare_orders(site: Site, place: Place) -> tuple[Check, ...]:
    """Against the broker's books while it has them, else what was kept, else whether there was anything to compare."""
    from g6_pipelines.stages.reconcile import ORDERS, keep_checks, kept_checks, reconcile_broker

    day = place.day
    with open_ledger(site) as ledger:
        if place.has_books:
            packed = pack_of(site, day).indices.values()
            ledger.write_instruments(day, (row for one in packed for row in one.instruments))
            return reconcile_broker(open_client(place), ledger, site, day)
        orders = len(ledger.day(day).orders)
    kept = kept_checks(site.paths, day, ORDERS)
    if kept is not None and not any(check.name == BOOKS_GONE for check in kept):
        return kept
    said = f"the ledger has {orders} orders of {day}, whose books the broker no longer keeps" if orders else "no order"
    return keep_checks(site.paths, day, ORDERS, (Check(BOOKS_GONE, not orders, said, {"ledger_orders": orders}),))


def _standing(atm_iv_pct: float | None, history: "Sequence[IvPoint]") -> dict[str, float | int]:
    """Volatility at the close beside earlier days of the same source. Only what is known: nothing is drawn as zero."""
    found = standing(atm_iv_pct, [point.atm_iv_pct for point in history])
    figures = {
        "atm_iv_pct": atm_iv_pct,
        "iv_rank": found.rank,
        "iv_percentile": found.percentile,
        "iv_zscore": found.zscore,
        "history_days": len(history),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _checks(checks: tuple[Check, ...]) -> dict[str, Any]:
    bad = failed(checks)
    return {"checks": len(checks), "failed": len(bad), "compared": checks_table(checks)}
