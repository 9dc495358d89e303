"""The broker's and the exchange's rules about one order: quantity, prices, product, price ranges.

Rules that Kite answers at once raise `KiteError`; the others give the status_message of a rejection, or "".
"""

from g6_core.domain.calendar import MarketRules, PriceProtection
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import ist_date, to_ist
from g6_core.domain.money import ratio_of, rupees_text
from g6_core.domain.orders import OrderType, Product, Side, Validity
from g6_core.sim.refusals import kite_error, rejection

MODIFICATIONS_MAX = 25


def check_validity(order_type: OrderType, validity: Validity) -> None:
    """A stop waits; it cannot be immediate-or-cancel here."""
    if order_type is OrderType.SL and validity is not Validity.DAY:
        raise kite_error("not_offered", field="validity", value=validity)


def check_quantity(instrument: Instrument, quantity: int, rules: MarketRules, now_ms: int) -> None:
    """Positive, whole lots, at most the freeze quantity of the day."""
    if quantity <= 0:
        raise kite_error("bad_field", field="quantity")
    if quantity % instrument.lot_size:
        raise kite_error("lot_multiple", lot=instrument.lot_size)
    freeze = rules.freeze_quantity(instrument.underlying, ist_date(now_ms))
    if quantity > freeze:
        raise kite_error("freeze", quantity=quantity, freeze=freeze, symbol=instrument.tradingsymbol)


def check_prices(
    instrument: Instrument, side: Side, order_type: OrderType, price_paise: int, trigger_paise: int
) -> None:
    """Positive multiples of the tick; a stop's limit on the executable side of its trigger."""
    if order_type is OrderType.SL_M:
        raise kite_error("sl_m")
    tick = instrument.tick_paise
    wanted = {"price": price_paise} if order_type is not OrderType.MARKET else {}
    if order_type is OrderType.SL:
        wanted["trigger_price"] = trigger_paise
    for name, value in wanted.items():
        if value <= 0:
            raise kite_error("bad_field", field=name)
        if value % tick:
            raise kite_error("tick", tick=rupees_text(tick), what=name.replace("_", " "))
    if order_type is OrderType.SL and side is Side.BUY and price_paise < trigger_paise:
        raise kite_error("sl_buy_order")
    if order_type is OrderType.SL and side is Side.SELL and price_paise > trigger_paise:
        raise kite_error("sl_sell_order")


def check_product(product: Product, cutoff_ms: int, now_ms: int) -> None:
    """No MIS order after the broker's cut-off, not even one that closes (the broker squares off by itself then)."""
    if product is Product.MIS and now_ms >= cutoff_ms:
        raise kite_error("mis_cutoff", time=to_ist(cutoff_ms).strftime("%I.%M %p").lstrip("0"))


def trigger_side_problem(side: Side, trigger_paise: int, ltp_paise: int) -> str:
    """The broker's message when a stop would be released at once; empty when it is fine or no price is known."""
    if ltp_paise <= 0:
        return ""
    if side is Side.BUY and trigger_paise <= ltp_paise:
        return rejection("trigger_buy_side")
    if side is Side.SELL and trigger_paise >= ltp_paise:
        return rejection("trigger_sell_side")
    return ""


def stop_width_problem(protection: PriceProtection, price_paise: int, trigger_paise: int) -> str:
    """The exchange's message when limit and trigger of a stop are too far apart; empty when they are not."""
    if trigger_paise > protection.sl_width_threshold_paise:
        width = ratio_of(trigger_paise, protection.sl_width_pct)
    else:
        width = protection.sl_width_abs_paise
    return rejection("stop_width") if abs(price_paise - trigger_paise) > width else ""


def price_range_problem(
    protection: PriceProtection, side: Side, price_paise: int, reference_paise: int, circuit: tuple[int, int]
) -> str:
    """The message for a buy above or a sell below what the exchange allows; empty when allowed or no reference.

    The range is limit price protection around the reference (average of recent trades), inside the daily range.
    """
    if reference_paise <= 0:
        return ""
    if reference_paise > protection.lpp_threshold_paise:
        width = ratio_of(reference_paise, protection.lpp_pct)
    else:
        width = protection.lpp_abs_paise
    low, high = max(reference_paise - width, circuit[0]), reference_paise + width
    if circuit[1]:
        high = min(high, circuit[1])
    outside = price_paise > high if side is Side.BUY else price_paise < low
    if not outside:
        return ""
    return rejection("price_range", price=rupees_text(price_paise), low=rupees_text(low), high=rupees_text(high))
