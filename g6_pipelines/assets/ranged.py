"""Assets that take a range of days in one run: `--partition-range` in a shell, one run of a backfill in the UI.

A range is one of days and one of indices, in the configuration's order: `2026-11-17|NIFTY...2026-11-19|NIFTY` is three
days of NIFTY, `2026-11-17|NIFTY...2026-11-19|SENSEX` three days of all indices from NIFTY to SENSEX.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from g6_pipelines.partitions import DAY_INDEX


def ranged_asset(
    group: str, deps: Sequence[dg.AssetsDefinition], kinds: set[str]
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with the partitions of every asset and one run for as many of them as are asked for."""

    def make(compute: Callable[..., Any]) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            # The policy is in beta in Dagster 1.13; a test holds what it does here.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.asset(
                partitions_def=DAY_INDEX,
                group_name=group,
                deps=list(deps),
                kinds=kinds,
                backfill_policy=dg.BackfillPolicy.single_run(),
            )(compute)

    return make
