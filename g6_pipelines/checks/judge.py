"""Turns the checks of the stages into results that Dagster shows: one answer a run, every partition named."""

import textwrap
from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg

from g6_core.domain.checks import Check, failed
from g6_core.domain.errors import G6Error
from g6_pipelines.assets.publish import table
from g6_pipelines.partitions import INDICES, by_day

# More would not be read; the table below it has everything.
SAID_MAX = 300
Judge = Callable[[date, str], Sequence[Check]]


def judged(
    context: dg.AssetCheckExecutionContext,
    judge: Judge,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Ask `judge` about every selected partition; what cannot be read has not passed."""
    found: list[tuple[str, Check]] = []
    for day, names in by_day(_partitions(context)).items():
        for name in names:
            found += [(f"{day} {name}", check) for check in _asked(judge, day, name)]
    bad = failed(check for _, check in found)
    return dg.AssetCheckResult(
        passed=not bad,
        severity=severity,
        description=_said(found, bad),
        metadata={
            "compared": len(found),
            "failed": len(bad),
            "found": table(
                ("partition", "check", "passed", "found"),
                ((where, one.name, "yes" if one.passed else "NO", one.detail) for where, one in found),
            ),
        },
    )


def _said(found: Sequence[tuple[str, Check]], bad: Sequence[Check]) -> str:
    """The line that the UI shows without a click: what failed first, or what was found, as far as there is room."""
    if bad:
        worst = f"{bad[0].name}: {bad[0].detail}"
        return worst if len(bad) == 1 else f"{len(bad)} failed, first {worst}"
    # A run of one partition shows its name already.
    several = len({where for where, _ in found}) > 1
    said = dict.fromkeys(f"{where}: {one.detail}" if several else one.detail for where, one in found if one.detail)
    line = f"{len(found)} compared, all agree"
    return textwrap.shorten("; ".join((line, *said)), SAID_MAX, placeholder=" ...")


def _partitions(context: dg.AssetCheckExecutionContext) -> Sequence[str]:
    """The partitions of the run; a check that is run alone looks at what the newest run of its asset made."""
    run = context.op_execution_context
    if run.has_partition_key_range or run.has_partition_key:
        return run.partition_keys
    (key,) = run.assets_def.check_keys
    records = context.instance.fetch_materializations(key.asset_key, limit=len(INDICES)).records
    return sorted(one.partition_key for one in records if one.run_id == records[0].run_id and one.partition_key)


def _asked(judge: Judge, day: date, name: str) -> Sequence[Check]:
    try:
        return judge(day, name)
    except G6Error as error:
        return (Check("readable", False, str(error), {}),)
