"""Charges of an executed option order at dated rates, exact to the paisa."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from g6_core.domain.orders import Side

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class ChargeRates:
    """Rates of one exchange on one day. `*_pct` are per cent of the premium turnover, GST of the fees it is due on."""

    brokerage_paise: int
    stt_sell_pct: Decimal
    exchange_pct: Decimal
    investor_protection_pct: Decimal
    sebi_pct: Decimal
    stamp_buy_pct: Decimal
    gst_pct: Decimal


@dataclass(frozen=True, slots=True)
class Charges:
    """What one or more executed orders cost. `exchange_paise` includes the investor protection fund."""

    brokerage_paise: int = 0
    stt_paise: int = 0
    exchange_paise: int = 0
    sebi_paise: int = 0
    stamp_paise: int = 0
    gst_paise: int = 0

    @property
    def total_paise(self) -> int:
        """Sum of all components."""
        return (
            self.brokerage_paise
            + self.stt_paise
            + self.exchange_paise
            + self.sebi_paise
            + self.stamp_paise
            + self.gst_paise
        )

    def __add__(self, other: "Charges") -> "Charges":
        return Charges(
            self.brokerage_paise + other.brokerage_paise,
            self.stt_paise + other.stt_paise,
            self.exchange_paise + other.exchange_paise,
            self.sebi_paise + other.sebi_paise,
            self.stamp_paise + other.stamp_paise,
            self.gst_paise + other.gst_paise,
        )


def _percent(amount_paise: int, pct: Decimal) -> int:
    return int((amount_paise * pct / HUNDRED).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def order_charges(rates: ChargeRates, side: Side, turnover_paise: int) -> Charges:
    """Charges of one executed order; `turnover_paise` is the sum of price times quantity over its fills.

    An order without a fill costs nothing. Each component is rounded half up to the paisa; the contract
    note rounds STT to the rupee over the whole day, which cannot be known order by order.
    """
    assert turnover_paise >= 0, "turnover is a sum of fills"
    if turnover_paise == 0:
        return Charges()
    exchange = _percent(turnover_paise, rates.exchange_pct + rates.investor_protection_pct)
    sebi = _percent(turnover_paise, rates.sebi_pct)
    return Charges(
        brokerage_paise=rates.brokerage_paise,
        stt_paise=_percent(turnover_paise, rates.stt_sell_pct) if side is Side.SELL else 0,
        exchange_paise=exchange,
        sebi_paise=sebi,
        stamp_paise=_percent(turnover_paise, rates.stamp_buy_pct) if side is Side.BUY else 0,
        gst_paise=_percent(rates.brokerage_paise + exchange + sebi, rates.gst_pct),
    )
