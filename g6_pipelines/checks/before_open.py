"""Before the open: is the dump what the dated rules say, do the codes mean something, is the pack whole?"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from g6_core.domain.checks import Check
from g6_core.site import Day
from g6_pipelines.assets.before_open import day_pack, expiries, instruments
from g6_pipelines.checks.judge import judged
from g6_pipelines.resources import G6Resource


@dg.asset_check(asset=instruments, blocking=True)
def dump_agrees_with_rules(context: dg.AssetCheckExecutionContext, g6: G6Resource) -> dg.AssetCheckResult:
    """Index row, contracts, expiries, strikes, lots and ticks as the dated rules have them."""
    from g6_pipelines.stages.check_dump import check_dump
    from g6_pipelines.stages.prepare import stored_dump

    def judge(day: Day) -> Sequence[Check]:
        names = (day.index,)
        return check_dump(stored_dump(day.site, day.date, names).book, day.site.rules, day.date, names)

    return judged(context, g6, judge)


@dg.asset_check(asset=expiries)
def expiry_codes_resolved(context: dg.AssetCheckExecutionContext, g6: G6Resource) -> dg.AssetCheckResult:
    """Every configured code stands for a listed expiry that is not over. Only a warning: a chain may be short."""
    from g6_pipelines.stages.prepare import resolve_expiries, stored_dump

    def judge(day: Day) -> Sequence[Check]:
        dump = stored_dump(day.site, day.date, (day.index,))
        codes = resolve_expiries(dump, day.site.rules, day.date, (day.index,), "").indices[day.index].codes
        lacking = [str(code) for code in day.settings.expiry_codes if codes.get(code, date.min) < day.date]
        said = f"no listed expiry for {', '.join(lacking)}" if lacking else f"{len(codes)} codes"
        return (Check("expiry_codes", not lacking, said, {"lacking": len(lacking)}),)

    return judged(context, g6, judge, dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=day_pack, blocking=True)
def day_pack_sealed(context: dg.AssetCheckExecutionContext, g6: G6Resource) -> dg.AssetCheckResult:
    """The pack is of the day and of this configuration, matches its hash, and holds the index: it would arm."""

    def judge(day: Day) -> Sequence[Check]:
        pack = g6.pack(day.date)
        there = day.index in pack.indices and bool(pack.indices[day.index].instruments)
        said = (
            f"sealed as {pack.sha256[:12]}" if there else f"{day.index} is not in the pack; materialise its partition"
        )
        return (Check("day_pack", there, said, {"indices": len(pack.indices)}),)

    return judged(context, g6, judge)


CHECKS = (dump_agrees_with_rules, expiry_codes_resolved, day_pack_sealed)
