"""Before the open: is the dump what the dated rules say, do the codes mean something, is the pack whole?"""

from collections.abc import Sequence
from datetime import date

from g6_core.domain.checks import Check
from g6_core.site import Day
from g6_pipelines.assets.before_open import day_pack, expiries, instruments
from g6_pipelines.checks.judge import WARN, partition_check
from g6_pipelines.resources import pack_of


@partition_check(instruments, blocking=True)
def dump_agrees_with_rules(day: Day) -> Sequence[Check]:
    """Index row, contracts, expiries, strikes, lots and ticks as the dated rules have them."""
    from g6_pipelines.stages.check_dump import check_dump
    from g6_pipelines.stages.prepare import stored_dump

    names = (day.index,)
    return check_dump(stored_dump(day.site, day.date, names).book, day.site.rules, day.date, names)


@partition_check(expiries, severity=WARN)
def expiry_codes_resolved(day: Day) -> Sequence[Check]:
    """Every configured code stands for a listed expiry that is not over. Only a warning: a chain may be short."""
    from g6_pipelines.stages.prepare import resolve_expiries, stored_dump

    dump = stored_dump(day.site, day.date, (day.index,))
    codes = resolve_expiries(dump, day.site.rules, day.date, (day.index,), "").indices[day.index].codes
    lacking = [str(code) for code in day.settings.expiry_codes if codes.get(code, date.min) < day.date]
    said = f"no listed expiry for {', '.join(lacking)}" if lacking else f"{len(codes)} codes"
    return (Check("expiry_codes", not lacking, said, {"lacking": len(lacking)}),)


@partition_check(day_pack, blocking=True)
def day_pack_sealed(day: Day) -> Sequence[Check]:
    """The pack is of the day and of this configuration, matches its hash, and holds the index: it would arm."""
    pack = pack_of(day.site, day.date)
    there = day.index in pack.indices and bool(pack.indices[day.index].instruments)
    said = f"sealed as {pack.sha256[:12]}" if there else f"{day.index} is not in the pack; materialise its partition"
    return (Check("day_pack", there, said, {"indices": len(pack.indices)}),)
