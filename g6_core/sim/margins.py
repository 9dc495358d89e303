"""Kite's calculators over the simulated account: margins of orders and baskets, the virtual contract note.

Options only. A buy needs its premium; a sell needs the whole strike for every unit that is not held (the account's
own rule, stricter than SPAN). Charges come from the dated rates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from g6_core.domain.charges import ChargeRates, Charges, order_charges
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.money import paise
from g6_core.domain.orders import OrderType, Product, Side
from g6_core.sim.kite_shapes import Json
from g6_core.sim.refusals import kite_error

ORDERS_MAX = 50
PRICE_MAX_RUPEES = 1_000_000.0

Choice = TypeVar("Choice", bound=Enum)


@dataclass(frozen=True, slots=True)
class Asked:
    """One row of a calculator's list."""

    instrument: Instrument
    side: Side
    quantity: int
    price_paise: int

    @property
    def premium_paise(self) -> int:
        """Price of the whole order."""
        return self.quantity * self.price_paise


@dataclass(frozen=True, slots=True)
class Calculator:
    """The figures the calculators need: units held by token, last prices, the rates of an exchange."""

    book: InstrumentBook
    held: Mapping[int, int]
    ltp_paise: Callable[[Instrument], int]
    rates: Callable[[str], ChargeRates]

    def order_margins(self, rows: Any) -> list[Json]:
        """POST /margins/orders: each order by itself."""
        return [self._order(self._read(row, "price")) for row in _listed(rows)]

    def basket_margins(self, rows: Any, *, consider_positions: bool, compact: bool) -> Json:
        """POST /margins/basket: `initial` adds up the orders one by one, `final` nets buys with sells."""
        asked = [self._read(row, "price") for row in _listed(rows)]
        orders = [self._order(one) for one in asked]
        held = dict(self.held) if consider_positions else {}
        spent = 0
        for one in asked:
            sign = 1 if one.side is Side.BUY else -1
            held[one.instrument.token] = held.get(one.instrument.token, 0) + sign * one.quantity
            spent += sign * one.premium_paise
        strikes = {one.instrument.token: one.instrument.strike_paise for one in asked}
        uncovered = sum(max(0, -held[token]) * strike for token, strike in strikes.items())
        charges = sum((self._charges(one) for one in asked), Charges())
        return {
            "initial": _margin(
                span=sum(order["span"] for order in orders), premium=sum(order["option_premium"] for order in orders)
            ),
            "final": _margin(span=uncovered / 100, premium=spent / 100),
            "orders": [] if compact else orders,
            "charges": _charges(charges),
        }

    def contract_note(self, rows: Any) -> list[Json]:
        """POST /charges/orders: what each executed order cost."""
        listed = _listed(rows)
        return [
            {
                "transaction_type": str(asked.side),
                "tradingsymbol": asked.instrument.tradingsymbol,
                "exchange": asked.instrument.exchange,
                "variety": row.get("variety", "regular"),
                "product": row["product"],
                "order_type": row["order_type"],
                "quantity": asked.quantity,
                "price": asked.price_paise / 100,
                "charges": _charges(self._charges(asked)),
            }
            for row, asked in ((row, self._read(row, "average_price")) for row in listed)
        ]

    def _order(self, asked: Asked) -> Json:
        own = {"tradingsymbol": asked.instrument.tradingsymbol, "exchange": asked.instrument.exchange, "leverage": 1}
        if asked.side is Side.BUY:
            figures = _margin(premium=asked.premium_paise / 100)
        else:
            uncovered = max(0, asked.quantity - max(0, self.held.get(asked.instrument.token, 0)))
            figures = _margin(span=uncovered * asked.instrument.strike_paise / 100)
        return figures | own | {"type": "equity", "charges": _charges(self._charges(asked))}

    def _charges(self, asked: Asked) -> Charges:
        return order_charges(self.rates(asked.instrument.exchange), asked.side, asked.premium_paise)

    def _read(self, row: Any, price_name: str) -> Asked:
        """Check one row. Raises KiteError. Without a price (a MARKET order) the last one counts."""
        if not isinstance(row, dict):
            raise kite_error("bad_field", field="orders")
        instrument = self.book.by_key(f"{row.get('exchange')}:{row.get('tradingsymbol')}")
        if instrument is None or not instrument.is_option:
            raise kite_error("unknown_instrument")
        side = _choice(row, "transaction_type", Side)
        _choice(row, "product", Product)
        _choice(row, "order_type", OrderType)
        quantity, price = row.get("quantity"), row.get(price_name) or 0
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity <= 0:
            raise kite_error("bad_field", field="quantity")
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < PRICE_MAX_RUPEES:
            raise kite_error("bad_field", field=price_name)
        return Asked(instrument, side, quantity, paise(price) if price else self.ltp_paise(instrument))


def _listed(rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not rows:
        raise kite_error("missing_field", field="orders")
    if len(rows) > ORDERS_MAX:
        raise kite_error("too_many_instruments", count=len(rows), most=ORDERS_MAX)
    return rows


def _choice(row: Mapping[str, Any], name: str, kind: type[Choice]) -> Choice:
    if not row.get(name):
        raise kite_error("missing_field", field=name)
    try:
        return kind(row[name])
    except ValueError:
        raise kite_error("bad_field", field=name) from None


def _margin(*, span: float = 0, premium: float = 0) -> Json:
    return {
        "type": "",
        "tradingsymbol": "",
        "exchange": "",
        "span": span,
        "exposure": 0,
        "option_premium": premium,
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": 0,
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 0,
        "charges": _charges(Charges()),
        "total": span + premium,
    }


def _charges(charges: Charges) -> Json:
    gst = charges.gst_paise / 100
    return {
        "transaction_tax": charges.stt_paise / 100,
        "transaction_tax_type": "stt",
        "exchange_turnover_charge": charges.exchange_paise / 100,
        "sebi_turnover_charge": charges.sebi_paise / 100,
        "brokerage": charges.brokerage_paise / 100,
        "stamp_duty": charges.stamp_paise / 100,
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": charges.total_paise / 100,
    }
