"""Metadata of assets: figures, tables and pictures, on the partition they belong to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from g6_core.domain.checks import Check
from g6_core.site import Day
from g6_pipelines.partitions import partition_key


def publish(context: dg.AssetExecutionContext, day: Day, metadata: Mapping[str, Any]) -> None:
    """Attach metadata to the partition of a day; it says so where the day is provisional."""
    if provisional := day.site.rules.provisional(day.date):
        metadata = {**metadata, "provisional": provisional}
    context.add_asset_metadata(metadata, partition_key=partition_key(day.date, day.index))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A table for people; numbers stand right, and no rows at all are said to be none."""
    kept = [[_cell(cell) for cell in row] for row in rows]
    if not kept:
        return dg.MetadataValue.md("none")
    numeric = [all(row[place][1] for row in kept if row[place][0]) for place in range(len(columns))]
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
        *("| " + " | ".join(text for text, _ in row) + " |" for row in kept),
    ]
    return dg.MetadataValue.md("\n".join(lines))


def picture(data_uri: str | None, what: str) -> dict[str, dg.MarkdownMetadataValue]:
    """A picture under its name; nothing where there was nothing to draw."""
    return {what: dg.MetadataValue.md(f"![{what}]({data_uri})")} if data_uri else {}


def checks_table(checks: Iterable[Check]) -> dg.MarkdownMetadataValue:
    """Checks with what they found."""
    return table(
        ("check", "passed", "found"), ((one.name, "yes" if one.passed else "NO", one.detail) for one in checks)
    )


def _cell(value: object) -> tuple[str, bool]:
    """(text, is a number); unknown is empty. A bar would end the cell."""
    if value is None:
        return "", True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "/"), False
    return (f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"), True
