"""At the end of the evening: does the compacted lake hold the stream's rows, and can the day be restored?"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from g6_core.domain.checks import Check
from g6_core.site import Day
from g6_pipelines.assets.archive import compacted_lake, day_archive
from g6_pipelines.checks.judge import judged, partition_check
from g6_pipelines.resources import G6Resource


@partition_check(compacted_lake)
def compacted_equals_stream(day: Day) -> Sequence[Check]:
    """The compacted form has the rows of the stream in the same batches, as long as there is a stream."""
    from g6_core.adapters.lake import lake_batches, read_lake
    from g6_core.adapters.lake_parquet import batch_sizes, parquet_of, read_rows

    stream = day.lake
    compacted = parquet_of(stream)
    rows, sizes = read_rows(compacted, None), batch_sizes(compacted)
    if not stream.exists():
        return (Check("compacted", True, f"{rows.height} rows, the stream is gone", {"rows": rows.height}),)
    same = rows.equals(read_lake(stream), null_equal=True) and sizes == [one.height for one in lake_batches(stream)]
    said = f"{rows.height} rows, {'equal' if same else 'NOT equal'}"
    return (Check("compacted", same, said, {"rows": rows.height, "batches": len(sizes)}),)


@dg.asset_check(asset=day_archive)
def archive_restores(context: dg.AssetCheckExecutionContext, g6: G6Resource) -> dg.AssetCheckResult:
    """The day is restored from the archive into an empty folder; what is restored accounts for the same minutes."""
    from dataclasses import replace
    from functools import lru_cache
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from g6_core.schema.archive import ArchivedAccount
    from g6_core.schema.paths import DataPaths
    from g6_pipelines.stages.accounting import account_day
    from g6_pipelines.stages.archive import configured_store, restore_day

    site = g6.site

    @lru_cache(maxsize=1)
    def restored(day: date) -> dict[str, tuple[bool, str]]:
        with TemporaryDirectory() as folder:
            manifest, count = restore_day(configured_store(site.settings), day, Path(folder))
            elsewhere, found = replace(site, paths=DataPaths(Path(folder))), {}
            for name, kept in manifest.accounts.items():
                again = account_day(Day(elsewhere, day, name)).day
                same = kept == ArchivedAccount(again.complete, again.line())
                found[name] = same, f"{count} files restored; {again.line()}" if same else f"became {again.line()}"
            return found

    def judge(day: Day) -> Sequence[Check]:
        if site.settings.archive is None:
            return (Check("archive_off", True, "the archive is not turned on", {}),)
        same, said = restored(day.date).get(day.index, (False, f"nothing of {day.index} is in the archive"))
        return (Check("restored", same, said, {}),)

    return judged(context, g6, judge)
