"""Reconciles the collected data of a day: the lake and the CSV files tell the same story, minute by minute."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from g6_core.adapters.lake import read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError
from g6_core.domain.ist import SECOND_MS, utc_text
from g6_core.schema.options import OPTION_COLUMNS, OVERVIEW_COLUMNS, Kind, RowStatus
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    import polars as pl

EXAMPLES_MAX = 3


def reconcile_data(
    paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlyings: Sequence[str]
) -> tuple[Check, ...]:
    """Named checks: every file there, every minute once and in order, values and counts as in the lake.

    A lake that cannot be read is a failed check, not an error.
    """
    import polars as pl

    try:
        lake = read_lake(paths.lake(day), list(OPTION_COLUMNS))
    except DataError as error:
        return (Check("lake_readable", False, str(error), {"rows": 0}),)
    faults = _Faults()
    csv_rows = 0
    for underlying in underlyings:
        session = rules.session(day, rules.index(underlying).option_exchange)
        expected = range(session.open_ms, session.close_ms, settings.collection.interval_s * SECOND_MS)
        chain = lake.filter(pl.col("index") == underlying)
        for code in settings.indices[underlying].expiry_codes:
            of_code = chain.filter(pl.col("expiry_code") == code)
            for offset in settings.indices[underlying].offsets:
                path = paths.csv_options(underlying, code, offset, day)
                in_lake = of_code.filter(pl.col("offset") == offset)
                csv_rows += _compare_file(path, in_lake, expected, faults)
            _compare_overview(paths.csv_overview(underlying, code, day), of_code, expected, faults)
    return (
        Check("lake_readable", True, f"{len(lake)} rows in the lake", {"rows": len(lake)}),
        Check(
            "csv_row_count",
            csv_rows == len(lake),
            f"{csv_rows} CSV rows, {len(lake)} lake rows",
            {"csv_rows": csv_rows, "lake_rows": len(lake)},
        ),
        *faults.checks(),
    )


class _Faults:
    """What was found wrong, by check; every check is answered, also when nothing is wrong."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {
            name: []
            for name in ("csv_files_present", "csv_values_match_lake", "minutes_complete", "no_duplicates",
                         "time_monotone", "overview_matches_lake")
        }  # fmt: skip
        self.looked_at = 0

    def add(self, check: str, what: str) -> None:
        """Note one fault of a check."""
        self.found[check].append(what)

    def checks(self) -> tuple[Check, ...]:
        """One check each, with how many faults there were and the first few of them."""
        return tuple(
            Check(
                name,
                not faults,
                f"{len(faults)} faults: {'; '.join(faults[:EXAMPLES_MAX])}"
                if faults
                else f"{self.looked_at} files in order",
                {"faults": len(faults), "files": self.looked_at},
            )
            for name, faults in self.found.items()
        )


def _compare_file(path: Path, in_lake: "pl.DataFrame", expected: range, faults: _Faults) -> int:
    """Compare one options file with its lake rows; returns its number of rows."""
    rows = _read_csv(path, OPTION_COLUMNS, faults)
    if rows is None:
        return 0
    _check_times(path, rows, expected, faults)
    if not rows.equals(in_lake):
        differing = "row count"
        if len(rows) == len(in_lake):
            differing = ", ".join(
                name for name in OPTION_COLUMNS if not rows[name].equals(in_lake[name], null_equal=True)
            )
        faults.add("csv_values_match_lake", f"{path}: {differing} differ")
    return len(rows)


def _compare_overview(path: Path, of_code: "pl.DataFrame", expected: range, faults: _Faults) -> None:
    """Recount the live contracts and the open interest of each cycle from the lake."""
    import polars as pl

    rows = _read_csv(path, OVERVIEW_COLUMNS, faults)
    if rows is None:
        return
    _check_times(path, rows, expected, faults)
    live = {side: pl.col(f"{side}_status") == RowStatus.LIVE.value for side in ("call", "put")}
    recounted = of_code.group_by("timestamp", maintain_order=True).agg(
        contracts_live=(live["call"].sum() + live["put"].sum()).cast(pl.Int64),
        **{
            f"{side}_{name}": pl.when(live[side].any()).then(pl.col(f"{side}_{name}").filter(live[side]).sum())
            for side in ("call", "put")
            for name in ("oi", "volume")
        },
    )
    columns = recounted.columns
    if not rows.select(columns).equals(recounted):
        faults.add("overview_matches_lake", f"{path}: counts differ from the lake")


def _check_times(path: Path, rows: "pl.DataFrame", expected: range, faults: _Faults) -> None:
    times = rows["timestamp"].dt.timestamp("ms").to_list()
    unique = set(times)
    if len(unique) != len(times):
        faults.add("no_duplicates", f"{path}: {len(times) - len(unique)} repeated times")
    if any(later < earlier for earlier, later in pairwise(times)):
        faults.add("time_monotone", f"{path}: time goes back")
    lacking = [time_ms for time_ms in expected if time_ms not in unique]
    if lacking or len(unique) > len(expected):
        first = f", the first at {utc_text(lacking[0])}" if lacking else ""
        foreign = len(unique) - (len(expected) - len(lacking))
        faults.add("minutes_complete", f"{path}: {len(lacking)} cycles missing{first}, {foreign} not of this session")


def _read_csv(path: Path, columns: dict[str, Kind], faults: _Faults) -> "pl.DataFrame | None":
    """The file in the lake's types; None, and a fault, when it is not there or not readable."""
    import polars as pl

    types: dict[Kind, pl.DataType] = {
        Kind.TIME_MS: pl.String(),
        Kind.DATE: pl.Date(),
        Kind.TEXT: pl.String(),
        Kind.COUNT: pl.Int64(),
        Kind.RUPEES: pl.Float64(),
        Kind.NUMBER: pl.Float64(),
    }
    faults.looked_at += 1
    try:
        rows = pl.read_csv(path, schema={name: types[kind] for name, kind in columns.items()})
        return rows.with_columns(
            pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ms", time_zone="UTC")
            for name, kind in columns.items()
            if kind is Kind.TIME_MS
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        faults.add("csv_files_present", f"{path}: {str(error).splitlines()[0]}")
        return None
