"""`data/state/iv_history.json`: one at-the-money implied volatility per index and day."""

import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import IvPoint


def load_iv_history(path: Path, *, before: date | None = None) -> dict[str, tuple[IvPoint, ...]]:
    """Points per underlying, oldest first; only earlier days than `before` when it is given. Empty without a file.

    The file is ``{"NIFTY": [["2025-08-29", 8.31], ...]}``, in percent. Raises DataError when it is damaged.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, list[tuple[date, float]]])
    except FileNotFoundError:
        return {}
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not a volatility history ({error}); restore it or move it away") from error
    return {
        underlying: tuple(IvPoint(day, value) for day, value in sorted(points) if before is None or day < before)
        for underlying, points in found.items()
    }


def record_iv(path: Path, day: date, atm_iv_pct: Mapping[str, float]) -> None:
    """Set the points of `day`, replacing those of an earlier run; other days and underlyings stay as they are."""
    assert all(math.isfinite(value) and value > 0 for value in atm_iv_pct.values()), "unknown is left out, not written"
    history = {
        name: {point.day: point.atm_iv_pct for point in points} for name, points in load_iv_history(path).items()
    }
    for underlying, value in atm_iv_pct.items():
        history.setdefault(underlying, {})[day] = value
    document = {underlying: sorted(points.items()) for underlying, points in history.items()}
    write_atomic(path, canonical_json(document) + b"\n")
