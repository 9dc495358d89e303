"""What a defect of recorded snapshots is, and one day and index of snapshots prepared for finding them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property

import numpy as np
import polars as pl

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import MINUTE_MS, ist_text
from g6_pipelines.collection.snapshots import FIGURES, Snapshots

SIDES = ("call", "put")
KEYS = ["time_ms", "expiry", "strike"]


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


class Part:
    """One day and index: rows ordered by time, expiry and strike."""

    def __init__(self, day: date, index: str, rows: pl.DataFrame, source: Snapshots, rules: MarketRules) -> None:
        self.day, self.index, self.rows, self.source, self.rules = day, index, rows, source, rules
        self.session: Session | None = None
        self.no_session = ""
        try:
            self.session = rules.session(day, rules.index(index).option_exchange)
        except (CalendarError, UserError) as why:
            self.no_session = str(why)
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
        return self._prints("spot", *(f"{side}_{name}" for side in SIDES for name in FIGURES))

    @cached_property
    def prices(self) -> list[frozenset[int]]:
        """Per snapshot, a fingerprint of each of its rows' last prices and open interest."""
        return self._prints(*(f"{side}_{name}" for side in SIDES for name in ("ltp", "oi")))

    @cached_property
    def traded(self) -> list[bool]:
        """Per snapshot, whether it shows any volume: Kite sets volume back to 0 over night and keeps price and OI."""
        volume = pl.sum_horizontal(pl.col("call_volume", "put_volume").fill_null(0.0)).sum() > 0
        return self.rows.group_by("time_ms", maintain_order=True).agg(volume.alias("traded"))["traded"].to_list()

    def _prints(self, *figures: str) -> list[frozenset[int]]:
        prints = self.rows.select("expiry", "strike", *figures).hash_rows(seed=0).to_numpy()
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
            yield from self.found(kind, rows.height, of, "rows", row_text(rows.row(0, named=True)) + extra)

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
                said = f"{row_text(example)} {side}: {text.format(**example)}"
                if first is None or example["time_ms"] < first[0]:
                    first = (example["time_ms"], said)
        if first is not None:
            yield from self.found(kind, count, 2 * self.session_rows.height, "sides", first[1])


def row_text(row: dict[str, object]) -> str:
    """``2026-01-22 04:22:00 2026-01-27 28100``: stamp (IST), expiry, strike."""
    assert isinstance(row["time_ms"], int), "rows with a stamp only"
    return f"{ist_text(row['time_ms'])} {row['expiry']} {row['strike']:g}"
