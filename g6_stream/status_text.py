"""The sidecar's status for people: times in IST, money in rupees, and first of all why nothing happens."""

from collections.abc import Mapping
from typing import Any

from g6_core.domain.ist import ist_clock, ist_date
from g6_core.domain.money import rupees_text

MONEY = {"broker": "orders go to the broker", "paper": "paper money"}
COUNTS_MAX = 4

Body = Mapping[str, Any]


def status_lines(body: Body) -> list[str]:
    """Return what `GET /status` says, as lines."""
    reasons = "; ".join(body["reasons"])
    state = f"enters nothing now: {reasons}" if reasons else "ready to enter when a signal comes"
    when = f"{ist_date(body['time_ms'])} {ist_clock(body['time_ms'])} IST"
    lines = [f"{when}, mode {body['mode']}, {MONEY.get(body['execution'], body['execution'])}", state]
    lines += [_index(one) for one in body["outlooks"]]
    lines += [_position(one) for one in body["positions"] if one["quantity"]]
    lines += [_order(one) for one in body["orders"]]
    lines += [_trade(one) for one in body["trades"]]
    lines.append(
        f"Day's result Rs {rupees_text(body['day_pnl_paise'])} after charges, "
        f"free cash Rs {rupees_text(body['cash_paise'])}"
    )
    lines += [_feed(body), *_counts(body)]
    return lines


def _index(one: Body) -> str:
    price = f" {rupees_text(one['spot_paise'])}" if one["spot_paise"] else ""
    return f"{one['index']}{price}: {one['why']}"


def _position(one: Body) -> str:
    result = (one["last_paise"] - one["entry_paise"]) * one["quantity"] if one["last_paise"] else None
    marked = f", now {rupees_text(one['last_paise'])} (Rs {rupees_text(result)})" if result is not None else ""
    cover = "resting exit order at the broker" if one["cover"] else "NO resting exit order at the broker"
    stop = f", stop {rupees_text(one['stop_paise'])}" if one["stop_paise"] else ""
    leaving = f", being sold ({_reason(one['exit_reason'])})" if one["exit_reason"] else ""
    held = f"{one['quantity']} {one['tradingsymbol']} at {rupees_text(one['entry_paise'])}"
    return f"Holds {held}{marked}{stop}, {cover}{leaving}"


def _order(one: Body) -> str:
    filled = f", {one['filled_quantity']} filled" if one["filled_quantity"] else ""
    status = one["status"] or one["phase"]
    return f"Order {one['side']} {one['quantity']} {one['tradingsymbol']}: {status.lower()}{filled}"


def _trade(one: Body) -> str:
    return (
        f"Closed {one['quantity']} {one['tradingsymbol']} at {ist_clock(one['exit_ms'])}: "
        f"{rupees_text(one['entry_paise'])} to {rupees_text(one['exit_paise'])} ({_reason(one['exit_reason'])}), "
        f"net Rs {rupees_text(one['net_pnl_paise'])} after charges"
    )


def _reason(code: str) -> str:
    return code.replace("_", " ")


def _feed(body: Body) -> str:
    losses = body["feed"]["losses"]
    lost = f", lost {losses} time{'s' if losses != 1 else ''}" if losses else ""
    if body["feed_problem"]:
        return f"Feed brings no data: {body['feed_problem']}{lost}"
    if not body["feed_connected"]:
        return f"Feed not connected{lost}"
    age = f"newest message {max(body['feed_age_ms'], 0) / 1000:.0f} s ago"
    return f"Feed connected, {body['subscribed']} instruments subscribed, {age}{lost}"


def _counts(body: Body) -> list[str]:
    """How often each rule kept a signal from standing, or a standing one from an entry."""
    if not body["decisions"]:
        return []
    lines = [f"Judged {body['decisions']} one-minute bars"]
    for key, what in (("no_signal", "Without a signal"), ("refusals", "Signals not entered")):
        counted = [f"{_reason(rule)} {count}" for rule, count in list(body[key].items())[:COUNTS_MAX]]
        if counted:
            lines.append(f"{what}, times by rule: {', '.join(counted)}")
    return lines
