"""Reconciles the copy in InfluxDB: it holds the lake's rows, all their values, and nothing else of the day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from g6_core.adapters.influx import Influx, InfluxTarget, Series
from g6_core.adapters.lake import read_lake
from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError, StoreDown, UserError
from g6_core.domain.ist import ist_text
from g6_core.site import Day
from g6_pipelines.sinks.influx_copy import copied_of, where
from g6_pipelines.sinks.influx_points import ALWAYS, TAGS, TIME, Measurement, option_points, other_points
from g6_pipelines.stages.influx import CaughtUp, catch_up_influx
from g6_pipelines.stages.reconcile_data import EXAMPLES_MAX, KEPT_MAX, keep_differences

if TYPE_CHECKING:
    import polars as pl


def reconcile_influx(day: Day) -> tuple[Check, ...]:
    """Catch the copy up, then compare it with the lake by InfluxQL. No checks at all when Influx is off.

    Counts and every value of every point; differences name contract and minute. A store that is away or refuses is a
    failed check, not an error.
    """
    influx_settings = day.site.settings.influx
    if influx_settings is None:
        return ()
    try:
        (copied,) = catch_up_influx(day.site, day.date, (day.index,))
        with Influx(InfluxTarget.of(influx_settings)) as influx:
            found = _compare(influx, day, copied)
    except (StoreDown, UserError) as error:
        return (Check("influx_readable", False, str(error), {}),)
    lines = [f"{one.measurement}: {text}" for one in found for text in one.examples]
    keep_differences(day.site.paths.differences(day.date, f"{day.index}-influx"), lines)
    said = f"InfluxDB answers; {copied.sent} rows were still missing and have been sent"
    figures = {"sent": copied.sent}
    if copied.skipped:
        said += f"; {copied.skipped} points are older than what the bucket keeps: skipped, and not compared"
        figures["skipped"] = copied.skipped
    return (Check("influx_readable", True, said, figures), *(one.check() for one in found))


@dataclass(slots=True)
class _Compared:
    """One measurement: points counted on both sides, and what differs."""

    measurement: Measurement
    expected: int
    points: int = 0
    faults: int = 0
    examples: list[str] = field(default_factory=list)

    def fault(self, what: str, count: int = 1) -> None:
        self.faults += count
        if len(self.examples) < KEPT_MAX:
            self.examples.append(what)

    def check(self) -> Check:
        passed = self.faults == 0 and self.points == self.expected
        said = f"{self.points} points in InfluxDB, {self.expected} in the lake"
        if self.faults:
            said += f"; {self.faults} faults: {'; '.join(self.examples[:EXAMPLES_MAX])}"
        figures = {"points": self.points, "lake_points": self.expected, "faults": self.faults}
        return Check(f"influx_{self.measurement.removeprefix('g6_')}_match_lake", passed, said, figures)


def _compare(influx: Influx, day: Day, copy: CaughtUp) -> list[_Compared]:
    """Compare what the bucket keeps: points up to `beyond_ms` are too old for it."""
    import polars as pl

    rows = read_lake(day.lake)
    if rows.is_empty():
        raise DataError(f"{day.lake}: no collected rows; run the collect stage first")
    copied = copied_of(day)
    expected = {Measurement.OPTIONS: option_points(rows, copied.source), **other_points(rows, copied)}
    condition = where(day, copy.beyond_ms)
    if copy.beyond_ms:
        is_kept = pl.col(TIME).dt.timestamp("ms") > copy.beyond_ms
        expected = {name: points.filter(is_kept) for name, points in expected.items()}
    return [_measurement(influx, name, points, condition) for name, points in expected.items()]


def _measurement(influx: Influx, name: Measurement, points: "pl.DataFrame", condition: str) -> _Compared:
    """Compare series by series: those of the lake in full, others only have to be named."""
    found = _Compared(name, points.height)
    own = TAGS[name][2:]
    grouped = f" GROUP BY {', '.join(_quoted(tag) for tag in own)}" if own else ""
    counts = influx.query(f'SELECT count("{ALWAYS[name]}") FROM "{name}" WHERE {condition}{grouped}')
    counted = {tuple(one.tags[tag] for tag in own): int(one.rows[0][1]) for one in counts}
    found.points = sum(counted.values())
    wanted = {tuple(map(str, key)): part for key, part in _parts(points, own)}
    for key in sorted(counted.keys() - wanted.keys()):
        found.fault(f"{'/'.join(key)} is not in the lake", counted[key])
    for key, part in wanted.items():
        mine = "".join(f" AND {_quoted(tag)} = '{value}'" for tag, value in zip(own, key, strict=True))
        answer = influx.query(f'SELECT * FROM "{name}" WHERE {condition}{mine}')
        _series(found, "/".join(key) or name, part.drop(TAGS[name]), answer)
    return found


def _parts(points: "pl.DataFrame", tags: Sequence[str]) -> "Iterator[tuple[tuple[Any, ...], pl.DataFrame]]":
    if not tags:
        yield (), points
        return
    yield from points.partition_by(tags, as_dict=True, maintain_order=True).items()


def _series(found: _Compared, label: str, wanted: "pl.DataFrame", answer: Sequence[Series]) -> None:
    """Every time and every value of one series."""
    rows = _comparable(wanted)
    for row in rows.filter(rows[TIME].is_duplicated()).iter_rows(named=True):
        found.fault(f"{_contract(row, label)} at {ist_text(row[TIME])} IST is in the lake more than once")
    lake = rows.unique(TIME, keep="last").sort(TIME)
    copy = _frame_of(answer, lake.schema).sort(TIME)
    for times, what in (
        (lake.join(copy, on=TIME, how="anti"), "is not in InfluxDB"),
        (copy.join(lake, on=TIME, how="anti"), "is in InfluxDB only"),
    ):
        for row in times.iter_rows(named=True):
            found.fault(f"{_contract(row, label)} at {ist_text(row[TIME])} IST {what}")
    both, same = (one.join(other, on=TIME, how="semi") for one, other in ((lake, copy), (copy, lake)))
    for column in lake.columns:
        differs = both[column].ne_missing(same[column])
        for place in differs.arg_true():
            row = both.row(place, named=True)
            value = f"{column} is {same[column][place]}, in the lake {row[column]}"
            found.fault(f"{_contract(row, label, column)} at {ist_text(row[TIME])} IST: {value}")


def _comparable(points: "pl.DataFrame") -> "pl.DataFrame":
    """Times as milliseconds and dates as text, as InfluxDB has them."""
    import polars as pl

    return points.with_columns(pl.col(pl.Datetime).dt.timestamp("ms"), pl.col(pl.Date).cast(pl.String))


def _frame_of(answer: Sequence[Series], schema: "pl.Schema") -> "pl.DataFrame":
    """The rows of an answer with the columns of the lake; what was never written is null."""
    import polars as pl

    rows: list[list[Any]] = []
    for one in answer:
        place = {name: number for number, name in enumerate(one.columns)}
        numbers = [place.get("time" if name == TIME else name) for name in schema]
        rows += [[None if number is None else row[number] for number in numbers] for row in one.rows]
    return pl.DataFrame(rows, schema=schema, orient="row", strict=False)


def _contract(row: dict[str, Any], label: str, column: str = "") -> str:
    """The contract that a value belongs to, else both sides of the pair, else the series."""
    side = column.partition("_")[0]
    own = [row.get(f"{side}_symbol")] if side in ("call", "put") else [row.get("call_symbol"), row.get("put_symbol")]
    return "/".join(name for name in own if name) or label


def _quoted(name: str) -> str:
    return f'"{name}"'
