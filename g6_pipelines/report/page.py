"""The day report as one self-contained HTML page: no script, no outside resource, everything escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite

from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.domain.records import TradeRecord
from g6_core.domain.rule_figures import number_text
from g6_core.schema.picks import IndexPicks
from g6_pipelines.report import figures
from g6_pipelines.report.facts import DayFacts, blocking_rules
from g6_pipelines.report.style import STYLE
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


def render(facts: DayFacts) -> str:
    """The whole page."""
    trades = facts.ledger.trades
    sections = [
        _header(facts),
        still_open(facts.ledger.trades),
        _key_figures(facts),
        _notes(facts.notes),
        *(
            _picture(f"{name} through the day", figures.index_picture(facts, name), _INDEX_TEXT if facts.traded else "")
            for name in facts.underlyings
        ),
        _picture(
            "Profit and loss", figures.pnl_picture(facts), "Closed trades after charges, open ones at the last price."
        )
        if trades
        else "",
        *_trading(facts),
        *(_chain_section(facts, name) for name in facts.underlyings),
        _section("Checks", _checks(facts)),
        _section("Picks for the next trading day", _picks(facts)),
        _section("Strategy scores", _scores(facts)) if facts.traded else "",
        _footer(facts),
    ]
    title = escape(f"G6 {facts.day} {', '.join(facts.underlyings)}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}<title>{title}</title>\n'
        f"<style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body>\n</html>\n"
    )


def _trading(facts: DayFacts) -> Sequence[str]:
    if not facts.traded:
        text = "Trading was not run on this day: its data were collected or filled in without the trading process."
        return (_section("Trading", _nothing(text)),)
    return (
        _section("Trades", _trades_table(facts.ledger.trades) + _trade_pictures(facts)),
        _section("Signals and refusals", _signals(facts) + _refusals(facts) + _risk_events(facts)),
    )


_INDEX_TEXT = (
    "Shading: direction of the 5-minute Supertrend. Triangles: signals. Thick lines: trades, numbered as in the table."
)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _picture(title: str, uri: str | None, text: str) -> str:
    if uri is None:
        return _section(title, _nothing("No prices were collected, so there is nothing to draw."))
    note = f'<p class="note">{escape(text)}</p>' if text else ""
    return _section(title, _image(title, uri) + note)


def _image(alt: str, uri: str) -> str:
    return f'<div class="scroll"><img alt="{escape(alt)}" src="{uri}"></div>'


def _nothing(text: str) -> str:
    return f'<p class="nothing">{escape(text)}</p>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = ()) -> str:
    def cells(row: Sequence[object], tag: str) -> str:
        return "".join(
            f'<{tag} class="n">{escape(str(cell))}</{tag}>'
            if place in numeric
            else f"<{tag}>{escape(str(cell))}</{tag}>"
            for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def _header(facts: DayFacts) -> str:
    labels = [str(facts.summary[key]) for key in ("source", "source_label") if facts.summary.get(key)]
    kinds = [kind for kind in facts.chain["spot_kind"].drop_nulls().unique().sort().to_list() if kind == "forward"]
    badges = "".join(
        f'<span class="badge">{escape(_SOURCE_WORDS.get(label, label))}</span>'
        for label in dict.fromkeys(labels + kinds)
    )
    seed = f" · seed {escape(str(facts.summary['seed']))}" if "seed" in facts.summary else ""
    names = escape(", ".join(facts.underlyings) or "no index")
    return (
        f"<header><p class='brand'>G6 day report</p><h1>{facts.day:%A}, {facts.day.day} {facts.day:%B %Y}</h1>"
        f"<p>{names}{seed} · times in IST, money in rupees</p><p>{badges}</p></header>"
    )


def still_open(trades: Sequence[TradeRecord]) -> str:
    """Return the part of the page that comes before everything else: what is held after the close."""
    lines = "".join(f"<p>{escape(trade.open_text())}</p>" for trade in trades if not trade.exit_ms)
    return f"<section class='card bad'><h2>Still open</h2>{lines}</section>" if lines else ""


def _key_figures(facts: DayFacts) -> str:
    shown = "".join(
        f'<div class="card {tile.kind}"><dt>{escape(tile.name)}</dt><dd>{escape(tile.value)}</dd>'
        + (f"<small>{escape(tile.more)}</small>" if tile.more else "")
        + "</div>"
        for tile in tiles(facts)
    )
    return f"<dl class='cards'>{shown}</dl>" if shown else ""


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="warn">{escape(note)}</p>' for note in notes)


def _numbered(trades: Sequence[TradeRecord]) -> list[tuple[int, TradeRecord]]:
    """Trades with their number per underlying, as drawn on the index picture."""
    seen: dict[str, int] = {}
    result = []
    for trade in trades:
        seen[trade.underlying] = seen.get(trade.underlying, 0) + 1
        result.append((seen[trade.underlying], trade))
    return result


def _trades_table(trades: Sequence[TradeRecord]) -> str:
    if not trades:
        return _nothing("No trade was entered. The refusals below say why.")
    heads = ("#", "Contract", "Units", "Entry", "at", "Exit", "at", "Reason", "Gross", "Charges", "Net")
    rows = [
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
        for number, trade in _numbered(trades)
    ]
    return _table(heads, rows, numeric=(2, 4, 6, 8, 9, 10))


def _trade_pictures(facts: DayFacts) -> str:
    shown = _numbered(facts.ledger.trades)[:TRADE_PICTURES_MAX]
    pictures = "".join(
        f"<figure><figcaption>{number}. {escape(trade.tradingsymbol)}: "
        f"{escape(_ended(trade))}</figcaption>"
        f"{_image(f'{trade.tradingsymbol} around the trade', figures.trade_picture(facts, trade))}</figure>"
        for number, trade in shown
    )
    left = len(facts.ledger.trades) - len(shown)
    more = _nothing(f"{left} more trades are in the table only.") if left > 0 else ""
    return f'<div class="grid">{pictures}</div>{more}' if pictures else ""


def _ended(trade: TradeRecord) -> str:
    return f"{trade.exit_reason}, net {money(trade.net_pnl_paise)}" if trade.exit_ms else "still open"


def _signals(facts: DayFacts) -> str:
    if not facts.ledger.signals:
        return _nothing("No signal became true.")
    approved = {decision.signal_id for decision in facts.ledger.decisions if decision.approved}
    rows = [
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
    return _table(("Time", "Index", "Direction", "Strategy", "Entry", "Features"), rows)


def _refusals(facts: DayFacts) -> str:
    tables = (
        ("Entries refused, by reason", "Minutes in which a direction stood but a rule stopped the entry.", True),
        ("Why there was no direction", "Minutes in which the strategy saw no direction to follow.", False),
    )
    parts = []
    for title, text, with_direction in tables:
        found = blocking_rules(facts.ledger, facts.underlyings, with_direction=with_direction)
        if found:
            note = f"<p class='note'>{escape(text)} One minute can count under several rules.</p>"
            heads = ("Index", "Rule", "Minutes", "Last figures")
            parts.append(f"<h3>{escape(title)}</h3>{note}{_table(heads, found, numeric=(2,))}")
    return "".join(parts)


def _risk_events(facts: DayFacts) -> str:
    if not facts.ledger.risk_events:
        return ""
    rows = [
        (ist_clock(event.time_ms), event.underlying, event.kind, event.detail) for event in facts.ledger.risk_events
    ]
    return "<h3>Risk events and modes</h3>" + _table(("Time", "Index", "Kind", "What happened"), rows)


def _chain_section(facts: DayFacts, underlying: str) -> str:
    found = facts.accounts.get(underlying)
    coverage = figures.coverage_picture(found.minutes, facts.day) if found is not None else None
    if found is None or coverage is None:
        return ""
    pairs = (
        ("Implied volatility by strike", figures.smile_picture(facts, underlying)),
        ("Open interest by strike", figures.open_interest_picture(facts, underlying)),
    )
    shown = "".join(
        f"<figure><figcaption>{escape(title)}</figcaption>{_image(f'{underlying} {title}', uri)}</figure>"
        for title, uri in pairs
        if uri is not None
    )
    grid = f'<div class="grid">{shown}</div>' if shown else ""
    text = f"Each column is one minute, each row one strike, one band per expiry. {found.day.line()}."
    body = _image(f"Coverage of {underlying}", coverage) + f'<p class="note">{escape(text)}</p>' + grid
    return _section(f"{underlying}: what was collected", body)


def _checks(facts: DayFacts) -> str:
    if not facts.checks:
        return _nothing("The day was not reconciled.")
    rows = [("passed" if check.passed else "FAILED", check.name, check.detail) for check in facts.checks]
    return _table(("", "Check", "Finding"), rows)


def _picks(facts: DayFacts) -> str:
    if facts.picks is None:
        return _nothing("No picks were made.")
    return f"<p class='note'>For {facts.picks.trade_date:%A}, {facts.picks.trade_date}</p>" + "".join(
        _index_picks(index) for index in facts.picks.indices.values()
    )


def _index_picks(index: IndexPicks) -> str:
    if not index.picks:
        return _nothing(f"{index.underlying}: none, {index.reason}.")
    rows = [
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
    told = f"{index.underlying}, chain of {ist_clock(index.as_of_ms)}, closing trend {index.trend}"
    heads = ("#", "Contract", "Price", "Score of 210", "Delta", "IV %", "Spread %", "OI", "Why")
    return f"<h3>{escape(told)}</h3>" + _table(heads, rows, numeric=range(2, 8))


def _scores(facts: DayFacts) -> str:
    if facts.scores is None:
        return _nothing("No scores were made.")
    rows = [
        (
            one.underlying,
            one.strategy or "unknown",
            one.status.replace("_", " "),
            one.days,
            one.signals,
            f"{one.wins} of {one.trades}",
            money(one.net_pnl_paise),
            "unknown" if one.profit_factor is None else f"{one.profit_factor:.2f}",
            "unknown" if one.z_score is None else f"{one.z_score:.2f}",
            "; ".join(one.reasons),
        )
        for one in facts.scores.scores
    ]
    heads = ("Index", "Strategy", "Status", "Days", "Signals", "Won", "Net", "Profit factor", "z", "Why")
    return _table(heads, rows, numeric=range(3, 9))


def _footer(facts: DayFacts) -> str:
    journal = facts.summary.get("journal_sha256")
    config = facts.ledger.decisions[-1].config_sha256 if facts.ledger.decisions else ""
    parts = [f"journal sha256 {journal}" if journal else "", f"configuration sha256 {config}" if config else ""]
    told = "<br>".join(escape(part) for part in parts if part)
    plain = "A record of what a program did in a market or a model of one; not advice."
    return f"<footer><p>{told}</p><p>{plain}</p></footer>"
