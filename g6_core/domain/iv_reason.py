"""Why a quote has no implied volatility: said with each row, so that an empty cell is never a riddle."""

import math
from enum import StrEnum


class IvReason(StrEnum):
    """The first thing that stands in the way, in the order in which they are looked at.

    expired: nothing is left to be volatile in. no_quote: neither bid nor ask, or nothing known at all. stale: the
    quote is older than one interval. one_sided: a bid without an ask or the other way round. crossed: the bid is not
    below the ask. no_forward: no strike of the expiry has two sound sides. below_intrinsic: the middle is worth no more
    than exercise. above_bound: the middle is worth the forward (call) or the strike (put) or more.
    """

    EXPIRED = "expired"
    NO_QUOTE = "no_quote"
    STALE = "stale"
    ONE_SIDED = "one_sided"
    CROSSED = "crossed"
    NO_FORWARD = "no_forward"
    BELOW_INTRINSIC = "below_intrinsic"
    ABOVE_BOUND = "above_bound"


def iv_reason(
    bid: float | None,
    ask: float | None,
    *,
    is_live: bool,
    forward: float | None,
    strike: float,
    t_years: float,
    is_call: bool,
) -> IvReason | None:
    """Why the middle of this touch has no implied volatility on the (undiscounted) forward; None exactly when it has.

    Prices, forward and strike share one unit; forward and strike are positive. Decided in exact arithmetic, as
    `implied_vol` does it.
    """
    if t_years <= 0.0:
        return IvReason.EXPIRED
    if bid is None and ask is None:
        return IvReason.NO_QUOTE
    if not is_live:
        return IvReason.STALE
    if bid is None or ask is None:
        return IvReason.ONE_SIDED
    if bid >= ask:
        return IvReason.CROSSED
    if forward is None:
        return IvReason.NO_FORWARD
    middle = (bid + ask) / 2
    worth, paid = (forward, strike) if is_call else (strike, forward)
    if middle <= 0.0 or math.fsum((middle, paid, -worth)) <= 0.0:
        return IvReason.BELOW_INTRINSIC
    return IvReason.ABOVE_BOUND if middle >= worth else None
