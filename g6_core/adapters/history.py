"""`data/state/history.json`: one point per index, day and kind of source, for the day pack's history.

A modelled or replayed day says nothing about the market that is traded, so points are only ever read for one source.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import IvPoint, OiPoint

HISTORY_VERSION = 1


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The close of one day: at-the-money IV in percent, open interest around the money in units; None is unknown.

    `source` is the kind of market (kite, recorded, modelled, scripted).
    """

    day: date
    source: str
    atm_iv_pct: float | None
    oi: int | None


@dataclass(frozen=True, slots=True)
class _Document:
    version: int
    indices: dict[str, tuple[HistoryPoint, ...]]


@dataclass(frozen=True, slots=True)
class IndexHistory:
    """What earlier days of one source tell about an index, oldest first."""

    iv: tuple[IvPoint, ...] = ()
    oi: tuple[OiPoint, ...] = ()


def load_history(path: Path, source: str, *, before: date) -> dict[str, IndexHistory]:
    """History per underlying from days of `source` before `before`. Empty without a file; DataError when damaged."""
    found = {}
    for underlying, points in _load(path).items():
        own = sorted((one for one in points if one.source == source and one.day < before), key=lambda one: one.day)
        found[underlying] = IndexHistory(
            iv=tuple(IvPoint(one.day, one.atm_iv_pct) for one in own if one.atm_iv_pct is not None),
            oi=tuple(OiPoint(one.day, one.oi) for one in own if one.oi is not None),
        )
    return found


def record_history(path: Path, points: Mapping[str, HistoryPoint]) -> None:
    """Set one point per underlying, replacing that of an earlier run of the same day and source."""
    known = _load(path)
    for underlying, point in points.items():
        assert point.atm_iv_pct is None or (math.isfinite(point.atm_iv_pct) and point.atm_iv_pct > 0)
        others = [one for one in known.get(underlying, ()) if (one.day, one.source) != (point.day, point.source)]
        known[underlying] = tuple(sorted([*others, point], key=lambda one: (one.day, one.source)))
    write_atomic(path, canonical_json(_Document(HISTORY_VERSION, known)) + b"\n")


def _load(path: Path) -> dict[str, tuple[HistoryPoint, ...]]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Document)
    except FileNotFoundError:
        return {}
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not a history of days ({error}); restore it or move it away") from error
    if found.version != HISTORY_VERSION:
        raise DataError(f"{path}: version {found.version}, this program reads {HISTORY_VERSION}; move it away")
    return found.indices
