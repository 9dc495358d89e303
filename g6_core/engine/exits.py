"""When a position is closed by price: stop, target, break-even lock and trail (compiled)."""

from g6_core.domain.kernel import kernel
from g6_core.domain.records import ExitReason

HOLD, STOP, TARGET, TRAIL = 0, 1, 2, 3
REASONS = {STOP: ExitReason.STOP_LOSS, TARGET: ExitReason.TAKE_PROFIT, TRAIL: ExitReason.TRAILING_STOP}


@kernel("f8(f8, f8, f8, f8, f8)")
def stop_level(
    entry: float, high_water_mark: float, stop_loss_pct: float, break_even_at_pct: float, trail_pct: float
) -> float:
    """Stop in force: the initial one, or (once the lock is reached) the better of entry price and trail."""
    stop = entry * (1 - stop_loss_pct / 100)
    if high_water_mark >= entry * (1 + break_even_at_pct / 100):
        stop = max(entry, high_water_mark * (1 - trail_pct / 100))
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
    if last >= entry * (1 + take_profit_pct / 100):
        return TARGET
    stop = stop_level(entry, high_water_mark, stop_loss_pct, break_even_at_pct, trail_pct)
    if last <= stop:
        return TRAIL if high_water_mark >= entry * (1 + break_even_at_pct / 100) else STOP
    return HOLD
