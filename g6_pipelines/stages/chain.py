"""The judges of a chain, on the lake of a day: those that must hold, and those that a market fails now and then."""

from g6_core.adapters.lake import lake_batches, lake_schema, read_lake
from g6_core.domain.checks import Check
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.site import Day
from g6_pipelines.collection.judges import JUDGED_COLUMNS, judge_chain, schema_is_ours

# Judges of what a market does now and then by itself.
ODD = ("not_crossed", "two_sided_near_the_money", "volume_grows", "open_interest_steady", "cycles_in_session")


def sound_checks(day: Day) -> tuple[Check, ...]:
    """What trading on would cost money, the spot's own checks (`sanity`) not included. DataError without a lake."""
    return tuple(one for one in _judged(day) if one.name not in ODD)


def odd_checks(day: Day) -> tuple[Check, ...]:
    """What somebody should look at. DataError when there is no lake."""
    return tuple(one for one in _judged(day) if one.name in ODD)


def _judged(day: Day) -> tuple[Check, ...]:
    first = next(lake_batches(day.lake), None)
    schema = schema_is_ours((read_lake(day.lake) if first is None else first).schema, lake_schema(OPTION_COLUMNS))
    if not schema.passed:
        return (schema,)
    rows = read_lake(day.lake, JUDGED_COLUMNS)
    return (schema, *judge_chain(rows, day.session, day.date, day.site.interval_ms))
