"""Reading the form of a placement or a modification, with the checks that Kite answers at once."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import ist_date
from g6_core.domain.money import paise, rupees_text
from g6_core.domain.orders import OrderType, Product, Side, Validity
from g6_core.sim.checks import check_prices, check_quantity, check_validity
from g6_core.sim.order_state import Change, SimOrder, Ticket
from g6_core.sim.refusals import kite_error

TAG_LENGTH_MAX = 20
SLICES_MAX = 10
PRICE_MAX_RUPEES = 1_000_000.0
PAISA_TOLERANCE = 1e-6
AUTOMATIC_PROTECTION = -1.0
NOT_OFFERED = ("iceberg_legs", "iceberg_quantity", "auction_number", "autoslice", "validity_ttl", "disclosed_quantity")

Choice = TypeVar("Choice", bound=Enum)


def parse_order(
    variety: str, params: Mapping[str, str], book: InstrumentBook, rules: MarketRules, now_ms: int
) -> Ticket:
    """Read a placement's form fields and apply the checks that Kite answers at once.

    Raises KiteError for the first that fails. `variety` and other fields of the path may be repeated in the form.
    """
    if variety != "regular":
        raise kite_error("not_offered", field="variety", value=variety)
    for name in NOT_OFFERED:
        if params.get(name, "0") not in ("", "0", "false"):
            raise kite_error("not_offered", field=name, value=params[name])
    exchange, symbol = _text(params, "exchange"), _text(params, "tradingsymbol")
    side = _choice(params, "transaction_type", Side)
    order_type = _choice(params, "order_type", OrderType)
    product = _choice(params, "product", Product)
    validity = _choice(params, "validity", Validity, Validity.DAY)
    quantity = _whole(params, "quantity")
    instrument = book.by_key(f"{exchange}:{symbol}")
    if instrument is None:
        raise kite_error("unknown_instrument")
    if not instrument.is_option:
        raise kite_error("not_tradable", symbol=symbol)
    if len(params.get("tag", "")) > TAG_LENGTH_MAX:
        raise kite_error("tag_length")
    check_quantity(instrument, quantity, rules, now_ms)
    price, trigger = _prices(params, order_type)
    check_prices(instrument, side, order_type, price, trigger)
    check_validity(order_type, validity)
    protection = _protection(params) if order_type is OrderType.MARKET else None
    return Ticket(
        instrument, side, quantity, product, order_type, validity, price, trigger, protection, params.get("tag", "")
    )


def parse_slices(params: Mapping[str, str], book: InstrumentBook, rules: MarketRules, now_ms: int) -> tuple[int, ...]:
    """Quantities that an order is sliced into: whole lots, none above the freeze quantity. Raises KiteError."""
    instrument = book.by_key(f"{_text(params, 'exchange')}:{_text(params, 'tradingsymbol')}")
    quantity = _whole(params, "quantity")
    if instrument is None or not instrument.is_option or quantity <= 0:
        return (quantity,)
    if quantity % instrument.lot_size:
        raise kite_error("lot_multiple", lot=instrument.lot_size)
    freeze = rules.freeze_quantity(instrument.underlying, ist_date(now_ms))
    largest = freeze // instrument.lot_size * instrument.lot_size
    if quantity > largest * SLICES_MAX:
        raise kite_error("slices", quantity=quantity, most=SLICES_MAX)
    whole, rest = divmod(quantity, largest)
    return (largest,) * whole + ((rest,) if rest or not whole else ())


def parse_change(
    params: Mapping[str, str], order: SimOrder, rules: MarketRules, now_ms: int
) -> tuple[Change, float | None]:
    """Read a modification against the order it is for; the second value is the protection of a change to MARKET.

    Raises KiteError as `parse_order` does.
    """
    order_type = _choice(params, "order_type", OrderType, order.order_type)
    if order_type is OrderType.SL and order.order_type is not OrderType.SL:
        raise kite_error("limit_to_sl", old=order.order_type, new=order_type)
    quantity = _whole(params, "quantity") if "quantity" in params else order.quantity
    if quantity <= order.filled_quantity:
        raise kite_error("below_filled", quantity=quantity, filled=order.filled_quantity)
    check_quantity(order.instrument, quantity, rules, now_ms)
    kept = {"price": rupees_text(order.price_paise), "trigger_price": rupees_text(order.trigger_paise)}
    price, trigger = _prices({**kept, **params}, order_type)
    check_prices(order.instrument, order.side, order_type, price, trigger)
    validity = _choice(params, "validity", Validity, order.validity)
    check_validity(order_type, validity)
    protection = _protection(params) if order_type is OrderType.MARKET else None
    return Change(order_type, validity, quantity, price, trigger, order.protection_pct), protection


def _text(params: Mapping[str, str], name: str) -> str:
    value = params.get(name, "").strip()
    if not value:
        raise kite_error("missing_field", field=name)
    return value


def _choice(params: Mapping[str, str], name: str, kind: type[Choice], default: Choice | None = None) -> Choice:
    if default is not None and not params.get(name):
        return default
    try:
        return kind(_text(params, name))
    except ValueError:
        raise kite_error("bad_field", field=name) from None


def _whole(params: Mapping[str, str], name: str) -> int:
    try:
        return int(_text(params, name))
    except ValueError:
        raise kite_error("bad_field", field=name) from None


def _price(params: Mapping[str, str], name: str) -> int:
    """Paise; a fraction of a paisa is refused as off the tick, by making it no multiple of anything."""
    try:
        rupees = float(_text(params, name))
    except ValueError:
        raise kite_error("bad_field", field=name) from None
    if not 0 < rupees < PRICE_MAX_RUPEES:
        raise kite_error("bad_field", field=name)
    value = paise(rupees)
    if abs(value - rupees * 100) > PAISA_TOLERANCE:
        raise kite_error("tick", tick="0.05", what=name.replace("_", " "))
    return value


def _prices(params: Mapping[str, str], order_type: OrderType) -> tuple[int, int]:
    price = _price(params, "price") if order_type in (OrderType.LIMIT, OrderType.SL) else 0
    return price, _price(params, "trigger_price") if order_type is OrderType.SL else 0


def _protection(params: Mapping[str, str]) -> float:
    text = params.get("market_protection", "").strip()
    if text in ("", "0"):
        raise kite_error("no_protection")
    try:
        value = float(text)
    except ValueError:
        raise kite_error("protection_type", value=text) from None
    if value == 0:
        raise kite_error("no_protection")
    if value != AUTOMATIC_PROTECTION and not 0 < value <= 100:
        raise kite_error("bad_field", field="market_protection")
    return value
