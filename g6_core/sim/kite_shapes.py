"""The JSON (and CSV) shapes of Kite's replies other than quotes, built from the simulator's integers.

Prices become rupees in this file and in `kite_quotes` only; timestamps become IST wall-clock text without offset,
as Kite writes them.
"""

import csv
import io
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import SECOND_MS, ist_text
from g6_core.domain.money import rupees_text
from g6_core.domain.orders import Status
from g6_core.sim.account import Account, Position
from g6_core.sim.order_state import SimOrder, SimTrade

API_KEY = "g6sim"
API_SECRET = "g6sim"
REQUEST_TOKEN = "g6sim"
USER_ID = "G6SIM1"
EXCHANGES = ["NSE", "NFO", "BSE", "BFO"]
PRODUCTS = ["NRML", "MIS"]
ORDER_TYPES = ["MARKET", "LIMIT", "SL"]
APP_ID = 6
INSTRUMENT_COLUMNS = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
# Keys of an order that a postback leaves out.
NOT_PUSHED = frozenset({"account_id", "modified", "validity_ttl", "tags"})

Json = dict[str, Any]


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return ist_text(second * SECOND_MS)


def stamp(time_ms: int) -> str | None:
    """``2025-08-29 09:24:16`` (IST), None for 0."""
    return _second_text(time_ms // SECOND_MS) if time_ms > 0 else None


def profile() -> Json:
    """GET /user/profile."""
    return {
        "user_id": USER_ID,
        "user_type": "individual",
        "email": "sim@g6.invalid",
        "user_name": "G6 Simulated Account",
        "user_shortname": "G6 Sim",
        "broker": "ZERODHA",
        "exchanges": EXCHANGES,
        "products": PRODUCTS,
        "order_types": ORDER_TYPES,
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }


def session(access_token: str, login_ms: int) -> Json:
    """POST /session/token."""
    return profile() | {
        "api_key": API_KEY,
        "access_token": access_token,
        "public_token": access_token[:16],
        "enctoken": "",
        "refresh_token": "",
        "silo": "",
        "login_time": stamp(login_ms),
    }


def margins(account: Account, blocked_paise: int, *, enabled: bool = True) -> Json:
    """One segment of GET /user/margins. `debits` = option premium - booked P&L + charges."""
    opening = account.opening_paise
    net = account.cash_paise - blocked_paise
    return {
        "enabled": enabled,
        "net": net / 100,
        "available": {
            "adhoc_margin": 0,
            "cash": opening / 100,
            "opening_balance": opening / 100,
            "live_balance": net / 100,
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {
            "debits": (opening - net) / 100,
            "exposure": 0,
            "m2m_realised": account.realised_paise / 100,
            "m2m_unrealised": 0,
            "option_premium": (account.held_value_paise + blocked_paise) / 100,
            "payout": 0,
            "span": 0,
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": 0,
            "delivery": 0,
        },
    }


def order_row(order: SimOrder) -> Json:
    """One row of GET /orders; a history is a list of these.

    A MARKET order shows as the LIMIT it became: `market_protection` 0 and the tags `mktp`, `mktp:<percent>`.
    """
    tags = [order.tag] if order.tag else []
    if order.protection_pct:
        tags += ["mktp", f"mktp:{order.protection_pct:.2f}"]
    pending = order.quantity - order.filled_quantity if order.status is not Status.REJECTED else 0
    average = round(order.filled_value_paise / order.filled_quantity / 100, 4) if order.filled_quantity else 0
    row: Json = {
        "account_id": USER_ID,
        "placed_by": USER_ID,
        "order_id": order.order_id,
        "exchange_order_id": order.exchange_order_id or None,
        "parent_order_id": order.parent_id or None,
        "status": str(order.status),
        "status_message": order.message or None,
        "status_message_raw": order.raw_message or order.message or None,
        "order_timestamp": stamp(order.placed_ms),
        "exchange_update_timestamp": stamp(order.updated_ms),
        "exchange_timestamp": stamp(order.exchange_ms),
        "variety": "regular",
        "modified": order.modified,
        "exchange": order.instrument.exchange,
        "tradingsymbol": order.instrument.tradingsymbol,
        "instrument_token": order.instrument.token,
        "order_type": str(order.order_type),
        "transaction_type": str(order.side),
        "validity": str(order.validity),
        "validity_ttl": 0,
        "product": str(order.product),
        "quantity": order.quantity,
        "disclosed_quantity": 0,
        "price": order.price_paise / 100,
        "trigger_price": order.trigger_paise / 100,
        "average_price": average,
        "filled_quantity": order.filled_quantity,
        "pending_quantity": pending,
        "cancelled_quantity": order.cancelled_quantity,
        "market_protection": 0,
        "meta": {},
        "tag": order.tag or None,
        "guid": f"{order.order_id}X",
    }
    if tags:
        row["tags"] = tags
    return row


def postback(order: SimOrder, status: str) -> Json:
    """An order update as Kite pushes it; `status` may be UPDATE, which no order book ever shows."""
    row = order_row(order)
    checksum = sha256(f"{order.order_id}{row['order_timestamp']}{API_SECRET}".encode()).hexdigest()
    head = {"user_id": USER_ID, "unfilled_quantity": order.rest, "app_id": APP_ID, "checksum": checksum}
    pushed = {key: value for key, value in row.items() if key not in NOT_PUSHED}
    return head | pushed | {"status": status}


def trade_row(trade: SimTrade) -> Json:
    """One row of GET /trades; `order_timestamp` is a bare time of day, as in Kite's."""
    moment = stamp(trade.time_ms) or ""
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order_id,
        "exchange": trade.instrument.exchange,
        "tradingsymbol": trade.instrument.tradingsymbol,
        "instrument_token": trade.instrument.token,
        "product": str(trade.product),
        "average_price": trade.price_paise / 100,
        "quantity": trade.quantity,
        "exchange_order_id": trade.exchange_order_id,
        "transaction_type": str(trade.side),
        "fill_timestamp": moment,
        "order_timestamp": moment[11:],
        "exchange_timestamp": moment,
    }


def position_row(position: Position, last_paise: int, close_paise: int) -> Json:
    """One row of GET /portfolio/positions, the same in `net` and `day`: nothing is carried over night.

    pnl = sell value - buy value + quantity x last price; `realised` is booked at average cost, the rest is unrealised.
    """
    quantity = position.quantity
    value = position.sell_value_paise - position.buy_value_paise
    pnl = value + quantity * last_paise
    average = round(position.open_value_paise / abs(quantity) / 100, 4) if quantity else 0
    buy = _side_figures(position.buy_quantity, position.buy_value_paise)
    sell = _side_figures(position.sell_quantity, position.sell_value_paise)
    return {
        "tradingsymbol": position.instrument.tradingsymbol,
        "exchange": position.instrument.exchange,
        "instrument_token": position.instrument.token,
        "product": str(position.product),
        "quantity": quantity,
        "overnight_quantity": 0,
        "multiplier": 1,
        "average_price": average,
        "close_price": close_paise / 100,
        "last_price": last_paise / 100,
        "value": value / 100,
        "pnl": pnl / 100,
        "m2m": pnl / 100,
        "unrealised": (pnl - position.realised_paise) / 100,
        "realised": position.realised_paise / 100,
        **{f"buy_{name}": figure for name, figure in buy.items()},
        "buy_m2m": buy["value"],
        **{f"sell_{name}": figure for name, figure in sell.items()},
        "sell_m2m": sell["value"],
        **{f"day_buy_{name}": figure for name, figure in buy.items()},
        **{f"day_sell_{name}": figure for name, figure in sell.items()},
    }


def _side_figures(quantity: int, value_paise: int) -> Json:
    price = round(value_paise / quantity / 100, 4) if quantity else 0
    return {"quantity": quantity, "price": price, "value": value_paise / 100}


def instruments_csv(rows: Iterable[Instrument]) -> bytes:
    """The dump. An index row is named like its symbol, an option like its underlying; `last_price` is never live."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(INSTRUMENT_COLUMNS)
    for row in rows:
        writer.writerow(
            (
                row.token,
                row.exchange_token,
                row.tradingsymbol,
                row.underlying if row.is_option else row.tradingsymbol,
                "0",
                row.expiry.isoformat() if row.expiry else "",
                rupees_text(row.strike_paise).removesuffix(".00"),
                rupees_text(row.tick_paise),
                row.lot_size,
                row.instrument_type,
                row.segment,
                row.exchange,
            )
        )
    return text.getvalue().encode()
