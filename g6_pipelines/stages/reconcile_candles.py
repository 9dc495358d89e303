"""The broker's candles beside what was collected: three checks over every contract-minute that both know."""

from collections import Counter
from datetime import date

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.lake import read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.ist import SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.candle_match import MATCH_COLUMNS, CandleMatch, Difference, match_candles
from g6_pipelines.stages.accounting import grid_of, interval_of
from g6_pipelines.stages.closing import read_closing

EXAMPLES_MAX = 5
# A contract that differs from its candles in more of its minutes than this, and in so many, is not that contract.
STRANGE_MAX_PCT = 5.0
STRANGE_MIN = 3


def reconcile_candles(
    paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str
) -> tuple[Check, ...]:
    """Named checks over the candles that `chain_repair` archived; differences are named by contract and minute.

    Prices and volumes must agree, open interest is told only. Where nothing was collected or answered one check says
    so. Raises CalendarError when `day` is no trading day, DataError when a file is damaged.
    """
    found = _match(paths, settings, rules, day, underlying)
    if not found.prices:
        said = "no minute has both a live quote and candles; materialise chain_repair while the contracts are listed"
        return (Check("candles_known", settings.collection.witnesses == 0, said, {"contracts": found.contracts}),)
    return (
        Check("candles_known", True, f"{found.contracts} contracts have candles", {"contracts": found.contracts}),
        _check("candle_prices", sum(found.prices.values()), found.price_differences),
        _check("candle_volumes", found.volumes, found.volume_differences),
        _check("candle_open_interest", found.open_interests, found.oi_differences, is_judged=False),
    )


def priced_by_candles(paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str) -> Check:
    """Whether each contract's prices are its own: one that leaves its candles again and again is another instrument.

    A single difference costs nothing and is named by `reconcile_candles`. Without candles nothing is judged.
    """
    found = _match(paths, settings, rules, day, underlying)
    wrong = Counter(one.symbol for one in found.price_differences)
    strange = [
        f"{symbol} in {count} of {found.prices[symbol]} minutes"
        for symbol, count in wrong.most_common()
        if count >= STRANGE_MIN and 100 * count > STRANGE_MAX_PCT * found.prices[symbol]
    ]
    said = f"{len(found.prices)} contracts are priced like their candles"
    if strange:
        said = f"{len(strange)} contracts are not priced like their candles: {'; '.join(strange[:EXAMPLES_MAX])}"
    return Check("priced_by_candles", not strange, said, {"contracts": len(found.prices), "wrong": len(strange)})


def _match(paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str) -> CandleMatch:
    lake, answers = read_lake(paths.lake(day, underlying), MATCH_COLUMNS), read_answers(paths.answers(day, underlying))
    interval_ms = interval_of(lake) or settings.collection.interval_s * SECOND_MS
    grid = grid_of(rules, day, underlying, lake["expiry"].drop_nulls().unique(), interval_ms)
    return match_candles(lake, answers, grid, read_closing(paths, day, underlying))


def _check(name: str, compared: int, differences: tuple[Difference, ...], *, is_judged: bool = True) -> Check:
    examples = "; ".join(str(one) for one in differences[:EXAMPLES_MAX])
    detail = f"{len(differences)} of {compared} differ: {examples}" if differences else f"all {compared} agree"
    passed = not differences or not is_judged
    return Check(name, passed, detail, {"compared": compared, "differences": len(differences)})
