"""The numbers behind the pictures: plain arrays over hours of the day, no drawing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time

import numpy as np
import polars as pl
from numpy.typing import NDArray

from g6_core.domain.ist import MINUTE_MS, at, ist_clock
from g6_core.domain.records import Purpose, TradeRecord
from g6_core.schema.accounting import Account
from g6_core.schema.options import RowStatus
from g6_pipelines.report.facts import DayFacts

Floats = NDArray[np.float64]
GAP_HOURS = 3.5 / 60
_CUTS = 4
# How a contract-minute ended, from what is expected to be empty to what is wrong; whatever else it says is unverified.
STATES: dict[str, int] = {Account.NO_TRADE: 0, Account.LIVE: 1, Account.REPAIRED: 2}
NOT_EXPECTED = len(STATES) + 1


@dataclass(frozen=True, slots=True)
class Line:
    """y over hours after midnight IST; nan in y breaks the line where nothing is known."""

    x: Floats
    y: Floats
    label: str

    def at(self, hours: Sequence[float]) -> Floats:
        """y at some hours, between known points on a straight line."""
        known = np.isfinite(self.y)
        return np.interp(hours, self.x[known], self.y[known])


@dataclass(frozen=True, slots=True)
class Band:
    """How the minutes of one expiry ended: `states` has one row per strike, one column per minute."""

    label: str
    strikes: tuple[float, ...]
    first_hour: float
    last_hour: float
    states: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cut:
    """The chain of one expiry at one moment: strike, call_oi, put_oi, otm_iv, ascending; forward in rupees."""

    clock: str
    expiry: date
    forward: float
    rows: pl.DataFrame


def _broken(x: Floats, y: Floats, label: str) -> Line:
    """A line with a nan wherever two points lie further apart than a few minutes."""
    far = np.flatnonzero(np.diff(x) > GAP_HOURS) + 1
    return Line(np.insert(x, far, x[far - 1]), np.insert(y, far, np.nan), label)


def feature_line(facts: DayFacts, underlying: str, feature: str) -> Line:
    """A feature of the decisions; values of 0 and unknown ones (warm-up) are left out."""
    points = [
        (facts.hours(one.time_ms), one.features[feature])
        for one in facts.ledger.decisions
        if one.underlying == underlying and np.isfinite(one.features.get(feature, np.nan)) and one.features[feature]
    ]
    pairs = np.array(points, dtype=np.float64).reshape(-1, 2)
    return _broken(pairs[:, 0], pairs[:, 1], feature)


def index_line(facts: DayFacts, underlying: str) -> Line:
    """The index by minute as it was collected; without collected rows the closes the engine saw."""
    cycles = (
        facts.chain.lazy()
        .filter(
            (pl.col("index") == underlying)
            & pl.col("spot").is_not_null()
            & ((pl.col("call_status") == RowStatus.LIVE) | (pl.col("put_status") == RowStatus.LIVE))
        )
        .select("ms", "spot", "spot_kind")
        .unique("ms", keep="first", maintain_order=True)
        .sort("ms")
        .collect()
    )
    if cycles.is_empty():
        return feature_line(facts, underlying, "close_1m")
    hours = (cycles["ms"].to_numpy() - facts.midnight_ms) / 3_600_000
    kinds = set(cycles["spot_kind"].drop_nulls().to_list())
    label = "forward" if kinds == {"forward"} else "spot" if kinds == {"index"} else "spot or forward"
    return _broken(hours.astype(np.float64), cycles["spot"].to_numpy().astype(np.float64), label)


def trend_spans(facts: DayFacts, underlying: str) -> Iterator[tuple[float, float, float]]:
    """(from hour, to hour, direction) of the 5-minute Supertrend, unknown stretches left out."""
    line = feature_line(facts, underlying, "st_5m")
    start = 0
    for place in range(1, len(line.x) + 1):
        ends = place == len(line.x) or line.y[place] != line.y[start]
        if ends:
            if np.isfinite(line.y[start]):
                yield line.x[start], line.x[min(place, len(line.x) - 1)], line.y[start]
            start = place


def contract_prices(facts: DayFacts, tradingsymbol: str) -> pl.DataFrame:
    """hour, ltp, bid, ask of a contract wherever it was collected live, whatever its distance from the money then."""
    found = [
        facts.chain.filter((pl.col(f"{side}_symbol") == tradingsymbol) & (pl.col(f"{side}_status") == RowStatus.LIVE))
        .unique("ms", keep="first")
        .select(
            "ms",
            hour=(pl.col("ms") - facts.midnight_ms) / 3_600_000,
            **{name: pl.col(f"{side}_{name}").cast(pl.Float64) for name in ("ltp", "bid", "ask")},
        )
        for side in ("call", "put")
    ]
    return pl.concat(found).sort("ms")


def pnl_line(facts: DayFacts) -> Line:
    """Rupees by minute: closed trades after charges, open trades at the last collected price."""
    trades = facts.ledger.trades
    if not trades:
        return Line(np.empty(0), np.empty(0), "")
    stamps = set(range(facts.session.open_ms, facts.session.close_ms + 1, MINUTE_MS))
    stamps.update(time_ms for trade in trades for time_ms in (trade.entry_ms, trade.exit_ms) if time_ms)
    times = np.array(sorted(stamps), dtype=np.int64)
    total = np.zeros(len(times))
    for trade in trades:
        total += _trade_value(facts, trade, times)
    return Line((times - facts.midnight_ms) / 3_600_000, total / 100, "net")


def _trade_value(facts: DayFacts, trade: TradeRecord, times: NDArray[np.int64]) -> Floats:
    prices = contract_prices(facts, trade.tradingsymbol).drop_nulls("ltp").filter(pl.col("ms") > trade.entry_ms)
    known_at = np.concatenate(([trade.entry_ms], prices["ms"].to_numpy()))
    known = np.concatenate(([float(trade.entry_paise)], prices["ltp"].to_numpy() * 100))
    last = known[np.maximum(np.searchsorted(known_at, times, side="right") - 1, 0)]
    value = np.where(times >= trade.entry_ms, (last - trade.entry_paise) * trade.quantity, 0.0)
    if trade.exit_ms:
        return np.where(times >= trade.exit_ms, float(trade.net_pnl_paise), value)
    # What was sold of an open trade keeps its price; the rest is worth the last one.
    sold_at = [
        order.updated_ms
        for order in facts.ledger.orders
        if order.trade_id == trade.trade_id and order.purpose is Purpose.EXIT and order.filled_quantity
    ]
    sold = (trade.exit_paise - trade.entry_paise) * (trade.quantity - trade.open_quantity)
    rest = (last - trade.entry_paise) * trade.open_quantity + sold
    return np.where(times >= max([trade.entry_ms, *sold_at]), rest, value)


def coverage(minutes: pl.DataFrame, day: date) -> list[Band]:
    """Return one band per expiry, nearest first, of a row for each expected contract-minute (`account`).

    A pair of call and put shows the one that ended worse; what was not expected is `NOT_EXPECTED`.
    """
    if minutes.is_empty():
        return []
    stamps = minutes["minute"].dt.timestamp("ms")
    first_ms, last_ms = int(stamps.min()), int(stamps.max())  # type: ignore[arg-type]
    states = minutes.select(
        "expiry",
        "strike",
        place=(stamps - first_ms) // MINUTE_MS,
        state=pl.col("account").replace_strict(STATES, default=len(STATES), return_dtype=pl.UInt8),
    )
    midnight_ms = at(day, time())
    span = ((first_ms - midnight_ms) / 3_600_000, (last_ms + MINUTE_MS - midnight_ms) / 3_600_000)
    bands = []
    for (expiry,), own in sorted(states.group_by("expiry"), key=lambda item: item[0]):
        strikes = own["strike"].unique().sort()
        grid = np.full((len(strikes), (last_ms - first_ms) // MINUTE_MS + 1), NOT_EXPECTED, dtype=np.uint8)
        worst = own.group_by("strike", "place").agg(pl.col("state").max())
        grid[strikes.search_sorted(worst["strike"]), worst["place"]] = worst["state"]
        bands.append(Band(f"{expiry:%d %b}", tuple(strikes.to_list()), *span, grid))
    return bands


def chain_cuts(facts: DayFacts, underlying: str) -> list[Cut]:
    """The nearest expiry at up to four live moments: the first, the last and evenly between."""
    live = (pl.col("call_status") == RowStatus.LIVE) & (pl.col("put_status") == RowStatus.LIVE)
    rows = (
        facts.chain.lazy()
        .filter((pl.col("index") == underlying) & live & pl.col("forward").is_not_null())
        .select("ms", "expiry", "strike", "forward", "call_oi", "put_oi", "call_iv", "put_iv")
        .collect()
    )
    if rows.is_empty():
        return []
    expiry = rows["expiry"].min()
    assert isinstance(expiry, date)
    nearest = rows.filter(pl.col("expiry") == expiry)
    stamps = nearest["ms"].unique().sort().to_list()
    places = sorted({round(place) for place in np.linspace(0, len(stamps) - 1, _CUTS)})
    cuts = []
    for time_ms in (stamps[place] for place in places):
        at_time = nearest.filter(pl.col("ms") == time_ms).unique("strike", keep="first").sort("strike")
        otm = pl.when(pl.col("strike") >= pl.col("forward")).then("call_iv").otherwise("put_iv")
        chosen = at_time.select("strike", "call_oi", "put_oi", otm_iv=otm.cast(pl.Float64).fill_null(float("nan")))
        cuts.append(Cut(ist_clock(time_ms)[:5], expiry, float(at_time["forward"][0]), chosen))
    return cuts
