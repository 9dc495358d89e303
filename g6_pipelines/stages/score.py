"""After the close: what the strategies have earned so far, next-day picks, and one point of volatility history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.iv_history import record_iv
from g6_core.adapters.lake import read_lake
from g6_core.adapters.ledger import AuditEntry, Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.records import TradeRecord
from g6_core.domain.scoring import ScoreGates, StrategyScore, score_strategy, with_z_scores
from g6_core.schema.paths import DataPaths
from g6_core.schema.picks import PICKS_VERSION, SCORES_VERSION, IndexPicks, Picks, Scores
from g6_pipelines.stages.picks import CHAIN_COLUMNS, pick_index


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What the stage found; the same is in `paths.scores(day)` and `paths.picks(next_day)`."""

    day: date
    next_day: date
    scores: tuple[StrategyScore, ...]
    picks: dict[str, IndexPicks]

    @property
    def pick_count(self) -> int:
        """Contracts picked over all underlyings."""
        return sum(len(index.picks) for index in self.picks.values())


def score(
    paths: DataPaths,
    ledger: Ledger,
    settings: Settings,
    rules: MarketRules,
    day: date,
    underlyings: Sequence[str],
    *,
    gates: ScoreGates | None = None,
) -> ScoreReport:
    """Judge every strategy on all days up to `day` and pick strikes for the next trading day.

    Reads the ledger, the lake and the day pack of `day`; writes scores, picks and the day's at-the-money IV, each
    file as a whole. Running it again changes nothing. Raises DataError when the lake or the day pack is unusable.
    """
    gates = gates or ScoreGates()
    next_day = rules.next_trading_day(day)
    scores = _scores(ledger, settings, day, underlyings, gates)
    picks = _picks(paths, ledger, settings, rules, day, underlyings)
    sha256 = settings.config_sha256
    write_atomic(paths.scores(day), canonical_json(Scores(SCORES_VERSION, day, sha256, gates, scores)) + b"\n")
    write_atomic(paths.picks(next_day), canonical_json(Picks(PICKS_VERSION, next_day, day, sha256, picks)) + b"\n")
    known = {name: index.atm_iv_pct for name, index in picks.items() if index.atm_iv_pct is not None}
    if known:
        record_iv(paths.iv_history, day, known)
    report = ScoreReport(day, next_day, scores, picks)
    closes = [rules.session(day, rules.index(name).option_exchange).close_ms for name in underlyings]
    ledger.audit(AuditEntry(day, max(closes), "score", "published", f"{report.pick_count} picks for {next_day}"))
    return report


def _scores(
    ledger: Ledger, settings: Settings, day: date, underlyings: Sequence[str], gates: ScoreGates
) -> tuple[StrategyScore, ...]:
    strategy = settings.engine_params().signal.strategy
    signals = ledger.signal_counts(day)
    days = ledger.decision_days(day)
    trades: dict[tuple[str, str], list[TradeRecord]] = {}
    for name, trade in ledger.strategy_trades(day):
        trades.setdefault((trade.underlying, name), []).append(trade)
    pairs = {(underlying, strategy) for underlying in underlyings} | signals.keys() | trades.keys()
    return with_z_scores(
        [
            score_strategy(
                underlying,
                name,
                signals=signals.get((underlying, name), 0),
                days=days.get(underlying, 0),
                trades=trades.get((underlying, name), ()),
                gates=gates,
            )
            for underlying, name in sorted(pairs)
        ],
        gates,
    )


def _picks(
    paths: DataPaths,
    ledger: Ledger,
    settings: Settings,
    rules: MarketRules,
    day: date,
    underlyings: Sequence[str],
) -> dict[str, IndexPicks]:
    chain = read_lake(paths.lake(day), CHAIN_COLUMNS)
    book = load_day_pack(paths.day_pack(day), day=day, config_sha256=settings.config_sha256).book()
    decisions = ledger.day(day).decisions
    params = settings.engine_params()
    return {
        underlying: pick_index(chain, book, rules, params, decisions, underlying=underlying, day=day)
        for underlying in underlyings
    }
