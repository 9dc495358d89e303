"""The ledger against the broker: orders, fills, positions, profit and charges, to the paisa."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from g6_core.adapters.ledger import DayLedger, Ledger
from g6_core.domain.calendar import MarketRules
from g6_core.domain.charges import order_charges
from g6_core.domain.checks import Check
from g6_core.domain.money import paise, rupees_text
from g6_core.domain.orders import Side
from g6_core.domain.records import OrderRecord, TradeRecord

_SHOWN = 5


class OrderBook(Protocol):
    """The three calls of `kiteconnect.KiteConnect` that are needed."""

    def orders(self) -> list[dict[str, Any]]:
        """Order book of the day."""
        ...

    def trades(self) -> list[dict[str, Any]]:
        """Trade book of the day."""
        ...

    def positions(self) -> dict[str, list[dict[str, Any]]]:
        """Net and day positions."""
        ...


@dataclass(frozen=True, slots=True)
class _Day:
    """Both sides of the comparison; the broker's rows are those of our orders only."""

    ledger: DayLedger
    by_tag: dict[str, OrderRecord]
    tag_of: dict[str, str]
    orders: tuple[Mapping[str, Any], ...]
    foreign: tuple[Mapping[str, Any], ...]
    trades: tuple[Mapping[str, Any], ...]
    positions: tuple[Mapping[str, Any], ...]

    @property
    def open_trades(self) -> dict[str, TradeRecord]:
        """Trades that the ledger has as open, by their id: they have no profit yet."""
        return {trade.trade_id: trade for trade in self.ledger.trades if not trade.exit_ms}

    def trade_id_of(self, row: Mapping[str, Any]) -> str:
        """The round trip that a row of the broker's trade book belongs to."""
        return self.by_tag[self.tag_of[str(row["order_id"])]].trade_id


def reconcile_orders(kite: OrderBook, ledger: Ledger, rules: MarketRules, day: date) -> tuple[Check, ...]:
    """Compare the broker's books of `day` with the ledger; one check per promise, in a fixed order.

    Broker orders whose tag is not in the ledger (placed by hand, say) are counted and named as foreign; they
    are not compared. Broker errors propagate.
    """
    both = _gather(kite, ledger.day(day))
    return (
        _orders_mapped(both),
        _orders_equal(both),
        _fills_equal(both),
        _positions_flat(both),
        _gross_equal(both),
        _charges_equal(both, rules, day),
        _net_equal(both),
    )


def _gather(kite: OrderBook, ledger: DayLedger) -> _Day:
    by_tag = {order.tag: order for order in ledger.orders}
    orders = kite.orders()
    ours = tuple(row for row in orders if row["tag"] in by_tag)
    tag_of = {str(row["order_id"]): str(row["tag"]) for row in ours}
    symbols = {order.tradingsymbol for order in ledger.orders}
    return _Day(
        ledger=ledger,
        by_tag=by_tag,
        tag_of=tag_of,
        orders=ours,
        foreign=tuple(row for row in orders if row["tag"] not in by_tag),
        trades=tuple(row for row in kite.trades() if str(row["order_id"]) in tag_of),
        positions=tuple(row for row in kite.positions()["net"] if row["tradingsymbol"] in symbols),
    )


def _check(name: str, good: str, problems: Sequence[str], figures: Mapping[str, int]) -> Check:
    if not problems:
        return Check(name, True, good, figures)
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return Check(name, False, "; ".join(problems[:_SHOWN]) + more, {**figures, "problems": len(problems)})


def _units(row: Mapping[str, Any]) -> int:
    """Units that a row of the broker's trade book brought, negative for a sale."""
    return int(row["quantity"]) * (1 if row["transaction_type"] == Side.BUY else -1)


def _orders_mapped(both: _Day) -> Check:
    times = Counter(row["tag"] for row in both.orders)
    problems = [f"tag {tag} was sent {count} times" for tag, count in sorted(times.items()) if count > 1]
    problems += [
        f"order {order.tag} ({order.order_id or 'no id'}) is not in the broker's book"
        for order in both.ledger.orders
        if (order.order_id or order.filled_quantity) and order.tag not in times
    ]
    foreign = ", ".join(str(row["order_id"]) for row in both.foreign[:_SHOWN])
    good = f"{len(both.orders)} broker orders, each known by its tag"
    figures = {
        "broker_orders": len(both.orders) + len(both.foreign),
        "ledger_orders": len(both.ledger.orders),
        "foreign": len(both.foreign),
    }
    return _check("orders_known_to_both", f"{good}; foreign: {foreign}" if foreign else good, problems, figures)


def _orders_equal(both: _Day) -> Check:
    problems: list[str] = []
    for row in both.orders:
        order = both.by_tag[str(row["tag"])]
        pairs = {
            "order id": (str(row["order_id"]), order.order_id),
            "status": (str(row["status"]), order.status),
            "filled": (int(row["filled_quantity"]), order.filled_quantity),
            "average paise": (paise(row["average_price"] or 0), order.average_paise),
        }
        problems += [
            f"order {order.tag}: {what} {theirs} at the broker, {own} in the ledger"
            for what, (theirs, own) in pairs.items()
            if theirs != own
        ]
    return _check(
        "orders_equal",
        f"{len(both.orders)} orders agree in status, filled quantity and average price",
        problems,
        {"compared": len(both.orders)},
    )


def _fills_equal(both: _Day) -> Check:
    theirs = Counter(
        (
            both.tag_of[str(row["order_id"])],
            str(row["trade_id"]),
            str(row["transaction_type"]),
            int(row["quantity"]),
            paise(row["average_price"]),
        )
        for row in both.trades
    )
    own = Counter(
        (each.tag, each.fill.trade_id, str(each.fill.side), each.fill.quantity, each.fill.price_paise)
        for each in both.ledger.fills
    )
    problems = [f"broker trade {key[1]} of {key[0]} is not in the ledger" for key in sorted((theirs - own).keys())]
    problems += [f"ledger fill {key[1]} of {key[0]} is not at the broker" for key in sorted((own - theirs).keys())]
    filled: defaultdict[str, int] = defaultdict(int)
    for each in both.ledger.fills:
        filled[each.tag] += each.fill.quantity
    problems += [
        f"order {order.tag}: fills add up to {filled[order.tag]} of {order.filled_quantity}"
        for order in both.ledger.orders
        if filled[order.tag] != order.filled_quantity
    ]
    return _check(
        "fills_equal",
        f"{len(both.trades)} broker trades are in the ledger, each once",
        problems,
        {"broker_trades": len(both.trades), "ledger_fills": len(both.ledger.fills)},
    )


def _positions_flat(both: _Day) -> Check:
    problems = [
        f"{row['tradingsymbol']}: {row['quantity']} units still held" for row in both.positions if row["quantity"]
    ]
    problems += [f"trade {one.trade_id} is open: {one.open_text()}" for one in both.open_trades.values()]
    return _check(
        "positions_flat", "nothing is held after the close", problems, {"instruments_traded": len(both.positions)}
    )


def _gross_by_trade(both: _Day) -> dict[str, int]:
    """Money out of minus money into each round trip, from the broker's trade book; one that is open is 0 until it ends.

    What an open position cost is no loss: it is still held.
    """
    gross: defaultdict[str, int] = defaultdict(int)
    held = _held_by_trade(both)
    for row in both.trades:
        trade_id = both.trade_id_of(row)
        gross[trade_id] -= 0 if held[trade_id] else _units(row) * paise(row["average_price"])
    return gross


def _held_by_trade(both: _Day) -> dict[str, int]:
    """Units bought and not sold of each round trip, from the broker's trade book."""
    held: defaultdict[str, int] = defaultdict(int)
    for row in both.trades:
        held[both.trade_id_of(row)] += _units(row)
    return held


def _compare_money(
    name: str, good: str, theirs: Mapping[str, int], own: Mapping[str, int], extra: Iterable[str] = ()
) -> Check:
    problems = [
        f"trade {trade_id or '(none)'}: {rupees_text(theirs.get(trade_id, 0))} from the broker's books,"
        f" {rupees_text(own.get(trade_id, 0))} in the ledger"
        for trade_id in sorted(theirs.keys() | own.keys())
        if theirs.get(trade_id, 0) != own.get(trade_id, 0)
    ]
    return _check(
        name,
        good,
        [*problems, *extra],
        {"broker_paise": sum(theirs.values()), "ledger_paise": sum(own.values()), "trades": len(own)},
    )


def _gross_equal(both: _Day) -> Check:
    theirs = _gross_by_trade(both)
    own = {trade.trade_id: trade.gross_pnl_paise for trade in both.ledger.trades}
    good = "profit before charges agrees to the paisa"
    if both.open_trades:
        good += f"; open on both sides, without profit yet: {', '.join(sorted(both.open_trades))}"
    return _compare_money("gross_pnl_equal", good, theirs, own, [*_open_differences(both), *_unlike_positions(both)])


def _open_differences(both: _Day) -> Iterator[str]:
    """What is held of each round trip must be the same on both sides."""
    theirs = _held_by_trade(both)
    own = {trade_id: trade.open_quantity for trade_id, trade in both.open_trades.items()}
    for trade_id in sorted(theirs.keys() | own.keys()):
        at_broker, in_ledger = theirs.get(trade_id, 0), own.get(trade_id, 0)
        if at_broker != in_ledger:
            yield f"trade {trade_id}: {at_broker} units open at the broker, {in_ledger} in the ledger"


def _unlike_positions(both: _Day) -> Iterator[str]:
    """The broker's positions against its own trade book, of contracts that are flat: the others show a value too.

    Positions are kept per instrument: foreign orders in the same contract cannot be told apart there.
    """
    held = {trade.tradingsymbol for trade in both.open_trades.values()}
    flat = [row for row in both.positions if not row["quantity"] and row["tradingsymbol"] not in held]
    symbols = {row["tradingsymbol"] for row in flat}
    if symbols & {row["tradingsymbol"] for row in both.foreign}:
        return
    shown = sum(paise(row["pnl"]) for row in flat)
    traded = -sum(_units(row) * paise(row["average_price"]) for row in both.trades if row["tradingsymbol"] in symbols)
    if shown != traded:
        yield f"the broker's positions show {rupees_text(shown)}, its trades {rupees_text(traded)}"


def _charges_equal(both: _Day, rules: MarketRules, day: date) -> Check:
    turnover: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for row in both.trades:
        key = (str(row["order_id"]), str(row["exchange"]), str(row["transaction_type"]))
        turnover[key] += int(row["quantity"]) * paise(row["average_price"])
    theirs: defaultdict[str, int] = defaultdict(int)
    for (order_id, exchange, side), turnover_paise in turnover.items():
        charges = order_charges(rules.charge_rates(exchange, day), Side(side), turnover_paise)
        theirs[both.by_tag[both.tag_of[order_id]].trade_id] += charges.total_paise
    own = {trade.trade_id: trade.charges_paise for trade in both.ledger.trades}
    return _compare_money("charges_equal", "charges recomputed from the trade book agree to the paisa", theirs, own)


def _net_equal(both: _Day) -> Check:
    problems = [
        f"trade {trade.trade_id}: net {rupees_text(trade.net_pnl_paise)} is not gross minus charges"
        for trade in both.ledger.trades
        if trade.net_pnl_paise != trade.gross_pnl_paise - trade.charges_paise
    ]
    net = sum(trade.net_pnl_paise for trade in both.ledger.trades)
    return _check("net_pnl_adds_up", f"net profit is {rupees_text(net)}", problems, {"net_paise": net})
