"""When a position is closed by price: stop, target, break-even lock and trail (compiled)."""

from g6_core.domain.kernel import kernel
from g6_core.domain.records import ExitReason

HOLD, STOP, TARGET, TRAIL = 0, 1, 2, 3
REASONS = {STOP: ExitReason.STOP_LOSS, TARGET: ExitReason.TAKE_PROFIT, TRAIL: ExitReason.TRAILING_STOP}


@kernel("f8(f8, f8)")
def lock_level(entry: float, break_even_at_pct: float) -> float:
    """High-water mark from which the break-even lock holds."""
    # Multiplied before it is divided: 110 % of 100.00 is then exactly 110.00.
    return entry * (100 + break_even_at_pct) / 100


@kernel("f8(f8, f8, f8, f8, f8)")
def stop_level(
    entry: float, high_water_mark: float, stop_loss_pct: float, break_even_at_pct: float, trail_pct: float
) -> float:
    """Stop in force: the initial one, or (once the lock is reached) the better of entry price and trail."""
    stop = entry * (100 - stop_loss_pct) / 100
    if high_water_mark >= lock_level(entry, break_even_at_pct):
        stop = max(entry, high_water_mark * (100 - trail_pct) / 100)
    return stop


@kernel("i8(f8, f8, f8, f8, f8, f8, f8)")
def exit_code(
    last: float,
    entry: float,
    high_water_mark: float,
    stop_loss_pct: float,
    take_profit_pct: float,
    break_even_at_pct: float,
    trail_pct: float,
) -> int:
    """HOLD, STOP, TARGET or TRAIL for the newest price; `high_water_mark` already includes it."""
    if entry <= 0:
        return HOLD  # filled, but the broker's row has no average price yet: there is nothing to judge by
    if last >= entry * (100 + take_profit_pct) / 100:
        return TARGET
    stop = stop_level(entry, high_water_mark, stop_loss_pct, break_even_at_pct, trail_pct)
    if last <= stop:
        return TRAIL if high_water_mark >= lock_level(entry, break_even_at_pct) else STOP
    return HOLD
