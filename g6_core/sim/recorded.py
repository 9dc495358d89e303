"""Market source `recorded`: a recorded option chain as a day to trade on, NSE's chain or snapshots taken from Kite.

Event time is the stamp of the collection. At a recorded snapshot the quotes are the record's last price, OI, volume
and, where it has them, bid, ask and touch sizes, exactly. Between two appearances of a contract at most 180 s apart
within the session they follow a seeded bridge (`g6_core.sim.bridge`) and carry the current second as stamp. In longer
silences, after the last snapshot and for a contract that vanished they are the last values with their old stamp;
before the first snapshot there is nothing.

Kite snapshots have no touch: `touch_kind` is ``modelled`` (`g6_core.sim.modelled_touch`), and the label says so.

An NSE chain has no index, Kite snapshots often have none: then its row shows the parity forward of the nearest expiry
(`spot_kind` is ``forward``), without book, volume and OI, and its previous close is the forward of the recorded closes.
An index that is there for at least half of the session's snapshots is shown as recorded (`spot_kind` is ``index``).
The open is the last price of the first snapshot at which a contract has traded; high and low start there and include
bridged trades; the average price is the volume-weighted mean of the recorded last prices.

Whose trades of a minute are known, and so have a candle, is another question than what is quoted: see
`RecordedSource.recorded_minutes`.
"""

from dataclasses import replace
from datetime import date
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.end_of_day import FINAL_AFTER_MS
from g6_core.domain.errors import DataError
from g6_core.domain.ist import MINUTE_MS, SECOND_MS
from g6_core.domain.market import QUOTE, TICK, ticks_of, touch_of
from g6_core.sim import bridge
from g6_core.sim.chain_day import ChainDay, no_session
from g6_core.sim.chain_nodes import PARITY_SPREAD_MAX, build_nodes
from g6_core.sim.dump import DUMP_LABEL, synthetic_book
from g6_core.sim.keys import key_of, stream
from g6_core.sim.recording import read_chain_day

GAP_MAX_S = 180
# A recorder looks once a minute and may be late by half of one. In longer gaps nobody saw what a minute was like.
RECORDED_GAP_MAX_S = 90
SPOT_SHARE_MIN = 0.5
MODELLED_TOUCH_LABEL = "recorded, touch modelled"
TRADING_DAYS_PER_YEAR = 252
# Median of the absolute value of a standard normal number.
NORMAL_MEDIAN = 0.6745
MOVES_MIN = 10


class RecordedSource:
    """A `MarketSource` over one index and day of a recording.

    `trade_date` and `underlying` default to the only ones in the file (days without trading do not count).
    Public beside the protocol: `snapshots_ms` (stamps of the record, ascending), `final_ms` (from when on it shows the
    state after the close, 0 for never), `spot_kind`, `touch_kind`, `dump_label` and `recorded_minutes`.
    Raises DataError, CalendarError or UserError as `g6_core.sim.recording.read_chain_day` does, and DataError for
    a record that no one could trade on: nothing within the session, or no forward there.
    """

    dump_label = DUMP_LABEL

    def __init__(
        self,
        path: Path,
        rules: MarketRules,
        trade_date: date | None = None,
        underlying: str | None = None,
        seed: int = 0,
    ) -> None:
        day = read_chain_day(path, rules, trade_date, underlying)
        self.trade_date = day.trade_date
        self.underlyings = (day.underlying,)
        self.instruments = synthetic_book(rules, day.trade_date, {day.underlying: day.grid.listing()})
        self.session = rules.index_session(day.underlying, day.trade_date)
        self.snapshots_ms = day.grid.stamps_ms
        self.final_ms = _final_ms(day.grid.stamps_ms, self.session)
        joined = _joined(day.grid.stamps_ms, self.session)
        if not joined.any():
            raise no_session(path, day.underlying, day.trade_date, self.session)
        day = _with_trusted_spot(day, joined)
        self.spot_kind = "forward" if day.spot_paise is None else "index"
        self.touch_kind = "recorded" if day.has_touch else "modelled"
        self.label = "recorded" if day.has_touch else MODELLED_TOUCH_LABEL
        rows = self.instruments.rows
        lots = np.array([row.lot_size for row in rows[1::2]], np.int64)
        built = build_nodes(day, lots, rows[1].tick_paise, rows[0].tick_paise, self.session.close_ms)
        _require_forward(day, joined, built.forward_paise)
        self._tokens = np.array([row.token for row in rows], np.int64)
        self._terms = np.zeros((len(rows), bridge.TERMS_WIDTH), np.int64)
        self._terms[:, bridge.KEY] = [key_of(seed, self.trade_date, row.token) for row in rows]
        self._terms[:, bridge.LOT] = [row.lot_size for row in rows]
        self._terms[:, bridge.TICK] = [row.tick_paise for row in rows]
        self._terms[:, bridge.CLOSE] = built.close_paise
        self._base_ms = int(day.grid.stamps_ms[0])
        self._stamps_s = (day.grid.stamps_ms - self._base_ms) // 1000
        seed_of_day = key_of(seed, self.trade_date, day.underlying)
        self._noise = _forward_noise(
            self._stamps_s, joined, built.forward_paise, built.sigma, self.session, seed_of_day
        )
        self._nodes = built.nodes
        # Of which tokens the newest minute of ticks is, from when, and the ticks that are known by second.
        self._minute: tuple[NDArray[np.int64], int, list[NDArray[np.void]]] = np.zeros(0, np.int64), 0, []
        # Before the open nothing changes, and that is no silence.
        hangs = built.repeats & (np.roll(day.grid.stamps_ms, 1) >= self.session.open_ms)
        self._seen = built.volume_known & ~hangs
        self._present, self._joined = built.present, joined
        self._folded = np.zeros(len(rows), np.bool_)
        self._known_minutes: dict[int, tuple[tuple[int, int], ...]] = {}

    def quotes(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """QUOTE rows for `tokens`, in their order; see the module for what they are at any time."""
        return self._filled(tokens, time_ms, bridge.ALL)

    def ticks(self, tokens: NDArray[np.int64], time_ms: int) -> NDArray[np.void]:
        """TICK rows of those of `tokens` that have data; a whole second is read from a minute made at once."""
        if time_ms % SECOND_MS or not len(tokens):
            return ticks_of(self._filled(tokens, time_ms, bridge.TOUCH))
        for_tokens, first_ms, minute = self._minute
        if for_tokens is not tokens or not first_ms <= time_ms < first_ms + MINUTE_MS:
            first_ms, seconds = time_ms, self._seconds(tokens, time_ms)
            known = seconds["exchange_ms"] > 0
            minute = (
                list(seconds) if known.all() else [ticks[there] for ticks, there in zip(seconds, known, strict=True)]
            )
            self._minute = tokens, first_ms, minute
        return minute[(time_ms - first_ms) // SECOND_MS]

    def _seconds(self, tokens: NDArray[np.int64], first_ms: int) -> NDArray[np.void]:
        """TICK rows of a minute, by second and token; stamp 0 where there are no data."""
        self._fold(tokens)
        seconds = MINUTE_MS // SECOND_MS
        out = np.zeros((seconds * len(tokens), bridge.QUOTE_WIDTH), np.int64)
        bridge.fill_seconds(
            np.require(tokens, np.int64, ("C", "W")),
            first_ms,
            self._base_ms,
            self._stamps_s,
            self._tokens,
            self._terms,
            self._nodes,
            self._noise,
            out,
        )
        return touch_of(out).reshape(seconds, len(tokens))

    def _fold(self, tokens: NDArray[np.int64]) -> None:
        """Complete the nodes of contracts that are asked for; most of a recorded chain never is."""
        places = np.searchsorted(self._tokens, tokens)
        places = places[places < len(self._tokens)]
        if not self._folded[places].all():
            lacking = np.unique(places[~self._folded[places]])
            bridge.fold_record(
                lacking,
                self._nodes,
                self._present,
                self._stamps_s,
                self._joined,
                GAP_MAX_S,
                self._terms,
                self._noise,
            )
            self._folded[lacking] = True

    def _filled(self, tokens: NDArray[np.int64], time_ms: int, detail: int) -> NDArray[np.void]:
        self._fold(tokens)
        out = np.zeros(len(tokens), QUOTE)
        bridge.fill_quotes(
            np.require(tokens, np.int64, ("C", "W")),
            time_ms,
            self._base_ms,
            self._stamps_s,
            self._tokens,
            self._terms,
            self._nodes,
            self._noise,
            out.view(np.int64).reshape(len(tokens), bridge.QUOTE_WIDTH),
            detail,
        )
        return out

    def series(self, token: int, moments_ms: range) -> NDArray[np.void]:
        """TICK rows of one token, one per moment, without its touch."""
        out, asked = np.zeros(len(moments_ms), TICK), np.array([token], np.int64)
        self._fold(asked)
        bridge.fill_series(
            asked,
            np.arange(moments_ms.start, moments_ms.stop, moments_ms.step, dtype=np.int64),
            self._base_ms,
            self._stamps_s,
            self._tokens,
            self._terms,
            self._nodes,
            self._noise,
            out.view(np.int64).reshape(len(moments_ms), bridge.TICK_WIDTH),
        )
        return out

    def recorded_minutes(self, token: int) -> tuple[tuple[int, int], ...]:
        """Return the minutes of the session whose trades the record knows, as spans of first and last minute (ms).

        Such a minute lies between snapshots with the contract that are at most `RECORDED_GAP_MAX_S` apart. The open
        counts as one where the first snapshot comes within its minute: nothing was traded before. A snapshot without
        the contract's volume does not count, nor one that shows the whole chain as the one before: there the source
        hung. A record that has no volume at all knows no minute of an option.
        """
        place = int(np.searchsorted(self._tokens, token))
        if place == len(self._tokens) or self._tokens[place] != token:
            return ()
        if place not in self._known_minutes:
            self._fold(self._tokens[place : place + 1])
            self._known_minutes[place] = known_minutes(
                self._base_ms, self._stamps_s, self._nodes[place], self._seen[place], self.session
            )
        return self._known_minutes[place]


def known_minutes(
    base_ms: int, stamps_s: NDArray[np.int64], nodes: NDArray[np.int32], seen: NDArray[np.bool_], session: Session
) -> tuple[tuple[int, int], ...]:
    """Return `RecordedSource.recorded_minutes` of one contract's completed nodes, by the snapshots `seen` of it."""
    first_s, minutes = (session.open_ms - base_ms) // SECOND_MS, (session.close_ms - session.open_ms) // MINUTE_MS
    known = np.zeros(60 * minutes, np.bool_)
    shown = np.flatnonzero((nodes[:, bridge.TIME_S] == stamps_s) & seen)
    times = stamps_s[shown]
    inside = times[times >= first_s]
    if len(inside) and inside[0] - first_s < 60:
        known[: inside[0] - first_s] = True
    following = nodes[:, bridge.NEXT].copy()
    for place in np.flatnonzero(~seen)[::-1]:
        following[following == place] = following[place]
    following = following[shown]
    starts_s, ends_s = times[following >= 0], stamps_s[following[following >= 0]]
    close = ends_s - starts_s <= RECORDED_GAP_MAX_S
    # Where stretches begin and end, so that their running sum counts those that a second lies in.
    edges_of = np.zeros(len(known) + 1, np.int64)
    for bounds_s, change in ((starts_s[close], 1), (ends_s[close], -1)):
        np.add.at(edges_of, np.clip(bounds_s - first_s, 0, len(known)), change)
    known |= np.cumsum(edges_of[:-1]) > 0
    whole = known.reshape(minutes, 60).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(np.int8)))
    return tuple(
        (session.open_ms + int(first) * MINUTE_MS, session.open_ms + (int(after) - 1) * MINUTE_MS)
        for first, after in edges.reshape(-1, 2)
    )


def _joined(stamps_ms: NDArray[np.int64], session: Session) -> NDArray[np.int64]:
    """1 where the market is open at a snapshot: only from there may prices move to the next one."""
    return ((stamps_ms >= session.open_ms) & (stamps_ms < session.close_ms)).astype(np.int64)


def _final_ms(stamps_ms: NDArray[np.int64], session: Session) -> int:
    """The first snapshot of what the day came to; 0 for a record that ends before."""
    later_ms = stamps_ms[stamps_ms >= session.close_ms + FINAL_AFTER_MS]
    return int(later_ms[0]) if len(later_ms) else 0


def _with_trusted_spot(day: ChainDay, joined: NDArray[np.int64]) -> ChainDay:
    """Without the index where fewer than half of the session's snapshots have it: a day has one kind of index row."""
    if day.spot_paise is None or np.isfinite(day.spot_paise[joined == 1]).mean() >= SPOT_SHARE_MIN:
        return day
    return replace(day, spot_paise=None)


def _require_forward(day: ChainDay, joined: NDArray[np.int64], forward_paise: NDArray[np.float64]) -> None:
    if not np.isfinite(forward_paise[joined == 1]).any():
        raise DataError(
            f"{day.path}: within the session of {day.trade_date} no snapshot has a two-sided pair at the money "
            f"(expiry {day.grid.expiries[0]}: call and put with bid below ask, together at most "
            f"{PARITY_SPREAD_MAX:.0%} of the strike wide); record call and put while the market is open"
        )


def _roughness(
    stamps_s: NDArray[np.int64], moving: NDArray[np.bool_], forward_paise: NDArray[np.float64], implied_paise: float
) -> float:
    """Standard deviation of the forward per square root of a second, in paise.

    From the median move between snapshots, which the day's few jumps do not inflate (the snapshots show those
    themselves). Implied volatility prices in nights and jumps; it only stands in where the record is too short.
    """
    moves = np.abs(np.diff(forward_paise)) / np.sqrt(np.diff(stamps_s))
    typical = moves[moving & np.isfinite(moves)]
    return float(np.median(typical) / NORMAL_MEDIAN) if len(typical) >= MOVES_MIN else implied_paise


def _forward_noise(
    stamps_s: NDArray[np.int64],
    joined: NDArray[np.int64],
    forward_paise: NDArray[np.float64],
    sigma: float,
    session: Session,
    seed: int,
) -> NDArray[np.float64]:
    """Displacement of the forward in paise for every second of the record: a Brownian bridge per interval.

    Zero at every snapshot and in silences, and as rough as the record itself (see `_roughness`).
    """
    noise = np.zeros(int(stamps_s[-1]) + 2)
    year_s = TRADING_DAYS_PER_YEAR * (session.close_ms - session.open_ms) / 1000
    moving = (joined[:-1] == 1) & (np.diff(stamps_s) <= GAP_MAX_S)
    step = _roughness(stamps_s, moving, forward_paise, np.nanmedian(forward_paise) * sigma / sqrt(year_s))
    for place in np.flatnonzero(moving):
        start, seconds = int(stamps_s[place]), int(stamps_s[place + 1] - stamps_s[place])
        walk = np.cumsum(stream(seed, "bridge", int(place)).standard_normal(seconds)) * step
        noise[start + 1 : start + seconds + 1] = walk - walk[-1] * np.arange(1, seconds + 1) / seconds
    return noise
