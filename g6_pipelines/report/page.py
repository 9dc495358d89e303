"""The values of the day report; `page.html.j2` turns them into one self-contained HTML page."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.domain.records import TradeRecord
from g6_core.domain.rule_figures import number_text
from g6_core.schema.picks import IndexPicks
from g6_pipelines.report import figures, series
from g6_pipelines.report.facts import DayFacts, blocking_rules
from g6_pipelines.report.tiles import money, tiles

TRADE_PICTURES_MAX = 24
# Features that the index picture shows better than a table.
_DRAWN = ("st_", "close_", "spot", "forward")
_SOURCE_WORDS = {
    "recorded": "recorded quotes",
    "recorded, touch modelled": "recorded prices with a modelled bid and ask",
    "modelled": "modelled market: nothing here is a real price",
    "synthetic": "synthetic instruments dump",
    "forward": "index shown as parity forward",
    "simulated": "simulated exchange",
}

Rows = list[tuple[object, ...]]


class Chain(NamedTuple):
    """What was collected of one index: a sentence, and its pictures as data URIs."""

    underlying: str
    completeness: str
    coverage: str
    smile: str | None
    open_interest: str | None


def render(facts: DayFacts) -> str:
    """Return the whole page, everything escaped."""
    # Loaded when a page is made: a day that only trades never pays for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        # A name that is not given stops the page instead of leaving a hole in it.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    trades = _numbered(facts.ledger.trades)
    return pages.get_template("page.html.j2").render(
        facts=facts,
        date=f"{facts.day:%A}, {facts.day.day} {facts.day:%B %Y}",
        badges=_badges(facts),
        held=[trade.open_text() for _, trade in trades if not trade.exit_ms],
        tiles=tiles(facts),
        index_pictures=[(name, figures.index_picture(facts, name)) for name in facts.underlyings],
        pnl_picture=figures.pnl_picture(facts),
        trades=_trades(trades),
        trade_pictures=[
            (
                trade.tradingsymbol,
                f"{number}. {trade.tradingsymbol}: {_ended(trade)}",
                figures.trade_picture(facts, trade),
            )
            for number, trade in trades[:TRADE_PICTURES_MAX]
        ],
        signals=_signals(facts),
        refused=blocking_rules(facts.ledger, facts.underlyings, with_direction=True),
        undirected=blocking_rules(facts.ledger, facts.underlyings, with_direction=False),
        risk_events=[
            (ist_clock(event.time_ms), event.underlying, event.kind, event.detail) for event in facts.ledger.risk_events
        ],
        chains=list(_chains(facts)),
        checks=[("passed" if check.passed else "FAILED", check.name, check.detail) for check in facts.checks],
        picks=[_picks(index) for index in facts.picks.indices.values()] if facts.picks else [],
        scores=_scores(facts),
        hashes=_hashes(facts),
    )


def _badges(facts: DayFacts) -> list[str]:
    labels = [str(facts.summary[key]) for key in ("source", "source_label") if facts.summary.get(key)]
    if (facts.chain["spot_kind"] == "forward").any():
        labels.append("forward")
    return [_SOURCE_WORDS.get(label, label) for label in dict.fromkeys(labels)]


def _numbered(trades: Sequence[TradeRecord]) -> list[tuple[int, TradeRecord]]:
    """Return trades with their number per underlying, as drawn on the index picture."""
    seen: dict[str, int] = {}
    result = []
    for trade in trades:
        seen[trade.underlying] = seen.get(trade.underlying, 0) + 1
        result.append((seen[trade.underlying], trade))
    return result


def _trades(trades: Sequence[tuple[int, TradeRecord]]) -> Rows:
    return [
        (
            number,
            trade.tradingsymbol,
            trade.quantity,
            ist_clock(trade.entry_ms),
            rupees_text(trade.entry_paise),
            ist_clock(trade.exit_ms) if trade.exit_ms else "open",
            rupees_text(trade.exit_paise) if trade.exit_ms else "",
            trade.exit_reason,
            money(trade.gross_pnl_paise) if trade.exit_ms else "",
            money(trade.charges_paise),
            money(trade.net_pnl_paise) if trade.exit_ms else "",
        )
        for number, trade in trades
    ]


def _ended(trade: TradeRecord) -> str:
    return f"{trade.exit_reason}, net {money(trade.net_pnl_paise)}" if trade.exit_ms else "still open"


def _signals(facts: DayFacts) -> Rows:
    approved = {decision.signal_id for decision in facts.ledger.decisions if decision.approved}
    return [
        (
            ist_clock(signal.time_ms),
            signal.underlying,
            signal.direction,
            signal.strategy,
            "yes" if signal.signal_id in approved else "no",
            ", ".join(
                f"{name} {number_text(value)}"
                for name, value in sorted(signal.features.items())
                if not name.startswith(_DRAWN) and isfinite(value)
            ),
        )
        for signal in facts.ledger.signals
    ]


def _chains(facts: DayFacts) -> Iterator[Chain]:
    for name in facts.underlyings:
        found = facts.accounts.get(name)
        coverage = figures.coverage_picture(found.minutes, facts.day) if found is not None else None
        if found is not None and coverage is not None:
            cuts = series.chain_cuts(facts, name)
            smile, open_interest = figures.smile_picture(cuts), figures.open_interest_picture(cuts)
            yield Chain(name, found.day.line(), coverage, smile, open_interest)


def _picks(index: IndexPicks) -> tuple[str, Rows]:
    """Return what stands above the picks of an index, or instead of them, and the picks."""
    if not index.picks:
        return f"{index.underlying}: none, {index.reason}.", []
    rows: Rows = [
        (
            pick.rank,
            pick.tradingsymbol,
            f"{pick.price_paise / 100:.2f}",
            f"{pick.score:.1f}",
            f"{pick.delta:.2f}",
            f"{pick.iv_pct:.2f}",
            f"{pick.spread_pct:.2f}",
            f"{pick.oi:,}",
            "; ".join(pick.reasons[:2]),
        )
        for pick in index.picks
    ]
    return f"{index.underlying}, chain of {ist_clock(index.as_of_ms)}, closing trend {index.trend}", rows


def _scores(facts: DayFacts) -> Rows:
    return [
        (
            score.underlying,
            score.strategy or "unknown",
            score.status.replace("_", " "),
            score.days,
            score.signals,
            f"{score.wins} of {score.trades}",
            money(score.net_pnl_paise),
            "unknown" if score.profit_factor is None else f"{score.profit_factor:.2f}",
            "unknown" if score.z_score is None else f"{score.z_score:.2f}",
            "; ".join(score.reasons),
        )
        for score in (facts.scores.scores if facts.scores else ())
    ]


def _hashes(facts: DayFacts) -> list[tuple[str, object]]:
    config = facts.ledger.decisions[-1].config_sha256 if facts.ledger.decisions else ""
    named = (("journal", facts.summary.get("journal_sha256")), ("configuration", config))
    return [(name, value) for name, value in named if value]
