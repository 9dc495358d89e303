"""What others may know of a session without loading it: its hours and its heartbeat.

The supervisor asks every few seconds, and for the first time right after a start, when nothing is loaded yet.
"""

from datetime import date

import msgspec

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules, Session
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import Heartbeat


def session_hours(settings: Settings, rules: MarketRules, day: date) -> Session | None:
    """From the first open to the last close of the configured indices; None when `day` is no trading day."""
    if not rules.is_trading_day(day):
        return None
    sessions = [rules.session(day, rules.index(name).option_exchange) for name in settings.indices]
    return Session(min(one.open_ms for one in sessions), max(one.close_ms for one in sessions))


def read_heartbeat(paths: DataPaths) -> Heartbeat | None:
    """The newest heartbeat; None when there is none or it cannot be read."""
    try:
        return msgspec.json.decode(paths.heartbeat.read_bytes(), type=Heartbeat)
    except (OSError, msgspec.MsgspecError):
        return None
