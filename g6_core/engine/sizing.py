"""How many lots: the smaller of what the capital band allots and what the stop may lose."""

from dataclasses import dataclass

from g6_core.engine.params import CapitalBand, SizingParams


@dataclass(frozen=True, slots=True)
class Size:
    """Whole lots and units; 0 with the reason when not even one lot is allowed."""

    lots: int
    quantity: int
    reason: str
    allocation_paise: int
    risk_paise: int


def band_of(capital_paise: int, params: SizingParams) -> CapitalBand:
    """The first band that reaches up to this capital."""
    for band in params.bands:
        if band.up_to_paise is None or capital_paise <= band.up_to_paise:
            return band
    return params.bands[-1]


def size(
    capital_paise: int,
    cash_paise: int,
    price_paise: int,
    stop_loss_pct: float,
    lot_size: int,
    freeze_quantity: int,
    params: SizingParams,
) -> Size:
    """Lots to buy at `price_paise` per unit. Never above cash, the lot cap or what one order may carry."""
    band = band_of(capital_paise, params)
    allocation = int(capital_paise * band.allocation_pct / 100)
    risk = int(capital_paise * band.risk_pct / 100)
    lot_cost = price_paise * lot_size
    lot_risk = lot_cost * stop_loss_pct / 100
    limits = {
        "allocation": allocation // lot_cost,
        "risk": int(risk / lot_risk),
        "cash": cash_paise // lot_cost,
        "max_lots": params.max_lots,
        "freeze": freeze_quantity // lot_size,
    }
    reason = min(limits, key=lambda name: limits[name])
    lots = max(limits[reason], 0)
    return Size(lots, lots * lot_size, reason, allocation, risk)
