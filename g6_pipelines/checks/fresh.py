"""At any time: is the newest day there that should be, and while the market trades its newest cycle?"""

from collections.abc import Collection, Sequence

import dagster as dg

from g6_core.domain.checks import Check
from g6_core.domain.errors import G6Error
from g6_pipelines.assets.session import option_chain
from g6_pipelines.checks.judge import answer
from g6_pipelines.partitions import by_day
from g6_pipelines.resources import G6Resource


@dg.asset_check(asset=option_chain)
def chain_is_fresh(context: dg.AssetCheckExecutionContext, g6: G6Resource) -> dg.AssetCheckResult:
    """The newest trading day that is over is complete, and during a session its newest cycle is of now.

    Whatever day a run is about: a day that nobody has collected has no run that could tell. Of the indices it asks
    about those of the run, without partitions about all that are configured and that the market has.
    """
    run = context.op_execution_context
    has_partitions = run.has_partition_key or run.has_partition_key_range
    own = {name for names in by_day(run.partition_keys).values() for name in names} if has_partitions else set()
    try:
        return answer(_fresh(g6, own or set(g6.site.indices)))
    except G6Error as error:
        return answer([("now", Check("readable", False, str(error), {}))])


def _fresh(g6: G6Resource, wanted: Collection[str]) -> Sequence[tuple[str, Check]]:
    from g6_pipelines.places import market_now
    from g6_pipelines.stages.fresh import fresh_checks

    now = market_now()
    if now is None:
        said = "no exchange runs, so no day can be missing"
        return [("now", Check("no_market", True, said, {}))]
    only = None if now.has_tomorrow else now.day
    found = [
        (name, check)
        for name in g6.site.indices
        if name in wanted and (now.indices is None or name in now.indices)
        for check in fresh_checks(g6.site, name, now.time_ms, only)
    ]
    elsewhere = f"the market that runs has none of {', '.join(sorted(wanted))}, so no day of it can be missing"
    return found or [("now", Check("no_market", True, elsewhere, {}))]
