"""What is wrong with recorded option-chain snapshots: each defect found, named, counted, with its first example. Pure.

Nothing here decides whether a defect is bad enough to stop anything; who asks (a command, a check) does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date, ist_text
from g6_pipelines.collection.snapshots import FIGURES, Snapshots

SIDES = ("call", "put")
# A silence is longer than this many usual distances between snapshots of that day.
SILENCE_FACTOR = 2
LAG_MS = MINUTE_MS
# A jump of open interest from one snapshot to the next: at least this share of it and this many lots.
OI_JUMP_SHARE, OI_JUMP_LOTS = 0.5, 1_000
# Distance of strike + call - put from the chain's forward, as part of it: another contract's price; a doubtful one.
WRONG_PRICE_SHARE, PARITY_SHARE = 0.10, 0.01
FORWARD_PAIRS_MIN = 5


class DefectKind(StrEnum):
    """Names of the defects; the comment of each is what is counted."""

    MIXED_FORMATS = "mixed_formats"  # ways in which stamps or headers are written, where there are several
    INCOMPLETE_ROWS = "incomplete_rows"  # rows without stamp, index, expiry or strike
    NO_SPOT = "no_spot"  # rows whose index value is null or 0
    NO_TOUCH = "no_touch"  # rows of a schema without bid and ask
    NO_VOLUME = "no_volume"  # rows without volume
    DUPLICATE_ROWS = "duplicate_rows"  # rows beyond the first of a stamp, expiry and strike
    NO_TRADING_DAY = "no_trading_day"  # snapshots of a day without a session
    OUT_OF_SESSION = "out_of_session"  # snapshots before the open or from the close on
    EARLIER_DAY = "data_of_an_earlier_day"  # snapshots that show the day before
    REPEATED_CONTENT = "repeated_content"  # snapshots of the session equal to the one before in every figure
    REPEATED_STAMP = "repeated_stamp"  # snapshots whose own stamp is that of the one before
    LATE_STAMP = "late_stamp"  # snapshots whose own stamp is a minute or more older than their collection
    STARTS_LATE = "starts_late"  # minutes from the open to the first snapshot
    SILENCE = "silence"  # distances between snapshots of the session longer than twice the usual
    ENDS_EARLY = "ends_early"  # minutes from the last snapshot to the close
    MINUTES_MISSING = "minutes_missing"  # minutes of the session without a snapshot
    EXPIRED = "expired_contracts"  # rows of contracts that had expired before that day
    CROSSED = "crossed_quotes"  # sides of rows whose bid is not below the ask
    ZERO_QUOTES = "zero_quotes"  # sides of rows without bid or ask
    VOLUME_FALLS = "volume_falls"  # sides of rows whose day's volume is below that of the snapshot before
    BLANK = "blank_rows"  # sides of rows without price, volume and open interest whose contract had a price before
    OI_JUMPS = "oi_jumps"  # sides of rows whose open interest jumps
    BROKEN_LOTS = "broken_lots"  # sides of rows whose volume or open interest is not whole lots
    WRONG_PRICE = "wrong_instrument_price"  # rows whose prices break parity as only another contract's do
    PARITY = "parity_distance"  # rows off parity by more than 1 %, wrong ones not counted again


@dataclass(frozen=True, slots=True)
class Defect:
    """`count` of `of` things (`unit`) have the defect on that day and index; `example` is the first, in words.

    `day` is None and `index` empty for what concerns the whole file, or rows that do not tell.
    """

    kind: DefectKind
    day: date | None
    index: str
    count: int
    of: int
    unit: str
    example: str


@dataclass(frozen=True, slots=True)
class DayCount:
    """What there is of one day and index: rows, snapshots, snapshots within the session."""

    day: date
    index: str
    rows: int
    snapshots: int
    in_session: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything found: defects by day and index in the order of `DefectKind`, and what was looked at."""

    kind: str
    days: tuple[DayCount, ...]
    defects: tuple[Defect, ...]

    def total(self, kind: DefectKind) -> int:
        """Count of a defect over all days and indices."""
        return sum(defect.count for defect in self.defects if defect.kind is kind)


def inspect(snapshots: Snapshots, rules: MarketRules) -> Inspection:
    """All defects of recorded snapshots, of every day and index in them."""
    keys = pl.all_horizontal(pl.col("time_ms", "index", "expiry", "strike").is_not_null())
    defects = [*_formats(snapshots), *_incomplete(snapshots.frame.filter(~keys.fill_null(False)), snapshots.frame.height)]
    rows = snapshots.frame.filter(keys)
    days: list[DayCount] = []
    before: dict[str, frozenset[int]] = {}
    for part in _parts(rows, snapshots, rules):
        days.append(part.counted())
        defects += [found for judge in JUDGES for found in judge(part, before.get(part.index))]
        before[part.index] = part.contents[-1]
    order = list(DefectKind)
    defects.sort(key=lambda one: (order.index(one.kind), one.day or date.min, one.index))
    return Inspection(snapshots.kind, tuple(days), tuple(defects))


class _Part:
    """One day and index: rows ordered by time, expiry and strike."""

    def __init__(self, day: date, index: str, rows: pl.DataFrame, source: Snapshots, rules: MarketRules) -> None:
        self.day, self.index, self.rows, self.source, self.rules = day, index, rows, source, rules
        self.session: Session | None = None
        try:
            self.session = rules.session(day, rules.index(index).option_exchange)
        except (CalendarError, UserError):
            self.session = None
        self.times_ms: list[int] = rows["time_ms"].unique().sort().to_list()

    @cached_property
    def open_times_ms(self) -> list[int]:
        """Snapshots within the session."""
        session = self.session
        return [] if session is None else [at for at in self.times_ms if session.open_ms <= at < session.close_ms]

    @cached_property
    def session_rows(self) -> pl.DataFrame:
        """Rows from the open on, one per stamp, expiry and strike: before it stands the day before."""
        start = self.session.open_ms if self.session else self.times_ms[-1] + 1
        return self.rows.filter(pl.col("time_ms") >= start).unique(KEYS, keep="first", maintain_order=True)

    @cached_property
    def contents(self) -> list[frozenset[int]]:
        """Per snapshot, a fingerprint of each of its rows without the times."""
        figures = [f"{side}_{name}" for side in SIDES for name in FIGURES]
        prints = self.rows.select("expiry", "strike", "spot", *figures).hash_rows(seed=0).to_numpy()
        starts = np.searchsorted(self.rows["time_ms"].to_numpy(), self.times_ms)
        return [frozenset(one.tolist()) for one in np.split(prints, starts[1:])]

    @cached_property
    def usual_gap_ms(self) -> float:
        """Median distance between snapshots of the session; a minute where there are not two."""
        return float(np.median(np.diff(self.open_times_ms))) if len(self.open_times_ms) > 1 else float(MINUTE_MS)

    def counted(self) -> DayCount:
        """How much there is."""
        return DayCount(self.day, self.index, self.rows.height, len(self.times_ms), len(self.open_times_ms))

    def found(self, kind: DefectKind, count: int, of: int, unit: str, example: str) -> Iterator[Defect]:
        """The defect, where it is there at all."""
        if count:
            yield Defect(kind, self.day, self.index, count, of, unit, example)

    def found_rows(self, kind: DefectKind, rows: pl.DataFrame, of: int, extra: str = "") -> Iterator[Defect]:
        """A defect of whole rows."""
        if rows.height:
            yield from self.found(kind, rows.height, of, "rows", _row_text(rows.row(0, named=True)) + extra)

    def sides(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """(side, session rows with that side's figures by their plain names)."""
        for side in SIDES:
            yield side, self.session_rows.rename({f"{side}_{name}": name for name in FIGURES})

    def found_sides(
        self, kind: DefectKind, where: pl.Expr, text: str, columns: tuple[tuple[str, pl.Expr], ...] = ()
    ) -> Iterator[Defect]:
        """A defect of one side of session rows; `text` is filled from the first such row."""
        count, first = 0, None
        for side, rows in self.sides():
            hit = rows.with_columns(values.alias(name) for name, values in columns).filter(where)
            count += hit.height
            if hit.height:
                example = hit.row(0, named=True)
                said = f"{_row_text(example)} {side}: {text.format(**example)}"
                if first is None or example["time_ms"] < first[0]:
                    first = (example["time_ms"], said)
        if first is not None:
            yield from self.found(kind, count, 2 * self.session_rows.height, "sides", first[1])


KEYS = ["time_ms", "expiry", "strike"]
Judge = Callable[[_Part, frozenset[int] | None], Iterator[Defect]]


def _parts(rows: pl.DataFrame, source: Snapshots, rules: MarketRules) -> Iterator[_Part]:
    day = (pl.from_epoch("time_ms", "ms").dt.convert_time_zone("Asia/Kolkata")).dt.date()
    ordered = rows.with_columns(day.alias("day")).sort("day", "index", "time_ms", "expiry", "strike")
    for (on, index), part in ordered.group_by("day", "index", maintain_order=True):
        assert isinstance(on, date), "the key is the day"
        yield _Part(on, str(index), part, source, rules)


def _formats(snapshots: Snapshots) -> Iterator[Defect]:
    for what, count, example in (
        ("formats", len(snapshots.formats), ", ".join(f"{form} ({n})" for form, n in snapshots.formats.items())),
        ("headers", snapshots.headers, f"{snapshots.headers} different header lines"),
    ):
        if count > 1:
            yield Defect(DefectKind.MIXED_FORMATS, None, "", count, count, what, example)


def _incomplete(rows: pl.DataFrame, of: int) -> Iterator[Defect]:
    day = (pl.from_epoch("time_ms", "ms").dt.convert_time_zone("Asia/Kolkata")).dt.date()
    for (on, index), part in rows.with_columns(day.alias("day")).group_by("day", "index", maintain_order=True):
        lacking = [name for name in ("time_ms", "index", "expiry", "strike") if part[name][0] is None]
        assert on is None or isinstance(on, date), "the key is the day"
        example = f"without {', '.join(lacking).replace('time_ms', 'stamp')}"
        if part["time_ms"][0] is not None:
            example = f"{ist_text(part['time_ms'][0])} {example}"
        yield Defect(DefectKind.INCOMPLETE_ROWS, on, str(index or ""), part.height, of, "rows", example)


def _missing_figures(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    rows, of = part.rows, part.rows.height
    lacking = rows.filter(pl.col("spot").is_null() | (pl.col("spot") <= 0))
    why = "" if part.source.has_spot else ": the schema has no index value"
    yield from part.found_rows(DefectKind.NO_SPOT, lacking, of, why)
    if not part.source.has_touch:
        yield from part.found_rows(DefectKind.NO_TOUCH, rows, of, ": the schema has no bid, ask and sizes")
    without = rows.filter(pl.col("call_volume").is_null() | pl.col("put_volume").is_null())
    yield from part.found_rows(DefectKind.NO_VOLUME, without, of)


def _duplicates(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    extra = part.rows.filter(pl.int_range(pl.len()).over(KEYS) > 0)
    if extra.height:
        differing = part.rows.unique().height - part.rows.unique(KEYS).height
        text = f"; {differing} of them differ from the first" if differing else "; all are exact copies"
        yield from part.found_rows(DefectKind.DUPLICATE_ROWS, extra, part.rows.height, text)


def _sessions(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    times, inside = part.times_ms, part.open_times_ms
    if part.session is None:
        text = f"{ist_text(times[0])}: no session of {part.index} on a {part.day:%A}"
        yield from part.found(DefectKind.NO_TRADING_DAY, len(times), len(times), "snapshots", text)
    outside = sorted(set(times) - set(inside))
    if outside:
        yield from part.found(
            DefectKind.OUT_OF_SESSION, len(outside), len(times), "snapshots", f"{ist_text(outside[0])} IST"
        )


def _staleness(part: _Part, before: frozenset[int] | None) -> Iterator[Defect]:
    times, contents = part.times_ms, part.contents
    repeated = [place for place in range(1, len(times)) if contents[place] == contents[place - 1]]
    inside = set(part.open_times_ms)
    in_session = [place for place in repeated if times[place] in inside]
    if in_session:
        text = f"{ist_text(times[in_session[0]])} is {ist_clock(times[in_session[0] - 1])} again"
        yield from part.found(DefectKind.REPEATED_CONTENT, len(in_session), len(inside), "snapshots", text)
    stamps = part.rows.group_by("time_ms", maintain_order=True).agg(pl.col("source_ms").max())["source_ms"].to_list()
    old = [place for place, stamp in enumerate(stamps) if stamp is not None and ist_date(stamp) < part.day]
    if not any(stamps):
        old = [place for place in range(len(times)) if contents[place] == before]
    if old:
        shown = ist_text(stamps[old[0]]) if stamps[old[0]] is not None else "the last snapshot before that day"
        text = f"{ist_text(times[old[0]])} shows {shown}"
        yield from part.found(DefectKind.EARLIER_DAY, len(old), len(times), "snapshots", text)
    same = [place for place in range(1, len(stamps)) if stamps[place] is not None and stamps[place] == stamps[place - 1]]
    if same:
        equal = len(set(same) & set(repeated))
        text = f"{ist_text(times[same[0]])} is stamped {ist_clock(stamps[same[0]])} again; {equal} of them equal in content"
        yield from part.found(DefectKind.REPEATED_STAMP, len(same), len(times), "snapshots", text)
    lags = [at - stamp for at, stamp in zip(times, stamps, strict=True) if stamp is not None and ist_date(stamp) == part.day]
    late = sum(lag >= LAG_MS for lag in lags)
    if late:
        text = f"own stamps lag {min(lags) / 1000:.0f} to {max(lags) / 1000:.0f} s behind the collection"
        yield from part.found(DefectKind.LATE_STAMP, late, len(lags), "snapshots", text)


def _completeness(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    session, inside = part.session, part.open_times_ms
    if session is None:
        return
    patience_ms = SILENCE_FACTOR * part.usual_gap_ms
    minutes = {(at - session.open_ms) // MINUTE_MS for at in inside}
    if inside and inside[0] - session.open_ms > patience_ms:
        late = (inside[0] - session.open_ms) // MINUTE_MS
        text = f"first snapshot at {ist_clock(inside[0])}"
        yield from part.found(DefectKind.STARTS_LATE, late, session.minutes, "minutes", text)
    gaps = np.diff(inside)
    silent = np.flatnonzero(gaps > patience_ms)
    if len(silent):
        longest = int(silent[np.argmax(gaps[silent])])
        text = (
            f"{gaps[silent].min() / 1000:.0f} to {gaps[longest] / 1000:.0f} s where {part.usual_gap_ms / 1000:.0f} s are "
            f"usual, the longest until {ist_clock(inside[longest + 1])}"
        )
        yield from part.found(DefectKind.SILENCE, len(silent), len(gaps), "distances", text)
    last = part.times_ms[-1]
    if session.close_ms - last > patience_ms:
        early = (session.close_ms - max(last, session.open_ms)) // MINUTE_MS
        text = f"last snapshot at {ist_clock(last)}"
        yield from part.found(DefectKind.ENDS_EARLY, early, session.minutes, "minutes", text)
    lacking = [minute for minute in range(session.minutes) if minute not in minutes]
    if lacking:
        text = f"{ist_clock(session.open_ms + lacking[0] * MINUTE_MS)[:5]}; {len(inside)} snapshots in {len(minutes)} minutes"
        yield from part.found(DefectKind.MINUTES_MISSING, len(lacking), session.minutes, "minutes", text)


def _expired(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    yield from part.found_rows(DefectKind.EXPIRED, part.rows.filter(pl.col("expiry") < part.day), part.rows.height)


def _quotes(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    if not part.source.has_touch:
        return
    bid, ask = pl.col("bid").fill_null(0.0), pl.col("ask").fill_null(0.0)
    yield from part.found_sides(DefectKind.CROSSED, (bid > 0) & (ask > 0) & (bid >= ask), "bid {bid:g}, ask {ask:g}")
    yield from part.found_sides(DefectKind.ZERO_QUOTES, (bid <= 0) | (ask <= 0), "bid {bid}, ask {ask}")


def _counts(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    """Volume and open interest from one snapshot of a contract to its next."""
    if part.session_rows.is_empty():
        return
    over = ("expiry", "strike")
    earlier = (("was", pl.col("volume").shift().over(over)),)
    fell = pl.col("volume") < pl.col("was")
    yield from part.found_sides(DefectKind.VOLUME_FALLS, fell, "volume {volume:g} after {was:g}", earlier)
    earlier = (("was", pl.col("ltp").shift().over(over)),)
    nothing = pl.sum_horizontal(pl.col("ltp", "volume", "oi").fill_null(0.0)) == 0
    yield from part.found_sides(DefectKind.BLANK, nothing & (pl.col("was") > 0), "nothing after {was:g}", earlier)
    lots = _lots(part)
    lot = pl.col("expiry").replace_strict(lots, default=None, return_dtype=pl.Float64)
    counted_in = pl.lit(1.0) if part.source.in_lots else lot
    earlier = (("was", pl.col("oi").shift().over(over)), ("unit", counted_in))
    step = (pl.col("oi") - pl.col("was")).abs()
    jump = (step > OI_JUMP_SHARE * pl.col("was")) & (step >= OI_JUMP_LOTS * pl.col("unit")) & (pl.col("was") > 0)
    yield from part.found_sides(DefectKind.OI_JUMPS, jump, "open interest {oi:g} after {was:g}", earlier)
    broken = ((pl.col("oi") % pl.col("unit")) != 0) | ((pl.col("volume") % pl.col("unit")) != 0)
    text = "volume {volume}, open interest {oi}, in lots of {unit:g}"
    yield from part.found_sides(DefectKind.BROKEN_LOTS, broken, text, (("unit", counted_in),))


def _lots(part: _Part) -> dict[date, float]:
    lots: dict[date, float] = {}
    for expiry in part.rows["expiry"].unique().to_list():
        try:
            lots[expiry] = float(part.rules.lot_size(part.index, part.day, expiry))
        except (CalendarError, UserError):
            continue
    return lots


def _prices(part: _Part, _: frozenset[int] | None) -> Iterator[Defect]:
    """Strike + call - put against the median of the snapshot's chain, over the whole day: pre-open prices can be wrong too."""
    call, put = _price("call", part.source.has_touch), _price("put", part.source.has_touch)
    pairs = part.rows.with_columns(call.alias("call"), put.alias("put")).filter((pl.col("call") > 0) & (pl.col("put") > 0))
    if not part.source.has_touch:
        # The last price of a contract that has not traded today is of another day and another index level.
        pairs = pairs.filter(pl.all_horizontal(pl.col("call_volume", "put_volume").fill_null(1.0) > 0))
    pairs = pairs.with_columns((pl.col("strike") + pl.col("call") - pl.col("put")).alias("implied"))
    chain = pl.col("implied").median().over("time_ms", "expiry")
    pairs = pairs.with_columns(chain.alias("forward"), pl.len().over("time_ms", "expiry").alias("pairs"))
    pairs = pairs.filter(pl.col("pairs") >= FORWARD_PAIRS_MIN)
    share = ((pl.col("implied") - pl.col("forward")) / pl.col("forward")).abs()
    for kind, where in (
        (DefectKind.WRONG_PRICE, share > WRONG_PRICE_SHARE),
        (DefectKind.PARITY, (share > PARITY_SHARE) & (share <= WRONG_PRICE_SHARE)),
    ):
        hit = pairs.filter(where)
        if hit.height:
            row = hit.row(0, named=True)
            text = f": call {row['call']:g}, put {row['put']:g} where the chain's forward is {row['forward']:.0f}"
            yield from part.found_rows(kind, hit, pairs.height, text)


def _price(side: str, has_touch: bool) -> pl.Expr:
    """Middle of the touch; the last price where the record has no touch at all."""
    if not has_touch:
        return pl.col(f"{side}_ltp")
    bid, ask = pl.col(f"{side}_bid"), pl.col(f"{side}_ask")
    return pl.when((bid > 0) & (ask > bid)).then((bid + ask) / 2)


def _row_text(row: dict[str, object]) -> str:
    """``2026-01-22 04:22:00 2026-01-27 28100``: stamp (IST), expiry, strike."""
    assert isinstance(row["time_ms"], int), "rows with a stamp only"
    return f"{ist_text(row['time_ms'])} {row['expiry']} {row['strike']:g}"


JUDGES: tuple[Judge, ...] = (
    _missing_figures,
    _duplicates,
    _sessions,
    _staleness,
    _completeness,
    _expired,
    _quotes,
    _counts,
    _prices,
)
