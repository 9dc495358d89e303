"""The broker's candles beside what was collected: three checks over every contract-minute that both know."""

from datetime import date

from g6_core.adapters.candle_archive import read_answers
from g6_core.adapters.lake import read_lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.ist import SECOND_MS
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.candle_match import MATCH_COLUMNS, Difference, Grid, match_candles

EXAMPLES_MAX = 5


def reconcile_candles(
    paths: DataPaths, settings: Settings, rules: MarketRules, day: date, underlying: str
) -> tuple[Check, ...]:
    """Named checks over the candles that `chain_repair` archived; differences are named by contract and minute.

    Prices and volumes must agree, open interest is told only. Where nothing was collected or answered one check says
    so. Raises CalendarError when `day` is no trading day, DataError when a file is damaged.
    """
    session = rules.session(day, rules.index(underlying).option_exchange)
    grid = Grid(session.open_ms, session.close_ms, settings.collection.interval_s * SECOND_MS)
    answers = read_answers(paths.answers(day, underlying))
    found = match_candles(read_lake(paths.lake(day, underlying), MATCH_COLUMNS), answers, grid)
    if not found.prices:
        said = (
            "no minute has both a live quote and the broker's candles; materialise chain_repair while they are listed"
        )
        return (Check("candles_known", settings.collection.witnesses == 0, said, {"contracts": found.contracts}),)
    return (
        Check("candles_known", True, f"{found.contracts} contracts have candles", {"contracts": found.contracts}),
        _check("candle_prices", found.prices, found.price_differences),
        _check("candle_volumes", found.volumes, found.volume_differences),
        _check("candle_open_interest", found.open_interests, found.oi_differences, is_judged=False),
    )


def _check(name: str, compared: int, differences: tuple[Difference, ...], *, is_judged: bool = True) -> Check:
    examples = "; ".join(str(one) for one in differences[:EXAMPLES_MAX])
    detail = f"{len(differences)} of {compared} differ: {examples}" if differences else f"all {compared} agree"
    passed = not differences or not is_judged
    return Check(name, passed, detail, {"compared": compared, "differences": len(differences)})
