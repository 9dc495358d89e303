"""Figures of a whole chain: parity forward, at the money, put-call ratios, max pain, support and resistance.

Arrays run over strikes in ascending order; nan (prices) means unknown. Strikes and prices share one unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARITY_STRIKES = 7

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Levels:
    """The strikes with the highest put and call open interest."""

    support: int
    resistance: int


def parity_forward(strikes_paise: NDArray[np.int64], call_mid: Floats, put_mid: Floats) -> float:
    """Forward of an expiry from put-call parity, nan when no strike has both sides.

    Median of K + C - P over the strikes whose call and put are worth most alike: there the discount
    factor on C - P hardly matters and both sides trade. The median forgives a wrong quote or two.
    """
    gap = np.asarray(call_mid - put_mid, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(gap))
    if known.size == 0:
        return float("nan")
    nearest = known[np.argsort(np.abs(gap[known]), kind="stable")[:PARITY_STRIKES]]
    return float(np.median(strikes_paise[nearest] + gap[nearest]))


def atm_strike(forward_paise: float, strikes_paise: Sequence[int]) -> int:
    """The listed strike nearest to the forward, the lower of two at the same distance.

    Raises ValueError for an empty chain.
    """
    return min(strikes_paise, key=lambda strike: (abs(strike - forward_paise), strike))


def atm_on_step(spot_paise: float, step_paise: int) -> int:
    """The multiple of the index's strike step nearest to the spot, the lower of two at the same distance."""
    lower = int(spot_paise // step_paise) * step_paise
    return lower if spot_paise - lower <= lower + step_paise - spot_paise else lower + step_paise


def put_call_ratio(call_total: int, put_total: int) -> float | None:
    """Puts over calls (open interest or volume); None without any calls."""
    return put_total / call_total if call_total > 0 else None


def max_pain(strikes_paise: NDArray[np.int64], call_oi: NDArray[np.int64], put_oi: NDArray[np.int64]) -> int | None:
    """The strike at which the holders of all options together would be paid least at expiry; the lowest of several.

    None when there is no open interest at all.
    """
    if strikes_paise.size == 0 or not (call_oi.any() or put_oi.any()):
        return None
    settle = strikes_paise[:, None]
    calls = np.maximum(settle - strikes_paise[None, :], 0) * call_oi[None, :]
    puts = np.maximum(strikes_paise[None, :] - settle, 0) * put_oi[None, :]
    return int(strikes_paise[np.argmin((calls + puts).sum(axis=1))])


def support_resistance(
    strikes_paise: NDArray[np.int64], call_oi: NDArray[np.int64], put_oi: NDArray[np.int64]
) -> Levels | None:
    """Support is the strike of the highest put OI, resistance that of the highest call OI; None without both.

    Of equals the one nearer to the money counts: the higher for support, the lower for resistance.
    """
    if strikes_paise.size == 0 or not call_oi.any() or not put_oi.any():
        return None
    highest_put = put_oi.size - 1 - int(np.argmax(put_oi[::-1]))
    return Levels(support=int(strikes_paise[highest_put]), resistance=int(strikes_paise[int(np.argmax(call_oi))]))
