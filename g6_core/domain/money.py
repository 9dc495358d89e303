"""Money: integer paise in the engine, rupees with two decimals at the edges."""

from decimal import ROUND_HALF_UP, Decimal


def paise(rupees: float | int | str | Decimal) -> int:
    """Rupees to paise, rounded half up; floats are read by their shortest decimal form."""
    return int((Decimal(str(rupees)) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def rupees_text(amount_paise: int) -> str:
    """``-12.05``: exact, no thousands separator."""
    sign = "-" if amount_paise < 0 else ""
    whole, rest = divmod(abs(amount_paise), 100)
    return f"{sign}{whole}.{rest:02d}"


def tick_floor(price_paise: int, tick_paise: int) -> int:
    """Largest multiple of the tick that is not above the price."""
    return price_paise // tick_paise * tick_paise


def tick_ceil(price_paise: int, tick_paise: int) -> int:
    """Smallest multiple of the tick that is not below the price."""
    return -(-price_paise // tick_paise) * tick_paise


def ratio_of(amount_paise: int, percent: float) -> int:
    """`percent` of an amount, rounded half up to a whole paisa."""
    return int((Decimal(amount_paise) * Decimal(str(percent)) / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def average_paise(turnover_paise: int, quantity: int) -> int:
    """Average price of a turnover, rounded half up as the broker shows it; 0 for no quantity."""
    return (2 * turnover_paise + quantity) // (2 * quantity) if quantity else 0
