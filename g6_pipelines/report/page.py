"""The values of the day report; `page.html.j2` turns them into one self-contained HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.domain.records import TradeRecord
from g6_core.domain.rule_figures import number_text
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
    pages.filters |= {"clock": ist_clock, "rupees": rupees_text, "money": money, "undrawn": _undrawn}
    trades = _numbered(facts.ledger.trades)
    config = facts.ledger.decisions[-1].config_sha256 if facts.ledger.decisions else ""
    return pages.get_template("page.html.j2").render(
        facts=facts,
        date=f"{facts.day:%A}, {facts.day.day} {facts.day:%B %Y}",
        badges=_badges(facts),
        held=[trade.open_text() for _, trade in trades if not trade.exit_ms],
        tiles=tiles(facts),
        index_pictures=[(name, figures.index_picture(facts, name)) for name in facts.underlyings],
        pnl_picture=figures.pnl_picture(facts),
        trades=trades,
        trade_pictures=[
            (number, trade, figures.trade_picture(facts, trade)) for number, trade in trades[:TRADE_PICTURES_MAX]
        ],
        approved={decision.signal_id for decision in facts.ledger.decisions if decision.approved},
        refused=blocking_rules(facts.ledger, facts.underlyings, with_direction=True),
        undirected=blocking_rules(facts.ledger, facts.underlyings, with_direction=False),
        chains=list(_chains(facts)),
        hashes={"journal": facts.summary.get("journal_sha256"), "configuration": config},
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


def _undrawn(features: Mapping[str, float]) -> str:
    """Return the known features that no picture shows."""
    known = {name: value for name, value in features.items() if not name.startswith(_DRAWN) and isfinite(value)}
    return ", ".join(f"{name} {number_text(value)}" for name, value in sorted(known.items()))


def _chains(facts: DayFacts) -> Iterator[Chain]:
    for name in facts.underlyings:
        found = facts.accounts.get(name)
        coverage = figures.coverage_picture(found.minutes, facts.day) if found is not None else None
        if found is not None and coverage is not None:
            cuts = series.chain_cuts(facts, name)
            smile, open_interest = figures.smile_picture(cuts), figures.open_interest_picture(cuts)
            yield Chain(name, found.day.line(), coverage, smile, open_interest)
