"""What is wrong with recorded option-chain snapshots: each defect found, named, counted, with its first example. Pure.

Nothing here decides whether a defect is bad enough to stop anything; who asks (a command, a check) does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import MINUTE_MS, ist_clock, ist_date, ist_text
from g6_pipelines.collection.part import KEYS, DayCount, Defect, DefectKind, Part
from g6_pipelines.collection.snapshots import Snapshots

# A silence is longer than this many usual distances between snapshots of that day.
SILENCE_FACTOR = 2
LAG_MS = MINUTE_MS
# A jump of open interest from one snapshot to the next: at least this share of it and this many lots.
OI_JUMP_SHARE, OI_JUMP_LOTS = 0.5, 1_000
# Distance of strike + call - put from the chain's forward, as part of it: another contract's price; a doubtful one.
WRONG_PRICE_SHARE, PARITY_SHARE = 0.10, 0.01
FORWARD_PAIRS_MIN = 5


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
    defects = [
        *_formats(snapshots),
        *_incomplete(snapshots.frame.filter(~keys.fill_null(False)), snapshots.frame.height),
    ]
    rows = snapshots.frame.filter(keys)
    days: list[DayCount] = []
    before: dict[str, Part] = {}
    for part in _parts(rows, snapshots, rules):
        days.append(part.counted())
        defects += [found for judge in JUDGES for found in judge(part, before.get(part.index))]
        before[part.index] = part
    order = list(DefectKind)
    defects.sort(key=lambda one: (order.index(one.kind), one.day or date.min, one.index))
    return Inspection(snapshots.kind, tuple(days), tuple(defects))


Judge = Callable[[Part, Part | None], Iterator[Defect]]


def _parts(rows: pl.DataFrame, source: Snapshots, rules: MarketRules) -> Iterator[Part]:
    day = (pl.from_epoch("time_ms", "ms").dt.convert_time_zone("Asia/Kolkata")).dt.date()
    ordered = rows.with_columns(day.alias("day")).sort("day", "index", "time_ms", "expiry", "strike")
    for (on, index), part in ordered.group_by("day", "index", maintain_order=True):
        assert isinstance(on, date), "the key is the day"
        yield Part(on, str(index), part, source, rules)


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


def _missing_figures(part: Part, _: Part | None) -> Iterator[Defect]:
    rows, of = part.rows, part.rows.height
    lacking = rows.filter(pl.col("spot").is_null() | (pl.col("spot") <= 0))
    why = "" if part.source.has_spot else ": the schema has no index value"
    yield from part.found_rows(DefectKind.NO_SPOT, lacking, of, why)
    if not part.source.has_touch:
        yield from part.found_rows(DefectKind.NO_TOUCH, rows, of, ": the schema has no bid, ask and sizes")
    without = rows.filter(pl.col("call_volume").is_null() | pl.col("put_volume").is_null())
    yield from part.found_rows(DefectKind.NO_VOLUME, without, of)


def _duplicates(part: Part, _: Part | None) -> Iterator[Defect]:
    extra = part.rows.filter(pl.int_range(pl.len()).over(KEYS) > 0)
    if extra.height:
        differing = part.rows.unique().height - part.rows.unique(KEYS).height
        text = f"; {differing} of them differ from the first" if differing else "; all are exact copies"
        yield from part.found_rows(DefectKind.DUPLICATE_ROWS, extra, part.rows.height, text)


def _sessions(part: Part, _: Part | None) -> Iterator[Defect]:
    times, inside = part.times_ms, part.open_times_ms
    if part.session is None:
        text = f"{ist_text(times[0])}: {part.no_session}"
        yield from part.found(DefectKind.NO_TRADING_DAY, len(times), len(times), "snapshots", text)
    outside = sorted(set(times) - set(inside))
    if outside:
        yield from part.found(
            DefectKind.OUT_OF_SESSION, len(outside), len(times), "snapshots", f"{ist_text(outside[0])} IST"
        )


def _staleness(part: Part, before: Part | None) -> Iterator[Defect]:
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
        old = _of_before(part, before)
    if old:
        stamp = stamps[old[0]]
        text = f"{ist_text(times[old[0]])} shows {ist_text(stamp) if stamp is not None else 'the day before'}"
        yield from part.found(DefectKind.EARLIER_DAY, len(old), len(times), "snapshots", text)
    same = [
        place for place in range(1, len(stamps)) if stamps[place] is not None and stamps[place] == stamps[place - 1]
    ]
    if same:
        equal = len(set(same) & set(repeated))
        again = f"{ist_text(times[same[0]])} is stamped {ist_clock(stamps[same[0]])} again"
        text = f"{again}; {equal} of them equal in content"
        yield from part.found(DefectKind.REPEATED_STAMP, len(same), len(times), "snapshots", text)
    lags = [
        at - stamp for at, stamp in zip(times, stamps, strict=True) if stamp is not None and ist_date(stamp) == part.day
    ]
    late = sum(lag >= LAG_MS for lag in lags)
    if late:
        text = f"own stamps lag {min(lags) / 1000:.0f} to {max(lags) / 1000:.0f} s behind the collection"
        yield from part.found(DefectKind.LATE_STAMP, late, len(lags), "snapshots", text)


def _of_before(part: Part, before: Part | None) -> list[int]:
    """Snapshots without stamps of their own that show an earlier day: all before the open, repetitions of the earlier
    day's last one, and of these. Where nothing has traded yet, the same prices and open interest are one."""
    open_ms = part.session.open_ms if part.session is not None else 0
    found: list[int] = []
    for place, at in enumerate(part.times_ms):
        again = before is not None and part.contents[place] == before.contents[-1]
        untouched = before is not None and not part.traded[place] and part.prices[place] == before.prices[-1]
        if at < open_ms or again or untouched or (found and part.contents[place] == part.contents[found[-1]]):
            found.append(place)
    return found


def _completeness(part: Part, _: Part | None) -> Iterator[Defect]:
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
            f"{gaps[silent].min() / 1000:.0f} to {gaps[longest] / 1000:.0f} s where {part.usual_gap_ms / 1000:.0f} s "
            f"are usual, the longest until {ist_clock(inside[longest + 1])}"
        )
        yield from part.found(DefectKind.SILENCE, len(silent), len(gaps), "distances", text)
    last = part.times_ms[-1]
    if session.close_ms - last > patience_ms:
        early = (session.close_ms - max(last, session.open_ms)) // MINUTE_MS
        text = f"last snapshot at {ist_clock(last)}"
        yield from part.found(DefectKind.ENDS_EARLY, early, session.minutes, "minutes", text)
    lacking = [minute for minute in range(session.minutes) if minute not in minutes]
    if lacking:
        first = ist_clock(session.open_ms + lacking[0] * MINUTE_MS)[:5]
        text = f"{first}; {len(inside)} snapshots in {len(minutes)} minutes"
        yield from part.found(DefectKind.MINUTES_MISSING, len(lacking), session.minutes, "minutes", text)


def _expired(part: Part, _: Part | None) -> Iterator[Defect]:
    yield from part.found_rows(DefectKind.EXPIRED, part.rows.filter(pl.col("expiry") < part.day), part.rows.height)


def _quotes(part: Part, _: Part | None) -> Iterator[Defect]:
    if not part.source.has_touch:
        return
    bid, ask = pl.col("bid").fill_null(0.0), pl.col("ask").fill_null(0.0)
    yield from part.found_sides(DefectKind.CROSSED, (bid > 0) & (ask > 0) & (bid >= ask), "bid {bid:g}, ask {ask:g}")
    yield from part.found_sides(DefectKind.ZERO_QUOTES, (bid <= 0) | (ask <= 0), "bid {bid}, ask {ask}")


def _counts(part: Part, _: Part | None) -> Iterator[Defect]:
    """Volume and open interest from one snapshot of a contract to its next."""
    if part.session_rows.is_empty():
        return
    over = ("expiry", "strike")
    volume = (("was", pl.col("volume").shift().over(over)),)
    fell = pl.col("volume") < pl.col("was")
    yield from part.found_sides(DefectKind.VOLUME_FALLS, fell, "volume {volume:g} after {was:g}", volume)
    price = (("was", pl.col("ltp").shift().over(over)),)
    nothing = pl.sum_horizontal(pl.col("ltp", "volume", "oi").fill_null(0.0)) == 0
    yield from part.found_sides(DefectKind.BLANK, nothing & (pl.col("was") > 0), "nothing after {was:g}", price)
    lots = _lots(part)
    lot = pl.col("expiry").replace_strict(lots, default=None, return_dtype=pl.Float64)
    counted_in = pl.lit(1.0) if part.source.in_lots else lot
    interest = (("was", pl.col("oi").shift().over(over)), ("unit", counted_in))
    step = (pl.col("oi") - pl.col("was")).abs()
    jump = (step > OI_JUMP_SHARE * pl.col("was")) & (step >= OI_JUMP_LOTS * pl.col("unit")) & (pl.col("was") > 0)
    yield from part.found_sides(DefectKind.OI_JUMPS, jump, "open interest {oi:g} after {was:g}", interest)
    broken = ((pl.col("oi") % pl.col("unit")) != 0) | ((pl.col("volume") % pl.col("unit")) != 0)
    text = "volume {volume}, open interest {oi}, in lots of {unit:g}"
    yield from part.found_sides(DefectKind.BROKEN_LOTS, broken, text, (("unit", counted_in),))


def _lots(part: Part) -> dict[date, float]:
    lots: dict[date, float] = {}
    for expiry in part.rows["expiry"].unique().to_list():
        try:
            lots[expiry] = float(part.rules.lot_size(part.index, part.day, expiry))
        except (CalendarError, UserError):
            continue
    return lots


def _prices(part: Part, _: Part | None) -> Iterator[Defect]:
    """Strike + call - put against the median of the snapshot's chain, before the open too: wrong is wrong."""
    call, put = _price("call", part.source.has_touch), _price("put", part.source.has_touch)
    pairs = part.rows.with_columns(call.alias("call"), put.alias("put")).filter(
        (pl.col("call") > 0) & (pl.col("put") > 0)
    )
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
