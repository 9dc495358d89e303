"""After the close: what the strategies have earned so far, next-day picks, and one point of history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from g6_core.adapters.day_pack_store import load_day_pack, load_picks
from g6_core.adapters.files import canonical_json, held, write_atomic
from g6_core.adapters.history import HistoryPoint, record_history
from g6_core.adapters.ledger import AuditEntry, Ledger
from g6_core.config import Settings
from g6_core.domain.errors import DataError
from g6_core.domain.records import TradeRecord
from g6_core.domain.scoring import ScoreGates, StrategyScore, score_strategy, with_z_scores
from g6_core.schema.day_pack import DayPack
from g6_core.schema.paths import DataPaths
from g6_core.schema.picks import PICKS_VERSION, SCORES_VERSION, IndexPicks, Picks, Scores
from g6_core.site import Day, Site
from g6_pipelines.stages.picks import near_money_oi, pick_index


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
    site: Site, ledger: Ledger, day: date, underlyings: Sequence[str], *, gates: ScoreGates | None = None
) -> ScoreReport:
    """Judge every strategy on all days up to `day` and pick strikes for the next trading day.

    Reads the ledger, the lakes and the day pack of `day`; writes scores, picks and the day's point of history, each
    file as a whole. Running it again changes nothing. Raises DataError when the lake or the day pack is unusable.
    """
    scores = score_strategies(site, ledger, day, underlyings, gates=gates)
    picks = pick_next_day(site, ledger, day, underlyings, keep_others=False)
    next_day = site.rules.known_next_trading_day(day)
    report = ScoreReport(day, next_day, scores, picks)
    close_ms = site.rules.joint_session(underlyings, day).close_ms
    said = f"{report.pick_count} picks for {site.rules.shown(next_day)}"
    ledger.audit(AuditEntry(day, close_ms, "score", "published", said))
    return report


def score_strategies(
    site: Site, ledger: Ledger, day: date, underlyings: Sequence[str], *, gates: ScoreGates | None = None
) -> tuple[StrategyScore, ...]:
    """Judge every strategy that the ledger knows, and the configured one on these underlyings; write the scores."""
    gates = gates or ScoreGates()
    scores = _scores(ledger, site.settings, day, underlyings, gates)
    document = Scores(SCORES_VERSION, day, site.settings.config_sha256, gates, scores)
    write_atomic(site.paths.scores(day), canonical_json(document) + b"\n")
    return scores


def pick_next_day(
    site: Site, ledger: Ledger, day: date, underlyings: Sequence[str], *, keep_others: bool
) -> dict[str, IndexPicks]:
    """Pick strikes for the next trading day; write picks and the day's point of history.

    `keep_others` keeps the picks that the same day and configuration made for other underlyings.
    """
    paths, config_sha256 = site.paths, site.settings.config_sha256
    next_day = site.rules.known_next_trading_day(day)
    pack = load_day_pack(paths.day_pack(day), day=day, config_sha256=config_sha256)
    book, params, decisions = pack.book(), site.settings.engine_params(), ledger.day(day).decisions
    picks = {name: pick_index(Day(site, day, name), book, params, decisions) for name in underlyings}
    points = {name: _point(paths, pack, index) for name, index in picks.items() if index.atm_iv_pct is not None}
    with held(paths.shared_lock):
        others = _other_picks(paths.picks(next_day), next_day, (day, config_sha256)) if keep_others else {}
        document = Picks(PICKS_VERSION, next_day, day, config_sha256, {**others, **picks})
        write_atomic(paths.picks(next_day), canonical_json(document) + b"\n")
        if points:
            record_history(paths.history, points)
    return picks


def load_scores(paths: DataPaths, day: date) -> Scores:
    """The scores made after the close of `day`. DataError when there are none or they are damaged."""
    path = paths.scores(day)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Scores)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: no readable scores ({error}); run the score stage of {day}") from error


def _other_picks(path: Path, next_day: date, made: tuple[date, str]) -> Mapping[str, IndexPicks]:
    """The picks that are there, if the same day and configuration made them."""
    try:
        known = load_picks(path, next_day)
    except DataError:
        return {}
    return known.indices if known is not None and (known.made_on, known.config_sha256) == made else {}


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


def _point(paths: DataPaths, pack: DayPack, found: IndexPicks) -> HistoryPoint:
    """What the close of the day adds to the history of its kind of source."""
    assert found.expiry is not None, "a volatility is one of an expiry"
    oi = near_money_oi(paths.lake(pack.trade_date, found.underlying), found.expiry, found.as_of_ms)
    return HistoryPoint(pack.trade_date, pack.source_label, found.atm_iv_pct, oi)
