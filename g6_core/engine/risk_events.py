"""Risk events: what a person must be able to read afterwards, numbered through the day."""

from g6_core.domain.records import RiskEventRecord
from g6_core.engine.state import EngineState


def risk_event(
    state: EngineState, now_ms: int, kind: str, underlying: str, value: float, limit: float, detail: str
) -> RiskEventRecord:
    """A risk event with the next running number of the day."""
    state.event_number += 1
    event_id = f"R-{state.inputs.trade_date:%Y%m%d}-{state.event_number:04d}"
    return RiskEventRecord(event_id, now_ms, kind, underlying, value, limit, detail)
