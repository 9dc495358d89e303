"""Columns of what is collected, as Dagster shows them: name, type and unit, from the one schema of lake and CSV."""

from collections.abc import Mapping

import dagster as dg

from g6_core.schema.options import Kind

_TYPES = {
    Kind.TIME_MS: "timestamp",
    Kind.DATE: "date",
    Kind.TEXT: "text",
    Kind.COUNT: "integer",
    Kind.RUPEES: "decimal",
    Kind.NUMBER: "decimal",
}
_BY_KIND = {Kind.TIME_MS: "UTC, to the millisecond", Kind.RUPEES: "rupees"}
# By the last word of the name: `call_oi`, `pcr_oi` and so on are told apart by their kind.
_BY_NAME = {
    (Kind.COUNT, "qty"): "units of the underlying",
    (Kind.COUNT, "volume"): "units of the underlying",
    (Kind.COUNT, "oi"): "units of the underlying",
    (Kind.COUNT, "offset"): "strikes above the money",
    (Kind.COUNT, "dte"): "calendar days to expiry",
    (Kind.COUNT, "expected"): "contracts",
    (Kind.COUNT, "live"): "contracts",
    (Kind.COUNT, "strikes"): "strikes that the overview is of: both sides live",
    (Kind.NUMBER, "iv"): "percent a year",
    (Kind.NUMBER, "delta"): "rupees per rupee of the underlying",
    (Kind.NUMBER, "gamma"): "delta per rupee of the underlying",
    (Kind.NUMBER, "theta"): "rupees per unit and calendar day",
    (Kind.NUMBER, "vega"): "rupees per unit and point of volatility",
    (Kind.NUMBER, "rho"): "rupees per unit and point of interest",
    (Kind.NUMBER, "expiry"): "minutes to the end of the expiry's last session",
    (Kind.NUMBER, "oi"): "puts to calls, by open interest",
    (Kind.NUMBER, "volume"): "puts to calls, by volume",
    (Kind.TEXT, "status"): "live, stale, missing, no_contract or closed",
    (Kind.TEXT, "reason"): "why there is no IV",
    (Kind.TEXT, "kind"): "index, or forward where there is no index",
}


def column_schema(columns: Mapping[str, Kind]) -> dict[str, dg.TableSchema]:
    """Metadata of an asset that consists of rows with these columns."""
    shown = [dg.TableColumn(name, _TYPES[kind], _unit(name, kind)) for name, kind in columns.items()]
    return {"dagster/column_schema": dg.TableSchema(shown)}


def _unit(name: str, kind: Kind) -> str | None:
    return _BY_KIND.get(kind) or _BY_NAME.get((kind, name.rpartition("_")[2]))
