"""At any time: is the newest day there that should be, and while the market trades its newest cycle?"""

from collections.abc import Sequence

import dagster as dg

from g6_core.domain.checks import Check
from g6_core.domain.errors import G6Error
from g6_pipelines.assets.session import option_chain
from g6_pipelines.checks.judge import answer
from g6_pipelines.resources import G6Resource


@dg.asset_check(asset=option_chain)
def chain_is_fresh(g6: G6Resource) -> dg.AssetCheckResult:
    """The newest trading day that is over is complete, and during a session its newest cycle is of now.

    Whatever partition a run is about: a day that nobody has collected has no run that could tell.
    """
    try:
        return answer(_fresh(g6))
    except G6Error as error:
        return answer([("now", Check("readable", False, str(error), {}))])


def _fresh(g6: G6Resource) -> Sequence[tuple[str, Check]]:
    from g6_core.domain.ist import SECOND_MS
    from g6_pipelines.places import market_now
    from g6_pipelines.stages.fresh import fresh_checks

    now = market_now()
    if now is None:
        said = "no exchange runs, so no day can be missing"
        return [("now", Check("no_market", True, said, {}))]
    interval_ms = g6.settings.collection.interval_s * SECOND_MS
    only = None if now.has_tomorrow else now.day
    return [
        (name, check)
        for name in g6.settings.indices
        for check in fresh_checks(g6.paths, g6.rules, interval_ms, name, now.time_ms, only)
    ]


CHECKS = (chain_is_fresh,)
