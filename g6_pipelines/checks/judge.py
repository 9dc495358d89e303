"""Turns the checks of the stages into results that Dagster shows: one answer a run, every partition named."""

import textwrap
from collections.abc import Callable, Sequence

import dagster as dg

from g6_core.domain.checks import Check
from g6_core.domain.errors import G6Error
from g6_core.site import Day
from g6_pipelines.assets.publish import table
from g6_pipelines.partitions import by_day
from g6_pipelines.resources import G6Resource

# More would not be read; the table below it has everything.
SAID_MAX = 300
WARN = dg.AssetCheckSeverity.WARN
Judge = Callable[[Day], Sequence[Check]]


def partition_check(
    asset: dg.AssetsDefinition, *, blocking: bool = False, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> Callable[[Judge], dg.AssetChecksDefinition]:
    """Make what judges one partition a check of the asset, with its name and docstring; see `judged`."""

    def make(judge: Judge) -> dg.AssetChecksDefinition:
        def check(context: dg.AssetCheckExecutionContext, g6: G6Resource) -> dg.AssetCheckResult:
            return judged(context, g6, judge, severity)

        check.__name__, check.__doc__ = judge.__name__, judge.__doc__
        return dg.asset_check(asset=asset, blocking=blocking)(check)

    return make


def judged(
    context: dg.AssetCheckExecutionContext,
    g6: G6Resource,
    judge: Judge,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Ask `judge` about every selected partition; what cannot be read has not passed, nor has nothing at all."""
    site, partitions = g6.site, _partitions(context)
    days = [Day(site, day, name) for day, names in by_day(partitions).items() for name in names]
    found = [(f"{day.date} {day.index}", check) for day in days for check in _asked(judge, day)]
    return answer(found, severity, "nothing was compared" if partitions else "nothing was materialised")


def answer(
    found: Sequence[tuple[str, Check]],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    nothing: str = "nothing was compared",
) -> dg.AssetCheckResult:
    """One answer of checks by where they were made; where there are none it is `nothing`, and has not passed."""
    bad = [(where, check) for where, check in found if not check.passed]
    return dg.AssetCheckResult(
        passed=bool(found) and not bad,
        severity=severity,
        description=_said(found, bad) if found else nothing,
        metadata={
            "compared": len(found),
            "failed": len(bad),
            **_figures(found),
            "found": table(
                ("partition", "check", "passed", "found"),
                ((where, one.name, "yes" if one.passed else "NO", one.detail) for where, one in found),
            ),
        },
    )


def _said(found: Sequence[tuple[str, Check]], bad: Sequence[tuple[str, Check]]) -> str:
    """The line that the UI shows without a click: what failed first, or what was found, as far as there is room. It
    says of which day and index, since the UI shows the newest answer beside every partition."""
    if bad:
        where, first = bad[0]
        worst = f"{where}: {first.name}: {first.detail}"
        return worst if len(bad) == 1 else f"{len(bad)} failed, first {worst}"
    places = {where for where, _ in found}
    prefix = f"{next(iter(places))}: " if len(places) == 1 else ""
    said = dict.fromkeys(one.detail if prefix else f"{where}: {one.detail}" for where, one in found if one.detail)
    line = f"{prefix}{len(found)} compared, all agree"
    return textwrap.shorten("; ".join((line, *said)), SAID_MAX, placeholder=" ...")


def _partitions(context: dg.AssetCheckExecutionContext) -> Sequence[str]:
    """The partitions of the run; a check that is run alone looks at what the newest run of its asset made."""
    run = context.op_execution_context
    if run.has_partition_key_range or run.has_partition_key:
        return run.partition_keys
    (key,) = run.assets_def.check_keys
    newest = context.instance.fetch_materializations(key.asset_key, limit=1).records
    # What was made outside of a run is one of many that share no run.
    if not newest or not context.instance.has_run(newest[0].run_id):
        return [one.partition_key for one in newest if one.partition_key]
    made = context.instance.get_records_for_run(newest[0].run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    own = {one.partition_key for one in made.records if one.asset_key == key.asset_key}
    return sorted(one for one in own if one)


def _figures(found: Sequence[tuple[str, Check]]) -> dict[str, float | int]:
    """Numbers that the UI draws over runs: those of one partition, since of several it could draw none."""
    if len({where for where, _ in found}) != 1:
        return {}
    return {
        f"{one.name}_{name}": figure
        for _, one in found
        for name, figure in one.figures.items()
        if isinstance(figure, int | float)
    }


def _asked(judge: Judge, day: Day) -> Sequence[Check]:
    try:
        return judge(day)
    except G6Error as error:
        return (Check("readable", False, str(error), {}),)
