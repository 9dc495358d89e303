"""Next-day picks: the strikes near the money that the strategy's own filters and score would prefer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from g6_core.adapters.lake import read_lake, read_lake_since
from g6_core.domain.chain import atm_strike
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import ist_clock
from g6_core.domain.market import Quote
from g6_core.domain.money import paise, rupees_text
from g6_core.domain.records import DecisionRecord
from g6_core.engine import strikes
from g6_core.engine.params import EngineParams
from g6_core.schema.options import RowStatus
from g6_core.schema.picks import IndexPicks, Pick
from g6_core.site import Day
from g6_pipelines.collection.coverage import COVERAGE_COLUMNS, coverage_of

# A chain older than this at the close says little about tomorrow's open.
FRESH_MS = 30 * 60_000
# Below half of the day's contract-minutes the last snapshot may be a lucky one.
MIN_COVERAGE_PCT = 50.0
ATM_IV_WINDOW_MS = 15 * 60_000

# As many strikes as the engine's own figure of a minute (`g6_core.engine.entries`) covers.
NEAR_STRIKES = 3

_SIDES = {"CE": "call", "PE": "put"}
# Read of the whole day; the prices and figures only of its last minutes, for a day of them is most of the lake.
DAY_COLUMNS = (*COVERAGE_COLUMNS, "forward")
NEAR_COLUMNS = ("timestamp", "expiry", "strike", "forward", "call_status", "put_status", "call_oi", "put_oi")
CHAIN_COLUMNS = (
    *("timestamp", "index", "expiry_code", "expiry", "offset", "strike", "forward"),
    *(
        f"{side}_{name}"
        for side in _SIDES.values()
        for name in ("status", "ltp", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi", "iv", "delta")
    ),
)


def closing_trend(decisions: Sequence[DecisionRecord], underlying: str) -> str:
    """``bullish``, ``bearish`` or ``unknown``: the 5-minute Supertrend of the day's last decision."""
    last = next((one for one in reversed(decisions) if one.underlying == underlying), None)
    direction = last.features.get("st_5m", 0.0) if last is not None else 0.0
    return "bullish" if direction > 0 else "bearish" if direction < 0 else "unknown"


def pick_index(day: Day, book: InstrumentBook, params: EngineParams, decisions: Sequence[DecisionRecord]) -> IndexPicks:
    """Picks of one index from what was collected on `day`, or the reason for having none.

    DataError when the lake is missing or unreadable.
    """
    rows = read_lake(day.lake, DAY_COLUMNS)
    coverage = coverage_of(rows)[0]
    none = IndexPicks(
        underlying=day.index,
        reason="",
        trend=closing_trend(decisions, day.index),
        as_of_ms=0,
        coverage_pct=round(100 * coverage.live / coverage.expected, 4) if coverage.expected else 0.0,
        expiry=None,
        atm_iv_pct=None,
        forward_paise=None,
        picks=(),
    )
    expiry = _next_expiry(rows, params, day)
    if expiry is None:
        return replace(none, reason="no collected expiry can be traded on the next trading day")
    times = _live_of(rows, expiry)["timestamp"].dt.timestamp("ms")
    if times.is_empty():
        return replace(none, reason=f"nothing live was collected of the expiry {expiry}", expiry=expiry)
    as_of_ms = int(times.max())  # type: ignore[arg-type]
    found = replace(none, as_of_ms=as_of_ms, expiry=expiry)
    if day.close_ms(expiry) - as_of_ms > FRESH_MS:
        return replace(found, reason=f"the last live chain is of {ist_clock(as_of_ms)}, too long before the close")
    live = _live_of(read_lake_since(day.lake, as_of_ms - ATM_IV_WINDOW_MS, CHAIN_COLUMNS), expiry)
    found = replace(found, atm_iv_pct=_atm_iv_pct(live, as_of_ms))
    if found.coverage_pct < MIN_COVERAGE_PCT:
        return replace(found, reason=f"only {found.coverage_pct:.1f} % of the day was collected live")
    last = _snapshot(live, as_of_ms)
    found = replace(found, forward_paise=round(float(last["forward"][0]) * 100, 2))
    return _ranked(found, last, book, params)


def near_money_oi(lake: Path, expiry: date, as_of_ms: int) -> int | None:
    """Open interest of both sides of the strikes nearest to the forward, as the engine adds it up; None if unknown.

    DataError when the lake is unusable.
    """
    rows = _snapshot(_live_of(read_lake_since(lake, as_of_ms, NEAR_COLUMNS), expiry), as_of_ms)
    nearest = rows.sort((pl.col("strike") - pl.col("forward")).abs(), "strike").head(NEAR_STRIKES)
    if len(nearest) < NEAR_STRIKES:
        return None
    total: int = sum(nearest["call_oi"].to_list()) + sum(nearest["put_oi"].to_list())
    return total


def _live_of(rows: pl.DataFrame, expiry: date) -> pl.DataFrame:
    both_live = (pl.col("call_status") == RowStatus.LIVE) & (pl.col("put_status") == RowStatus.LIVE)
    return rows.filter((pl.col("expiry") == expiry) & both_live & pl.col("forward").is_not_null())


def _snapshot(live: pl.DataFrame, time_ms: int) -> pl.DataFrame:
    """One cycle of one expiry, each strike once, ascending."""
    at_time = live.filter(pl.col("timestamp").dt.timestamp("ms") == time_ms)
    return at_time.unique(subset="strike", keep="first", maintain_order=True).sort("strike")


def _next_expiry(rows: pl.DataFrame, params: EngineParams, day: Day) -> date | None:
    earliest = day.site.rules.known_next_trading_day(day.date)
    earliest += timedelta(days=params.strikes.min_days_to_expiry[day.index])
    expiries: list[date] = rows["expiry"].drop_nulls().unique().sort().to_list()
    return next((expiry for expiry in expiries if expiry >= earliest), None)


def _atm_iv_pct(live: pl.DataFrame, as_of_ms: int) -> float | None:
    """Median over the last quarter of an hour of the mean call and put IV at the strike nearest to the forward."""
    recent = live.filter(pl.col("timestamp").dt.timestamp("ms") > as_of_ms - ATM_IV_WINDOW_MS)
    nearest = (
        recent.with_columns(
            gap=(pl.col("strike") - pl.col("forward")).abs(), iv=pl.mean_horizontal("call_iv", "put_iv")
        )
        .filter(pl.col("iv").is_finite())
        .sort("timestamp", "gap", "strike")
        .unique(subset="timestamp", keep="first", maintain_order=True)
    )
    median = nearest["iv"].median()
    return round(float(median), 4) if isinstance(median, float) else None


def _ranked(found: IndexPicks, last: pl.DataFrame, book: InstrumentBook, params: EngineParams) -> IndexPicks:
    assert found.expiry is not None and found.forward_paise is not None
    judged = {
        side: [
            # Judged as an entry of the first minute in which entries are allowed.
            strikes.judge(one, found.underlying, params.strikes, params.validation.entry_from_of_day_ms)
            for one in _candidates(found, last, book, side, params.strikes.steps_otm_max)
        ]
        for side in _SIDES
    }
    picks = [_pick(one, found.trend) for side in judged.values() for one in strikes.rank(side, params.strikes.keep_top)]
    if not picks:
        refusals = Counter(
            verdict.rule for side in judged.values() for one in side for verdict in one.verdicts if verdict.blocks
        )
        told = ", ".join(f"{rule} {count} times" for rule, count in sorted(refusals.items()))
        return replace(found, reason=f"no strike near the money passed the filters ({told or 'none was listed'})")
    picks.sort(key=lambda pick: (pick.with_trend is False, -pick.score, pick.steps_otm, pick.side))
    return replace(found, picks=tuple(replace(pick, rank=place) for place, pick in enumerate(picks, 1)))


def _candidates(
    found: IndexPicks, last: pl.DataFrame, book: InstrumentBook, side: str, steps_max: int
) -> list[strikes.Candidate]:
    assert found.expiry is not None and found.forward_paise is not None
    rows = last.to_dicts()
    listed = [paise(row["strike"]) for row in rows]
    atm = listed.index(atm_strike(found.forward_paise, listed))
    step = 1 if side == "CE" else -1
    result = []
    for steps in range(steps_max + 1):
        place = atm + step * steps
        instrument = (
            book.option(found.underlying, found.expiry, listed[place], side) if 0 <= place < len(rows) else None
        )
        if instrument is not None:
            cells = {name: rows[place][f"{_SIDES[side]}_{name}"] for name in ("iv", "delta")}
            quote = _quote(rows[place], _SIDES[side], instrument.token, found.as_of_ms)
            result.append(strikes.Candidate(instrument, quote, steps, found.forward_paise, cells["iv"], cells["delta"]))
    return result


def _quote(row: dict[str, Any], side: str, token: int, time_ms: int) -> Quote:
    return Quote(
        token=token,
        exchange_ms=time_ms,
        ltp_paise=paise(row[f"{side}_ltp"] or 0),
        bid_paise=paise(row[f"{side}_bid"] or 0),
        ask_paise=paise(row[f"{side}_ask"] or 0),
        bid_qty=row[f"{side}_bid_qty"] or 0,
        ask_qty=row[f"{side}_ask_qty"] or 0,
        volume=row[f"{side}_volume"] or 0,
        oi=row[f"{side}_oi"] or 0,
    )


def _pick(judged: strikes.Judged, trend: str) -> Pick:
    one = judged.candidate
    instrument = one.instrument
    assert one.iv_pct is not None and one.delta is not None and instrument.expiry is not None
    with_trend = None if trend == "unknown" else (trend == "bullish") == (instrument.instrument_type == "CE")
    mid = one.quote.mid_paise
    spread_pct = round(100 * one.spread_paise / mid, 4)
    steps = f"{one.steps_otm} strikes out of the money" if one.steps_otm > 1 else "one strike out of the money"
    said_trend = {None: "the closing trend is unknown", True: f"with the closing {trend} trend on 5 minutes"}
    reasons = (
        said_trend.get(with_trend, f"against the closing {trend} trend on 5 minutes"),
        steps if one.steps_otm else "at the money",
        f"spread {rupees_text(one.spread_paise)} ({spread_pct:.2f} % of the price)",
        f"open interest {one.quote.oi:,} units",
        f"delta {one.delta:.2f}",
        f"implied volatility {one.iv_pct:.2f} %",
    )
    return Pick(
        rank=0,
        tradingsymbol=instrument.tradingsymbol,
        token=instrument.token,
        side=instrument.instrument_type,
        strike_paise=instrument.strike_paise,
        expiry=instrument.expiry,
        lot_size=instrument.lot_size,
        steps_otm=one.steps_otm,
        price_paise=mid,
        spread_pct=spread_pct,
        oi=one.quote.oi,
        iv_pct=round(one.iv_pct, 4),
        delta=round(one.delta, 4),
        score=judged.score,
        with_trend=with_trend,
        reasons=reasons,
    )
