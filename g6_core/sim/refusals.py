"""Why the simulated broker refuses, where, and in which words: one literal table.

A row is named by its condition, which is in `checks`, `order_form`, `desk` or `venue` where the name is used. Figures
are filled in. The HTTP status of the modification limit is a guess; its error_type is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class KiteError(Exception):
    """A reply with `status: error`: HTTP status, Kite's error_type and message."""

    def __init__(self, http_status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.error_type = error_type
        self.message = message


class Where(StrEnum):
    """Who refuses, and how the client learns it."""

    API = "HTTP error at once, no order id"
    BROKER = "order id, then REJECTED (a change: NOT MODIFIED) by the broker's risk checks"
    EXCHANGE = "order id, then REJECTED (a change: NOT MODIFIED) when it arrives at the exchange"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row: `error_type` and `http_status` only matter for API refusals."""

    where: Where
    message: str
    http_status: int = 400
    error_type: str = "InputException"


API, BROKER, EXCHANGE = Where
REFUSALS: Mapping[str, Refusal] = {
    # Wording as users of Kite report it.
    "unknown_instrument": Refusal(
        API, "The instrument you are placing an order for has either expired or does not exist."
    ),
    "tick": Refusal(
        API, "Tick size for this script is {tick}. Kindly enter {what} in the multiple of tick size for this script."
    ),
    "mis_cutoff": Refusal(API, "Intraday orders (MIS) are allowed only till {time}. Try placing a NRML order."),
    "no_protection": Refusal(
        API,
        "Market orders without market protection are not allowed via API. "
        "Please set market protection or use a Limit order.",
    ),
    "protection_type": Refusal(API, "failed to decode market_protection, got: {value} (expected decimal)"),
    "unknown_order": Refusal(API, "Couldn't find that `order_id`.", error_type="GeneralException"),
    "modify_in_transit": Refusal(API, "Order cannot be modified as it is being processed. Try later."),
    "cancel_in_transit": Refusal(API, "Order cannot be cancelled as it is being processed. Try later."),
    "modifications": Refusal(API, "Maximum allowed order modifications exceeded.", error_type="NetworkException"),
    "too_many_requests": Refusal(API, "Too many requests", 429, "NetworkException"),
    "token": Refusal(API, "Incorrect `api_key` or `access_token`.", 403, "TokenException"),
    "login": Refusal(API, "Token is invalid or has expired.", 403, "TokenException"),
    "checksum": Refusal(API, "Invalid `checksum`.", 403, "TokenException"),
    "margin": Refusal(
        BROKER,
        "Insufficient funds. Required margin is {required} but available margin is {available}. "
        "Check the orderbook for open orders.",
    ),
    "closed": Refusal(BROKER, "Your order could not be converted to a After Market Order (AMO)."),
    "trigger_buy_side": Refusal(
        BROKER, "Trigger price for stoploss buy orders should be higher than the last traded price."
    ),
    "trigger_sell_side": Refusal(
        BROKER, "Trigger price for stoploss sell orders should be lower than the last traded price."
    ),
    "stop_width": Refusal(EXCHANGE, "Stop limit order price range check failed"),
    # Kite refuses these too, but its wording is not published: ours.
    "missing_field": Refusal(API, "Missing or empty field `{field}`"),
    "bad_field": Refusal(API, "Invalid `{field}`."),
    "not_tradable": Refusal(API, "Orders in {symbol} are not allowed."),
    "not_offered": Refusal(API, "`{field}` {value} is not offered by this simulator."),
    "sl_m": Refusal(API, "SL-M orders are blocked for index options. Use SL (stop-limit) orders instead."),
    "lot_multiple": Refusal(API, "Quantity should be in multiples of lot size {lot}."),
    "freeze": Refusal(API, "Quantity {quantity} exceeds the freeze quantity {freeze} of {symbol}."),
    "sl_buy_order": Refusal(API, "Trigger price for stoploss buy orders should be lower than the limit price."),
    "sl_sell_order": Refusal(API, "Trigger price for stoploss sell orders should be higher than the limit price."),
    "tag_length": Refusal(API, "Invalid `tag`. It should be 20 characters at most."),
    "no_last_price": Refusal(API, "Market orders are not allowed: there is no last price for {symbol}."),
    "finished": Refusal(API, "Order cannot be {what} as it is already {status}."),
    "limit_to_sl": Refusal(API, "A {old} order cannot be changed to {new}."),
    "below_filled": Refusal(API, "Quantity {quantity} is not above the filled quantity {filled}."),
    "too_many_instruments": Refusal(API, "Too many instruments: {count}; at most {most} per request."),
    "window": Refusal(API, "interval exceeds max limit: {days} days"),
    "window_order": Refusal(API, "`from` cannot be after `to`."),
    "slices": Refusal(API, "Quantity {quantity} needs more than {most} slices."),
    "no_json": Refusal(API, "The body is not JSON."),
    "no_route": Refusal(API, "Route not found", 404, "GeneralException"),
    "no_method": Refusal(API, "Method not allowed", 405, "GeneralException"),
    "closed_on_arrival": Refusal(EXCHANGE, "The market is closed for this contract."),
    "price_range": Refusal(
        EXCHANGE, "Price exceeds circuit limits: {price} is outside the allowed range {low} to {high}."
    ),
    "overtaken": Refusal(EXCHANGE, "The order was filled beyond the new quantity."),
    "released": Refusal(EXCHANGE, "The stop has already been triggered."),
}


def kite_error(row: str, **values: object) -> KiteError:
    """The HTTP error of a row of the table."""
    refusal = REFUSALS[row]
    assert refusal.where is Where.API, row
    return KiteError(refusal.http_status, refusal.error_type, refusal.message.format(**values))


def rejection(row: str, **values: object) -> str:
    """The status_message of a row of the table."""
    refusal = REFUSALS[row]
    assert refusal.where is not Where.API, row
    return refusal.message.format(**values)


def error_json(error: KiteError) -> dict[str, object]:
    """An error inside of a reply that is no error itself: one slice of an order."""
    return {"code": error.http_status, "error_type": error.error_type, "message": error.message, "data": None}
