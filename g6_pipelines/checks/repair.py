"""After the close: is every minute accounted for, are the repairs what the broker said, is what expires kept?"""

from collections.abc import Sequence

from g6_core.domain.checks import Check
from g6_core.site import Day
from g6_pipelines.assets.repair import chain_repair, expiry_capture
from g6_pipelines.checks.judge import partition_check

EXAMPLES_MAX = 3


@partition_check(chain_repair)
def every_minute_is_accounted(day: Day) -> Sequence[Check]:
    """Every expected minute of every contract is live, repaired or known to have had no trade."""
    from g6_pipelines.stages.accounting import account_day

    found = account_day(day).day
    return (Check("accounted", found.complete, found.line(), found.counts()),)


@partition_check(chain_repair, blocking=True)
def repairs_are_sound(day: Day) -> Sequence[Check]:
    """The archived answers match their hashes, their candles are possible, the repaired minutes follow."""
    from g6_core.adapters.candle_archive import damaged_answers, kept_answers
    from g6_pipelines.collection.judges import candles_possible
    from g6_pipelines.stages.accounting import account_day
    from g6_pipelines.stages.repair import repaired_bytes

    found, path = account_day(day), day.repaired
    damaged = damaged_answers(kept_answers(day.answers))
    # A day that could not be asked about has no such file, and nothing that would have to be in it.
    kept = path.read_bytes() if path.exists() else repaired_bytes(day.index, found.minutes.clear())
    same = kept == repaired_bytes(day.index, found.minutes)
    return (
        Check("answers_match_hash", not damaged, _named(damaged, "answers changed"), {"damaged": len(damaged)}),
        candles_possible(found.minutes.with_columns(timestamp="minute")),
        Check("repairs_follow", same, f"{path.name} {'follows' if same else 'does not follow'} from them", {}),
    )


@partition_check(expiry_capture, blocking=True)
def every_strike_is_captured(day: Day) -> Sequence[Check]:
    """The broker has answered for every listed contract that expires on the day, up to its last minute; the answers
    match their hashes and their candles are possible."""
    from g6_core.adapters.candle_archive import damaged_answers, kept_answers, read_answers
    from g6_pipelines.collection.judges import candles_possible
    from g6_pipelines.stages.capture import answers_of, candles_follow, captured

    found = captured(day)
    if found is None:
        return (Check("captured", True, "no contract of the index expires on this day", {"contracts": 0}),)
    figures = {"contracts": found.contracts, "missing": len(found.missing)}
    missing = _named(found.missing, f"of {found.contracts} contracts missing")
    files = [day.expired / file for file in ("candles.parquet", "dump.parquet")]
    lacking = [str(file) for file in files if not file.exists()]
    answers, damaged = read_answers(answers_of(day)), damaged_answers(kept_answers(answers_of(day)))
    same = candles_follow(day, answers)
    follows = f"{files[0].name} {'follows' if same else 'does not follow'} from the answers"
    return (
        Check("captured", not found.missing, missing, figures),
        Check("kept", not lacking, ", ".join(lacking) or "candles and dump are there", {"lacking": len(lacking)}),
        Check("answers_match_hash", not damaged, _named(damaged, "answers changed"), {"damaged": len(damaged)}),
        candles_possible(answers),
        Check("candles_follow", same, follows, {}),
    )


@partition_check(expiry_capture)
def captured_candles_add_up(day: Day) -> Sequence[Check]:
    """The captured candles of the last day hold what was traded of each contract, but for `completeness.shortfall_pct`;
    else the capture asks again. It stops nothing: what was answered is kept all the same."""
    from g6_pipelines.stages.capture import captured

    found = captured(day)
    if found is None:
        return (Check("added_up", True, "no contract of the index expires on this day", {"contracts": 0}),)
    said = _named(found.short, f"of {found.contracts} contracts have candles of less than was traded")
    return (Check("added_up", not found.short, said, {"contracts": found.contracts, "short": len(found.short)}),)


def _named(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{': ' if names else ''}{', '.join(names[:EXAMPLES_MAX])}"
