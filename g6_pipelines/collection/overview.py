"""The overview of one expiry in one cycle, folded from its option rows."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from g6_core.domain.chain import max_pain, put_call_ratio, support_resistance
from g6_core.schema.options import OptionRow, OverviewRow, RowStatus, SideCells

_EXPECTED = (RowStatus.LIVE, RowStatus.STALE, RowStatus.MISSING)


def overviews_of(rows: Iterable[OptionRow]) -> list[OverviewRow]:
    """One overview per cycle, index and expiry code; rows of the same one stand together."""
    return [
        overview_of(tuple(group))
        for _, group in groupby(rows, key=lambda row: (row.time_ms, row.index, row.expiry_code))
    ]


def overview_of(rows: Sequence[OptionRow]) -> OverviewRow:
    """Fold the rows of one expiry code in one cycle. Only strikes with both sides live count.

    So calls and puts are always of the same strikes: a ratio over two different populations says nothing.
    """
    first = rows[0]
    both = [row for row in rows if row.call.status == RowStatus.LIVE and row.put.status == RowStatus.LIVE]
    strikes = np.array([row.strike for row in both], np.float64)
    strikes_paise = np.rint(strikes * 100).astype(np.int64)
    call_oi = np.array([row.call.oi or 0 for row in both], np.int64)
    put_oi = np.array([row.put.oi or 0 for row in both], np.int64)
    pain = max_pain(strikes_paise, call_oi, put_oi)
    levels = support_resistance(strikes_paise, call_oi, put_oi)
    calls, puts = [row.call for row in both], [row.put for row in both]
    totals = (_total(calls, "oi"), _total(puts, "oi"), _total(calls, "volume"), _total(puts, "volume"))
    statuses = [side.status for row in rows for side in (row.call, row.put)]
    return OverviewRow(
        time_ms=first.time_ms,
        index=first.index,
        expiry_code=first.expiry_code,
        spot=first.spot,
        spot_kind=first.spot_kind,
        forward=first.forward,
        atm_strike=first.atm_strike,
        atm_iv=_atm_iv(rows),
        pcr_oi=_ratio(totals[0], totals[1]),
        pcr_volume=_ratio(totals[2], totals[3]),
        max_pain=None if pain is None else pain / 100,
        support=None if levels is None else levels.support / 100,
        resistance=None if levels is None else levels.resistance / 100,
        call_oi=totals[0],
        put_oi=totals[1],
        call_volume=totals[2],
        put_volume=totals[3],
        contracts_expected=sum(status in _EXPECTED for status in statuses),
        contracts_live=sum(status == RowStatus.LIVE for status in statuses),
        strikes=len(both),
    )


def _total(sides: Sequence[SideCells], field: str) -> int | None:
    """Sum over live sides; None (unknown) when there is none."""
    return sum(getattr(side, field) for side in sides) if sides else None


def _ratio(calls: int | None, puts: int | None) -> float | None:
    if calls is None or puts is None:
        return None
    ratio = put_call_ratio(calls, puts)
    return None if ratio is None else round(ratio, 6)


def _atm_iv(rows: Sequence[OptionRow]) -> float | None:
    """Mean IV of the sides at offset 0 that have one, percent."""
    known = [side.iv for row in rows if row.offset == 0 for side in (row.call, row.put) if side.iv is not None]
    return round(sum(known) / len(known), 6) if known else None
