"""The judges of a chain, on the lake of a day: those that must hold, and those that a market fails now and then."""

from datetime import date

from g6_core.adapters.lake import lake_batches, lake_schema, read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.ist import SECOND_MS
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.judges import JUDGED_COLUMNS, judge_chain, schema_is_ours

# Judges of what a market does now and then by itself.
ODD = ("not_crossed", "two_sided_near_the_money", "volume_grows", "open_interest_steady", "cycles_in_session")


def sound_checks(
    paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str
) -> tuple[Check, ...]:
    """What trading on would cost money, the spot's own checks (`sanity`) not included. DataError without a lake."""
    return tuple(one for one in _judged(paths, settings, rules, day, underlying) if one.name not in ODD)


def odd_checks(
    paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str
) -> tuple[Check, ...]:
    """What somebody should look at. DataError when there is no lake."""
    return tuple(one for one in _judged(paths, settings, rules, day, underlying) if one.name in ODD)


def _judged(paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str) -> tuple[Check, ...]:
    path = paths.lake(day, underlying)
    first = next(lake_batches(path), None)
    schema = schema_is_ours((read_lake(path) if first is None else first).schema, lake_schema(OPTION_COLUMNS))
    if not schema.passed:
        return (schema,)
    rows = read_lake(path, JUDGED_COLUMNS)
    session = rules.session(day, rules.index(underlying).option_exchange)
    interval_ms = settings.collection.interval_s * SECOND_MS
    return (schema, *judge_chain(rows, session, day, interval_ms))
