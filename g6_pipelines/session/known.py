"""What others may know of a session without loading it: its hours and its heartbeat.

The supervisor asks every few seconds, and for the first time right after a start, when nothing is loaded yet.
"""

from datetime import date

import msgspec

from g6_core.domain.calendar import Session
from g6_core.schema.paths import DataPaths
from g6_core.schema.session import Heartbeat
from g6_core.site import Site


def session_hours(site: Site, day: date) -> Session | None:
    """Return the hours of the configured indices together; None when `day` is no trading day."""
    return site.rules.joint_session(site.indices, day) if site.rules.is_trading_day(day) else None


def read_heartbeat(paths: DataPaths) -> Heartbeat | None:
    """The newest heartbeat; None when there is none or it cannot be read."""
    try:
        return msgspec.json.decode(paths.heartbeat.read_bytes(), type=Heartbeat)
    except (OSError, msgspec.MsgspecError):
        return None
