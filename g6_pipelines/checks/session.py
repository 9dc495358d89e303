"""During the session: was enough seen, and does what was seen make sense?"""

from collections.abc import Sequence

from g6_core.domain.checks import Check
from g6_core.site import Day
from g6_pipelines.assets.session import index_overview, option_chain
from g6_pipelines.checks.judge import WARN, partition_check

# Below this share of live contract-minutes somebody has to look; picks refuse a chain below half.
COVERAGE_MIN_PCT = 80.0


@partition_check(option_chain, blocking=True)
def chain_is_sound(day: Day) -> Sequence[Check]:
    """What trading on would cost money: another schema, time that goes back, cycles that come twice, a holiday's data
    or a repeated snapshot, stamps that are not of their cycle, impossible figures, broken parity, an impossible
    forward, prices of another instrument or expiry."""
    from g6_pipelines.stages.chain import sound_checks

    return sound_checks(day)


@partition_check(option_chain, severity=WARN)
def chain_is_ordinary(day: Day) -> Sequence[Check]:
    """What somebody should look at: crossed, one-sided and wide quotes, falling volume, jumps of open interest,
    an early end."""
    from g6_pipelines.stages.chain import odd_checks

    return odd_checks(day)


@partition_check(option_chain)
def coverage_is_enough(day: Day) -> Sequence[Check]:
    """Live contract-minutes as a share of those expected, and cycles with a spot of those of the session."""
    from g6_core.adapters.lake import read_lake
    from g6_pipelines.stages.accounting import account_day
    from g6_pipelines.stages.sanity import spot_coverage

    # Expected is what the session and the universe say, so a minute that left no row lacks all its contracts.
    found = account_day(day).day
    live_pct = 100 * found.live / found.expected if found.expected else 0.0
    said = f"{live_pct:.2f} % of {found.expected:,} contract-minutes live, {COVERAGE_MIN_PCT:.0f} % wanted"
    rows = read_lake(day.lake, ("timestamp", "spot"))
    return (
        Check("coverage", live_pct >= COVERAGE_MIN_PCT, said, {"coverage_pct": round(live_pct, 4)}),
        spot_coverage(rows, len(day.cycles), COVERAGE_MIN_PCT),
    )


@partition_check(option_chain, blocking=True)
def spot_is_sane(day: Day) -> Sequence[Check]:
    """Whenever options are live there is a spot, which moves, does not jump, and stays near the options' forward."""
    from g6_pipelines.stages.sanity import spot_checks

    return spot_checks(day.lake)


@partition_check(index_overview)
def overview_has_every_cycle(day: Day) -> Sequence[Check]:
    """One line a cycle of the session in every overview file."""
    wanted = len(day.cycles)
    found = {str(code): _lines(day, str(code)) for code in day.settings.expiry_codes}
    return [
        Check(code, lines == wanted, f"{lines} of {wanted} cycles", {"lines": lines}) for code, lines in found.items()
    ]


def _lines(day: Day, code: str) -> int:
    """Rows of an overview file, its header not counted."""
    path = day.site.paths.csv_overview(day.index, code, day.date)
    return len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.exists() else 0
