"""At the end of the evening: the lakes are compacted, and the day goes into the archive."""

from typing import Any

import dagster as dg

from g6_core.site import Day
from g6_pipelines.assets.evening import data_reconciliation, day_report
from g6_pipelines.assets.publish import publish, table
from g6_pipelines.assets.ranged import ranged_asset
from g6_pipelines.assets.repair import GROUP, chain_repair, expiry_capture
from g6_pipelines.partitions import selected
from g6_pipelines.resources import G6Resource, one_line

FILES_SHOWN = 100


@ranged_asset(GROUP, deps=[data_reconciliation], kinds={"parquet"})
def compacted_lake(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """The rows of the day as Parquet, compared row by row with the stream they were collected into, which stays."""
    from g6_core.adapters.compaction import compact_lake
    from g6_core.adapters.lake import read_lake

    for day in g6.days(context):
        with one_line():
            path = compact_lake(day.lake)
            rows = read_lake(day.lake, ("timestamp",)).height
        figures: dict[str, Any] = {"path": dg.MetadataValue.path(path.resolve()), "rows": rows}
        figures["bytes"] = path.stat().st_size
        if day.lake.exists():
            figures["stream_bytes"] = day.lake.stat().st_size
        publish(context, day, figures)


@ranged_asset(GROUP, deps=[compacted_lake, chain_repair, expiry_capture, day_report], kinds={"s3"})
def day_archive(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Everything of the day in the configured archive, read back and compared; one manifest for all indices."""
    from g6_pipelines.stages.archive import archive_day, configured_store

    site = g6.site
    for day, names in selected(context).items():
        if site.settings.archive is None:
            figures: dict[str, Any] = {"archived": "no: archive.enabled is false"}
        else:
            with one_line():
                found = archive_day(configured_store(site.settings), site, day)
            made = found.manifest
            largest = sorted(made.files, key=lambda one: -one.bytes)[:FILES_SHOWN]
            figures = {
                "archived": found.line(),
                "complete": "yes" if made.complete else "NO",
                "files": len(made.files),
                "bytes": made.bytes,
                "sent": found.sent,
                "where": f"{found.where}/{day}",
                "sha256": made.sha256,
                "largest": table(("file", "bytes", "sha256"), ((one.path, one.bytes, one.sha256) for one in largest)),
            }
        for name in names:
            publish(context, Day(site, day, name), figures)
